//! What a side is told on the command line: peer, end, message size, address or directory.

use benches::Result;

/// One side's part.
#[derive(Debug)]
pub struct Job {
    /// Message bytes.
    pub bytes: usize,
    /// Network peers: the server's IPv4 address. Local peers: the directory of the run.
    pub place: String,
}

impl Job {
    /// Takes `<peer> <end> <bytes> <place>` apart.
    ///
    /// # Errors
    /// Another number of words, or a size that is none.
    pub fn parse(arguments: &[String]) -> Result<([&str; 2], Job)> {
        let [peer, end, bytes, place] = arguments else {
            return Err("a side is told <peer> <end> <bytes> <place>".into());
        };
        let job = Job {
            bytes: bytes.parse()?,
            place: place.clone(),
        };
        Ok(([peer, end], job))
    }
}
