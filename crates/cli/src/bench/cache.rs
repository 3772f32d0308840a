//! `quire bench cache`: every policy's hit rate on a recorded trace, and the best that any could have.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::replay::{CONTENDERS, Hits, optimum, replay};
use crate::output;
use crate::routes::Trace;

/// Replay a routing trace against every policy of the expert cache
///
/// Says how many of decode's uses of an expert find it in a slot, where each layer has slots of its own, warmed by the
/// prompt. The engine runs affinity; optimum is Belady's, which knows the future.
#[derive(Debug, clap::Args)]
pub(super) struct CacheArgs {
    /// A trace as `quire trace` records it
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// Slots a layer: numbers, or shares of its experts, rounded down
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10%,20%,30%,50%")]
    slots: Vec<Slots>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy)]
enum Slots {
    Count(u32),
    Percent(f64),
}

impl FromStr for Slots {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is neither a number of slots nor a share such as 20%");
        match text.strip_suffix('%') {
            Some(share) => match share.parse() {
                Ok(share) if (0.0..=100.0).contains(&share) => Ok(Self::Percent(share)),
                _ => Err(refused()),
            },
            None => text.parse().map(Self::Count).map_err(|_| refused()),
        }
    }
}

impl Slots {
    fn of(self, n_experts: u32) -> u32 {
        match self {
            Self::Count(n) => n,
            Self::Percent(share) => (f64::from(n_experts) * share / 100.0) as u32,
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    layers: usize,
    experts: u32,
    experts_used: usize,
    /// Uses of an expert by decode, all layers.
    accesses: u64,
    /// A layer.
    slots: Vec<u32>,
    policies: Vec<Rates>,
}

/// One row of the table.
#[derive(Debug, Serialize)]
struct Rates {
    policy: &'static str,
    /// Hits by accesses, for each number of slots.
    hit_rates: Vec<f64>,
}

pub(super) fn run(args: &CacheArgs) -> Result<()> {
    let name = args.trace.display();
    let bytes = fs::read(&args.trace).with_context(|| format!("cannot read {name}"))?;
    let trace = Trace::parse(&bytes).with_context(|| name.to_string())?;
    let report = judge(&trace, &args.slots).with_context(|| name.to_string())?;
    if args.json { output::json(&report) } else { output::bytes(text(&report).as_bytes()) }
}

fn judge(trace: &Trace, slots: &[Slots]) -> Result<Report> {
    let (experts, experts_used) = (trace.n_experts, trace.n_used());
    let slots: Vec<u32> = slots.iter().map(|slots| slots.of(experts)).collect();
    for &n in &slots {
        ensure!(n as usize >= experts_used, "a token uses {experts_used} experts of a layer, there are {n} slots");
        ensure!(n <= experts, "a layer has {experts} experts, there are {n} slots");
    }
    let accesses = slots.first().map_or(0, |&n| optimum(trace, n).accesses);
    if accesses == 0 {
        bail!("the trace has no decode rows");
    }
    let rates = |policy, hits: &dyn Fn(u32) -> Hits| Rates { policy, hit_rates: slots.iter().map(|&n| hits(n).rate()).collect() };
    let mut policies: Vec<Rates> = CONTENDERS.iter().map(|&(name, make)| rates(name, &|n| replay(trace, n, make))).collect();
    policies.push(rates("optimum", &|n| optimum(trace, n)));
    Ok(Report { model: trace.model.clone(), layers: trace.layers.len(), experts, experts_used, accesses, slots, policies })
}

/// For people.
fn text(report: &Report) -> String {
    let Report { model, layers, experts, experts_used, accesses, .. } = report;
    let mut text = format!(
        "{model}: {layers} layers, {experts_used} of {experts} experts a token\nhits among {accesses} uses of an expert in decode, in %, by slots a layer\n\n",
    );
    let mut row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        text.push_str(&format!("  {name:12}{}\n", cells.map(|cell| format!("{cell:>8}")).collect::<String>()));
    };
    row("policy", &mut report.slots.iter().map(u32::to_string));
    for Rates { policy, hit_rates } in &report.policies {
        row(policy, &mut hit_rates.iter().map(|rate| format!("{:.2}", 100.0 * rate)));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use engine::policy::Choice;

    use super::*;
    use crate::routes::{Phase, Token};

    /// A trace as `tests/vectors/README.md` describes it.
    fn unpack(name: &str) -> Trace {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/vectors/routes/{name}.u8"));
        let bytes = fs::read(path).unwrap();
        let mut bytes = bytes.iter().copied();
        let mut next = || bytes.next().unwrap();
        let (n_layers, n_experts, n_used) = (next(), next(), next());
        let mut trace = Trace { model: name.to_owned(), n_experts: u32::from(n_experts), layers: Default::default() };
        for layer in 0..u32::from(n_layers) {
            let (n_prefill, n_decode) = (next(), next());
            let phases = [(Phase::Prefill, n_prefill), (Phase::Decode, n_decode)];
            let mut choice = || Choice { expert: u32::from(next()), weight: 1.0 / f32::from(n_used) };
            let tokens = phases.iter().flat_map(|&(phase, n)| (0..n).map(move |_| phase));
            let tokens = tokens.map(|phase| Token { phase, chosen: (0..n_used).map(|_| choice()).collect() }).collect();
            trace.layers.insert(layer, tokens);
        }
        assert_eq!(bytes.next(), None);
        trace
    }

    fn percent(report: &Report, policy: &str) -> Vec<f64> {
        let rates = report.policies.iter().find(|rates| rates.policy == policy).unwrap();
        rates.hit_rates.iter().map(|rate| 100.0 * rate).collect()
    }

    #[test]
    fn the_default_keeps_its_promise_on_three_models_and_nothing_beats_the_optimum() {
        // At 20 % and 30 % of the experts in slots.
        for (name, promised) in [("gptoss", [75.5, 82.6]), ("qwen", [75.9, 87.3]), ("gemma", [75.3, 85.4])] {
            let report = judge(&unpack(name), &[Slots::Percent(20.0), Slots::Percent(30.0)]).unwrap();
            assert_eq!(report.slots, [25, 38]);
            let (default, lru, optimum) = (percent(&report, "affinity"), percent(&report, "LRU"), percent(&report, "optimum"));
            for i in 0..2 {
                assert!(default[i] >= promised[i], "{name}: {default:?}, promised {promised:?}");
                assert!(default[i] >= lru[i], "{name}: {default:?}, LRU {lru:?}");
            }
            for (policy, _) in CONTENDERS {
                let rates = percent(&report, policy);
                assert!(rates.iter().zip(&optimum).all(|(rate, best)| rate <= best), "{name}, {policy}: {rates:?} of {optimum:?}");
            }
        }
    }
}
