//! Resource managers over real channels: one process, its own client (SND-6).

mod answers;
mod combined;
mod example;
mod files;
mod listing;
