//! Two runs side by side.

use std::fmt;

use crate::{Row, median};

/// What both runs have, and what cannot be compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    pub pairs: Vec<Pair>,
    pub refused: Vec<Refusal>,
}

/// Why a row of one run stands alone, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub model: String,
    pub what: String,
    pub why: String,
}

/// One number of both runs; where a run has it several times, the median.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub model: String,
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
                let Row { model, unit, .. } = ours[0].clone();
                comparison.pairs.push(Pair { model, what: words(ours[0]), unit, a, b });
            }
            None => {
                alike.iter().for_each(|&i| is_met[i] = true);
                let others: Vec<&Row> = alike.iter().map(|&i| b[i][0]).collect();
                comparison.refused.push(refusal(ours[0], reason(ours[0], &others)));
            }
        }
    }
    let only_b = b.iter().zip(is_met).filter(|(_, is_met)| !is_met).map(|(group, _)| group[0]);
    comparison.refused.extend(only_b.map(|row| refusal(row, "A has no such row".to_owned())));
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
    let count = |before: &str, n: Option<u32>, after: &str| n.map_or(String::new(), |n| format!("{before}{n}{after}"));
    let slots = count(", ", row.slots, " slots");
    format!("{}{slots}{}{}", row.measure, count(", ", row.tokens, " tokens"), count(" after ", row.context.filter(|n| *n > 0), ""))
}

fn refusal(row: &Row, why: String) -> Refusal {
    Refusal { model: row.model.clone(), what: words(row), why }
}

/// Why `row` has nothing to stand beside, where B has `others` of the same measure.
fn reason(row: &Row, others: &[&Row]) -> String {
    let list = |words: fn(&Row) -> String| others.iter().map(|other| words(other)).collect::<Vec<_>>().join(" and ");
    let where_it_ran = |row: &Row| format!("{} ({})", row.adapter, row.platform);
    if others.is_empty() {
        "B has no such row".to_owned()
    } else if others.iter().all(|other| other.model != row.model) {
        format!("B's is of {}", list(|other| other.model.clone()))
    } else {
        format!("A ran on {}, B on {}", where_it_ran(row), list(where_it_ran))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.pairs.iter().map(|pair| pair.what.chars().count()).max().unwrap_or(0);
        for of_model in self.pairs.chunk_by(|one, next| one.model == next.model) {
            writeln!(f, "\n{}\n  {:width$}{:>14}{:>14}{:>8}", of_model[0].model, "", "A", "B", "B / A")?;
            for Pair { what, unit, a, b, .. } in of_model {
                let ratio = if *a == 0.0 { "-".to_owned() } else { format!("{:.3}", b / a) };
                writeln!(f, "  {what:width$}{:>14}{:>14}{ratio:>8}  {unit}", number(*a), number(*b))?;
            }
        }
        for alike in self.refused.chunk_by(|one, next| (&one.model, &one.why) == (&next.model, &next.why)) {
            writeln!(f, "\n{}\n  not compared: {}", alike[0].model, alike[0].why)?;
            alike.iter().try_for_each(|refusal| writeln!(f, "    {}", refusal.what))?;
        }
        Ok(())
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

    fn reasons(comparison: &Comparison) -> Vec<(&str, &str)> {
        comparison.refused.iter().map(|refusal| (refusal.what.as_str(), refusal.why.as_str())).collect()
    }

    #[test]
    fn rows_of_both_runs_stand_side_by_side_with_their_ratio() {
        let comparison = compare(&[row("decode", 20.0), row("prefill", 80.0)], &[row("prefill", 100.0), row("decode", 15.0)], false);
        assert_eq!(pairs(&comparison), [("decode", 20.0, 15.0), ("prefill", 80.0, 100.0)]);
        let table = comparison.to_string();
        let decode = table.lines().find(|line| line.contains("decode")).unwrap_or_default();
        assert_eq!(decode.split_whitespace().collect::<Vec<_>>(), ["decode", "20", "15", "0.750", "tok/s"]);
    }

    #[test]
    fn of_a_row_that_a_run_has_several_times_the_median_counts() {
        let a = [3.0, 100.0, 4.0].map(|value| row("decode", value));
        assert_eq!(pairs(&compare(&a, &[row("decode", 8.0)], false)), [("decode", 4.0, 8.0)]);
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
            assert_eq!(reasons(&comparison)[0], ("decode, 4 slots, 32 tokens", "B has no such row"));
            assert_eq!(reasons(&comparison)[1].1, "A has no such row");
        }
    }

    #[test]
    fn another_model_or_adapter_or_platform_is_refused_in_words() {
        let a = row("decode", 1.0);
        let refusals = [
            (Row { model: "n".into(), ..a.clone() }, "B's is of n"),
            (Row { adapter: "cpu".into(), ..a.clone() }, "A ran on gpu (native), B on cpu (native)"),
            (Row { platform: "Firefox".into(), ..a.clone() }, "A ran on gpu (native), B on gpu (Firefox)"),
        ];
        for (b, why) in refusals {
            let comparison = compare(std::slice::from_ref(&a), &[b], false);
            assert_eq!((comparison.pairs.len(), reasons(&comparison)), (0, vec![("decode", why)]));
            assert!(comparison.to_string().contains(&format!("m\n  not compared: {why}\n    decode\n")), "{comparison}");
        }
    }

    #[test]
    fn across_adapters_rows_of_one_model_meet_unless_there_are_several() {
        let a = row("decode", 10.0);
        let b = Row { adapter: "cpu".into(), platform: "Firefox".into(), value: 9.0, ..a.clone() };
        let other = Row { model: "n".into(), ..b.clone() };
        assert_eq!(pairs(&compare(std::slice::from_ref(&a), &[b.clone(), other.clone()], true)), [("decode", 10.0, 9.0)]);
        assert_eq!(compare(std::slice::from_ref(&a), &[other], true).pairs, []);
        let third = Row { platform: "Chromium".into(), ..b.clone() };
        let comparison = compare(&[a], &[b, third], true);
        assert_eq!(reasons(&comparison), [("decode", "A ran on gpu (native), B on cpu (Firefox) and cpu (Chromium)")]);
    }

    #[test]
    fn what_is_nothing_has_no_ratio() {
        let table = compare(&[row("misses", 0.0)], &[row("misses", 3.0)], false).to_string();
        assert!(table.lines().any(|line| line.split_whitespace().eq(["misses", "0", "3", "-", "tok/s"])), "{table}");
    }
}
