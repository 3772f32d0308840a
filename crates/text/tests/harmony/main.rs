//! Harmony against OpenAI's reference implementation (`tests/vectors/text/harmony.py` writes the vectors) and
//! against the format document where the reference has nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod chat;
mod parse;
mod render;
mod vectors;
