//! Client files over connections: the walk of a path, and what is done at its end.

#[allow(dead_code, reason = "the sending side comes with connections")]
mod walk;
