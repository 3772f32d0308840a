//! `cargo xtask bench`: a model measured in a browser with the fields of `quire bench`, and two files of measurements side by side.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use measures::{Report, Sheet, Size};

use crate::models;
use crate::serve::{Server, Site};
use crate::shell::{self, root, say};
use crate::{bundle, npm, setup, test};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["browser", "compare"]).required(true))]
pub(crate) struct Args {
    /// Measure MODEL in this one
    #[arg(long)]
    browser: Option<Browser>,
    /// A path, a URL, or a name that `cargo xtask models` lists
    #[arg(default_value = models::DEFAULT)]
    model: String,
    #[command(flatten)]
    size: Size,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Add each number as a row to a CSV file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What else to say of these rows: what the machine did besides, for example
    #[arg(long, value_name = "WORDS", default_value = "")]
    conditions: String,
    /// Set the rows of two CSV files side by side that say the same of one model, adapter and platform
    #[arg(long, num_args = 2, value_names = ["A", "B"],
        conflicts_with_all = ["model", "prefill", "decode", "runs", "json", "out", "conditions"])]
    compare: Option<Vec<PathBuf>>,
    /// The same of one model on different adapters and platforms
    #[arg(long, requires = "compare")]
    across: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Browser {
    Chromium,
    Firefox,
}

/// # Errors
/// If no browser can be run, the model cannot be measured, or a file cannot be read or written or has nothing to compare.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some([a, b]) = args.compare.as_deref() {
        let comparison = measures::compare(&measures::read(a)?, &measures::read(b)?, args.across);
        print!("A is {}, B is {}\n{comparison}", a.display(), b.display());
        ensure!(!comparison.pairs.is_empty(), "the two have no row to compare");
    }
    if let Some(browser) = args.browser {
        let report = measure(&args.model, browser, args.size)?;
        if let Some(path) = &args.out {
            let mut sheet = Sheet::open(path)?;
            report.rows(&args.conditions).iter().try_for_each(|row| sheet.add(row))?;
        }
        if args.json { println!("{}", serde_json::to_string(&report)?) } else { print!("{report}") }
    }
    Ok(())
}

/// Measures a tiny model, for the tests.
///
/// # Errors
/// If it cannot be measured, or its numbers cannot be.
pub(crate) fn check() -> Result<()> {
    let nano = root().join("tests/vectors/nano/nano.gguf");
    let report = measure(&nano.to_string_lossy(), Browser::Firefox, Size { prefill: 9, decode: 3, runs: 1 })?;
    let is_measured = report.prefill_tps > 0.0 && report.decode_tps > 0.0 && report.passes == 1.0 && report.dispatches > 0.0;
    ensure!(is_measured && report.bind_groups == 0.0 && report.bytes_written == 0.0, "{report}");
    Ok(())
}

fn measure(model: &str, browser: Browser, size: Size) -> Result<Report> {
    let site = Site::new(bundle::build()?, &models::locate(model)?)?;
    let folder = root().join("tests/browser");
    npm::install(&folder)?;
    let browsers = setup::browsers()?;
    let server = Server::start(site, 0)?;
    let name = match browser {
        Browser::Chromium => "chromium",
        Browser::Firefox => "firefox",
    };
    say(&format!("measuring in {name}"));
    let size = serde_json::to_string(&size)?;
    let mut node = test::with_vulkan("node")?;
    node.args(["bench.mjs", name, &size])
        .current_dir(&folder)
        .env("QUIRE_URL", server.url())
        .env("CHROMIUM", browsers.chromium)
        .env("FIREFOX", browsers.firefox);
    let said = shell::read(&mut node)?;
    serde_json::from_str(&said).with_context(|| format!("what was measured has other fields than natively: {said}"))
}
