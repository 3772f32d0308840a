//! Log lines to stderr, for those who ask for them.

use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // A log that cannot be written is no reason to stop.
        let _ = writeln!(io::stderr(), "{:5} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Nothing by default: a failure has its own line.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
}
