//! The input of the `session` target as a program: numbers one after the other.

/// The input, read from its start; what it lacks is zero.
pub(crate) struct Program<'a> {
    rest: &'a [u8],
}

impl<'a> Program<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Program<'a> {
        Program { rest: bytes }
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.byte().unwrap_or(0))
    }

    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}
