//! Two runs side by side.

use std::fmt;

use crate::{Row, median};

/// What both runs have, and in words what cannot be compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    pub pairs: Vec<Pair>,
    pub refused: Vec<String>,
}

/// One number of both runs; where a run has it several times, the median.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub what: String,
    pub unit: String,
    pub a: f64,
    pub b: f64,
}

/// Sets those rows of `a` and `b` beside each other that say the same of one model on one adapter and platform; with `across`,
/// of one model on whatever it ran.
pub fn compare(a: &[Row], b: &[Row], across: bool) -> Comparison {
    let (a, b) = (groups(a), groups(b));
    let mut comparison = Comparison::default();
    let mut is_met = vec![false; b.len()];
    for ours in &a {
        let alike: Vec<usize> = (0..b.len()).filter(|&i| measured(ours[0]) == measured(b[i][0])).collect();
        let same = alike.iter().copied().find(|&i| place(ours[0]) == place(b[i][0]) && ours[0].model == b[i][0].model);
        let mut elsewhere = alike.iter().copied().filter(|&i| across && ours[0].model == b[i][0].model);
        let found = same.or_else(|| elsewhere.next().filter(|_| elsewhere.next().is_none()));
        match found {
            Some(i) => {
                is_met[i] = true;
                let [a, b] = [ours, &b[i]].map(|group| median(group.iter().map(|row| row.value)));
                let what = format!("{}: {}", ours[0].model, words(ours[0]));
                comparison.pairs.push(Pair { what, unit: ours[0].unit.clone(), a, b });
            }
            None => {
                alike.iter().for_each(|&i| is_met[i] = true);
                let others: Vec<&Row> = alike.iter().map(|&i| b[i][0]).collect();
                comparison.refused.push(refusal(ours[0], &others));
            }
        }
    }
    let only_b = b.iter().zip(is_met).filter(|(_, is_met)| !is_met).map(|(group, _)| group[0]);
    comparison.refused.extend(only_b.map(|row| format!("{} of {}: A has no such row", words(row), row.model)));
    comparison
}

/// The rows that say the same, in the order of the first of each.
fn groups(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let same = |other: &Row| (measured(row), place(row), &row.model) == (measured(other), place(other), &other.model);
        match groups.iter_mut().find(|group| same(group[0])) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// What was measured, but for the model.
fn measured(row: &Row) -> (&str, Option<u32>, Option<u32>, Option<u32>, &str) {
    (&row.measure, row.slots, row.context, row.tokens, &row.unit)
}

fn place(row: &Row) -> (&str, &str) {
    (&row.adapter, &row.platform)
}

/// What was measured, in words.
fn words(row: &Row) -> String {
    let counts = [("slots", row.slots), ("before", row.context), ("tokens", row.tokens)];
    let counts = counts.into_iter().filter_map(|(what, n)| n.map(|n| format!(", {n} {what}")));
    row.measure.clone() + &counts.collect::<String>()
}

/// Why `row` has nothing to stand beside, where B has `others` of the same measure.
fn refusal(row: &Row, others: &[&Row]) -> String {
    let list = |words: fn(&Row) -> String| others.iter().map(|other| words(other)).collect::<Vec<_>>().join(" and ");
    let where_it_ran = |row: &Row| format!("{} ({})", row.adapter, row.platform);
    let why = if others.is_empty() {
        "B has no such row".to_owned()
    } else if others.iter().all(|other| other.model != row.model) {
        format!("B's is of {}", list(|other| other.model.clone()))
    } else {
        format!("A ran on {}, B on {}", where_it_ran(row), list(where_it_ran))
    };
    format!("{} of {}: {why}", words(row), row.model)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.pairs.iter().map(|pair| pair.what.chars().count()).max().unwrap_or(0);
        if !self.pairs.is_empty() {
            writeln!(f, "{:width$}{:>14}{:>14}{:>8}", "", "A", "B", "B / A")?;
        }
        for Pair { what, unit, a, b } in &self.pairs {
            let ratio = if *a == 0.0 { "-".to_owned() } else { format!("{:.3}", b / a) };
            writeln!(f, "{what:width$}{:>14}{:>14}{ratio:>8}  {unit}", number(*a), number(*b))?;
        }
        self.refused.iter().try_for_each(|why| writeln!(f, "not compared: {why}"))
    }
}

fn number(value: f64) -> String {
    let decimals = if value == value.trunc() { 0 } else { (3.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(measure: &str, value: f64) -> Row {
        let [model, adapter, platform] = ["m", "gpu", "native"].map(str::to_owned);
        Row { model, adapter, platform, measure: measure.to_owned(), value, unit: "tok/s".to_owned(), ..Row::default() }
    }

    fn pairs(comparison: &Comparison) -> Vec<(&str, f64, f64)> {
        comparison.pairs.iter().map(|pair| (pair.what.as_str(), pair.a, pair.b)).collect()
    }

    #[test]
    fn rows_of_both_runs_stand_side_by_side_with_their_ratio() {
        let comparison = compare(&[row("decode", 20.0), row("prefill", 80.0)], &[row("prefill", 100.0), row("decode", 15.0)], false);
        assert_eq!(pairs(&comparison), [("m: decode", 20.0, 15.0), ("m: prefill", 80.0, 100.0)]);
        let table = comparison.to_string();
        let decode = table.lines().find(|line| line.contains("decode")).unwrap_or_default();
        assert_eq!(decode.split_whitespace().collect::<Vec<_>>(), ["m:", "decode", "20", "15", "0.750", "tok/s"]);
    }

    #[test]
    fn of_a_row_that_a_run_has_several_times_the_median_counts() {
        let a = [3.0, 100.0, 4.0].map(|value| row("decode", value));
        assert_eq!(pairs(&compare(&a, &[row("decode", 8.0)], false)), [("m: decode", 4.0, 8.0)]);
    }

    #[test]
    fn counts_and_units_tell_rows_apart() {
        let a = Row { slots: Some(4), tokens: Some(32), ..row("decode", 1.0) };
        for b in [
            Row { slots: Some(8), ..a.clone() },
            Row { tokens: None, ..a.clone() },
            Row { context: Some(9), ..a.clone() },
            Row { unit: "ms".into(), ..a.clone() },
        ] {
            let comparison = compare(std::slice::from_ref(&a), &[b], false);
            assert_eq!(comparison.pairs, []);
            assert_eq!(comparison.refused[0], "decode, 4 slots, 32 tokens of m: B has no such row");
            assert!(comparison.refused[1].ends_with("of m: A has no such row"), "{comparison}");
        }
    }

    #[test]
    fn another_model_or_adapter_or_platform_is_refused_in_words() {
        let a = row("decode", 1.0);
        let refusals = [
            (Row { model: "n".into(), ..a.clone() }, "decode of m: B's is of n"),
            (Row { adapter: "cpu".into(), ..a.clone() }, "decode of m: A ran on gpu (native), B on cpu (native)"),
            (Row { platform: "Firefox".into(), ..a.clone() }, "decode of m: A ran on gpu (native), B on gpu (Firefox)"),
        ];
        for (b, why) in refusals {
            let comparison = compare(std::slice::from_ref(&a), &[b], false);
            assert_eq!((comparison.pairs.len(), comparison.refused.as_slice()), (0, &[why.to_owned()][..]));
        }
    }

    #[test]
    fn across_adapters_rows_of_one_model_meet_unless_there_are_several() {
        let a = row("decode", 10.0);
        let b = Row { adapter: "cpu".into(), platform: "Firefox".into(), value: 9.0, ..a.clone() };
        let other = Row { model: "n".into(), ..b.clone() };
        assert_eq!(pairs(&compare(std::slice::from_ref(&a), &[b.clone(), other.clone()], true)), [("m: decode", 10.0, 9.0)]);
        assert_eq!(compare(std::slice::from_ref(&a), &[other], true).pairs, []);
        let third = Row { platform: "Chromium".into(), ..b.clone() };
        let comparison = compare(&[a], &[b, third], true);
        assert_eq!(comparison.refused, ["decode of m: A ran on gpu (native), B on cpu (Firefox) and cpu (Chromium)"]);
    }

    #[test]
    fn what_is_nothing_has_no_ratio() {
        let table = compare(&[row("misses", 0.0)], &[row("misses", 3.0)], false).to_string();
        assert!(table.lines().any(|line| line.split_whitespace().eq(["m:", "misses", "0", "3", "-", "tok/s"])), "{table}");
    }
}
