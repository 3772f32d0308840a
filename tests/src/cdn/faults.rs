//! What goes wrong, and when.

use std::str::FromStr;
use std::time::Duration;

/// One way to fail a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The body breaks off and the connection is closed.
    Truncate,
    /// The body stops, for as long as [`Spec::stall`] says; then the connection is closed.
    Stall,
    /// 429, with a `Retry-After`.
    TooMany,
    /// 416, for a range that is inside the file.
    Unsatisfiable,
    /// 500, 502, 503 or 504.
    Broken,
    /// The connection is reset in the middle of the body.
    Reset,
    /// It is closed before anything is answered.
    Refuse,
    /// `Content-Range` names another start; the bytes are of there.
    LieStart,
    /// `Content-Range` names another total.
    LieTotal,
    /// 200 and the whole file.
    IgnoreRange,
    /// The redirected address has expired; 404 where nothing is redirected, and so not by chance.
    Expire,
}

impl Fault {
    pub const ALL: [Self; 11] = [
        Self::Truncate,
        Self::Stall,
        Self::TooMany,
        Self::Unsatisfiable,
        Self::Broken,
        Self::Reset,
        Self::Refuse,
        Self::LieStart,
        Self::LieTotal,
        Self::IgnoreRange,
        Self::Expire,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Stall => "stall",
            Self::TooMany => "429",
            Self::Unsatisfiable => "416",
            Self::Broken => "5xx",
            Self::Reset => "reset",
            Self::Refuse => "refuse",
            Self::LieStart => "lie-start",
            Self::LieTotal => "lie-total",
            Self::IgnoreRange => "ignore-range",
            Self::Expire => "expire",
        }
    }
}

/// How a server behaves.
///
/// As text, parts with commas between them: names of faults that happen by chance (`faults` is all of them), `rate=0.1` and `seed=7` of
/// that chance, `3:reset` for the third request, `rate=1` and one name for always; `bandwidth=5000000` bytes a second over all
/// connections, `latency=50` and `stall=20000` milliseconds; `hold=9000000`, no byte of a file more than so many; `redirect=5`, to an
/// address that answers so many requests; `moved=URL`, to the same name below another server; `change=40`, into another file after so many requests;
/// `tag=five`, the ETag; `hub`, redirects say what Hugging Face's do; `hide`, headers from scripts of other origins.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Of each request.
    pub rate: f64,
    pub seed: u64,
    pub kinds: Vec<Fault>,
    /// By number of the request, from 1.
    pub schedule: Vec<(u64, Fault)>,
    pub bytes_per_second: Option<u64>,
    pub latency: Duration,
    pub stall: Duration,
    /// After so many bytes of files (since the counts were reset) no more come, and nothing else happens.
    pub hold: Option<u64>,
    /// Redirects to an address that answers this many requests and then no more.
    pub redirect: Option<u32>,
    /// Redirects to the same name below this URL, of another server.
    pub moved: Option<String>,
    /// Serves another file, of another ETag, after this many requests.
    pub change: Option<u64>,
    /// The ETag of all files, without its quotes.
    pub tag: Option<String>,
    /// Redirects say the SHA-256 of what they lead to, as Hugging Face's do.
    pub is_hub: bool,
    /// No `Access-Control-Expose-Headers`.
    pub hides_headers: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            rate: 0.1,
            seed: 0,
            kinds: Vec::new(),
            schedule: Vec::new(),
            bytes_per_second: None,
            latency: Duration::ZERO,
            stall: Duration::from_secs(60),
            hold: None,
            redirect: None,
            moved: None,
            change: None,
            tag: None,
            is_hub: false,
            hides_headers: false,
        }
    }
}

impl Spec {
    /// Everything by chance.
    pub fn chaos(seed: u64) -> Self {
        Self { seed, kinds: Fault::ALL.to_vec(), ..Self::default() }
    }

    /// What happens to `request`. Chance follows what it asks for and how often that was asked for before, not which of several
    /// requests at once comes first: the same seed gives the same faults.
    pub(super) fn fate(&self, request: &Asked<'_>) -> Fate {
        let Asked { number, name, end, nth } = *request;
        let luck = store::checksum(format!("{} {name} {end:?} {nth}", self.seed).as_bytes());
        let is_hit = ((luck >> 40) as f64) < self.rate * (1u64 << 24) as f64;
        let may = |kind: &&Fault| match kind {
            // Where nothing redirects, nothing expires.
            Fault::Expire => self.redirect.is_some(),
            // Said twice in a row, it would be the truth.
            Fault::LieTotal => nth.is_multiple_of(2) || self.rate >= 1.0,
            _ => true,
        };
        let kinds: Vec<&Fault> = self.kinds.iter().filter(may).collect();
        let by_chance = (is_hit && !kinds.is_empty()).then(|| *kinds[(luck & 0xffff) as usize % kinds.len()]);
        let scheduled = self.schedule.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault);
        Fate { fault: scheduled.or(by_chance), luck }
    }
}

/// A request for bytes of a file, as chance sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// From 1, of all requests.
    pub(super) number: u64,
    pub(super) name: &'a str,
    /// Where the range ends, which stays as it is when what is missing is asked for again.
    pub(super) end: Option<u64>,
    /// Requests for the same that came before.
    pub(super) nth: u32,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) fault: Option<Fault>,
    /// What else is left to chance, such as the place where a body breaks off.
    pub(super) luck: u64,
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut spec = Self::default();
        let fault = |name: &str| Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| format!("{name:?} is no fault"));
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            fn number<T: FromStr>(value: &str) -> Result<T, String> {
                value.parse().map_err(|_| format!("{value:?} is no number of that kind"))
            }
            match part.split_once('=') {
                Some(("rate", value)) => spec.rate = number(value)?,
                Some(("seed", value)) => spec.seed = number(value)?,
                Some(("bandwidth", value)) => spec.bytes_per_second = Some(number::<u64>(value)?.max(1)),
                Some(("latency", value)) => spec.latency = Duration::from_millis(number(value)?),
                Some(("stall", value)) => spec.stall = Duration::from_millis(number(value)?),
                Some(("hold", value)) => spec.hold = Some(number(value)?),
                Some(("redirect", value)) => spec.redirect = Some(number(value)?),
                Some(("moved", value)) => spec.moved = Some(value.to_owned()),
                Some(("tag", value)) => spec.tag = Some(value.to_owned()),
                Some(("change", value)) => spec.change = Some(number(value)?),
                Some((name, _)) => return Err(format!("{name:?} is nothing that can be set")),
                None if part == "hub" => spec.is_hub = true,
                None if part == "hide" => spec.hides_headers = true,
                None if part == "faults" => spec.kinds = Fault::ALL.to_vec(),
                None => match part.split_once(':') {
                    Some((at, name)) => spec.schedule.push((number(at)?, fault(name)?)),
                    None => spec.kinds.push(fault(part)?),
                },
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_read_from_text() {
        let spec: Spec = "truncate, 5xx,rate=0.25,seed=9,3:reset,bandwidth=1000,latency=5,hold=7,redirect=2,change=40,tag=five,hub,hide"
            .parse()
            .unwrap();
        assert_eq!((spec.kinds, spec.schedule), (vec![Fault::Truncate, Fault::Broken], vec![(3, Fault::Reset)]));
        assert_eq!((spec.rate, spec.seed, spec.bytes_per_second, spec.latency.as_millis()), (0.25, 9, Some(1000), 5));
        assert_eq!((spec.hold, spec.redirect, spec.change, spec.hides_headers), (Some(7), Some(2), Some(40), true));
        assert_eq!((spec.tag.as_deref(), spec.is_hub), (Some("five"), true));
        for wrong in ["rate=x", "nonsense", "3:nonsense", "what=3"] {
            assert!(wrong.parse::<Spec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn chance_is_as_often_as_told_and_the_same_for_the_same_seed() {
        let spec = Spec { redirect: Some(3), ..Spec::chaos(1) };
        let asked = |i| Asked { number: i, name: "a", end: Some(i * 1000), nth: 0 };
        let faults = |spec: &Spec| (0..10_000).map(|i| spec.fate(&asked(i)).fault).collect::<Vec<_>>();
        let got = faults(&spec);
        let hits = got.iter().flatten().count();
        assert!((800..1200).contains(&hits), "{hits}");
        assert!(Fault::ALL.iter().all(|kind| got.contains(&Some(*kind))));
        assert_eq!(got, faults(&spec));
        assert_ne!(got, faults(&Spec { seed: 2, ..spec }));
    }
}
