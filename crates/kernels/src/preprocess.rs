//! The whole template language of the shaders: `#import`, `#import weights as NAME`, `#ifdef`,
//! `#ifndef`, `#else`, `#endif`. Shared by `build.rs`, which checks every permutation, and by the
//! library, which expands the few that a model needs when it makes their pipelines.

/// What one permutation fixes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices<'a> {
    /// File stem under `shared/weights/` that `#import weights` stands for.
    pub(crate) weights: Option<&'a str>,
    /// Names that `#ifdef` sees.
    pub(crate) defines: &'a [&'a str],
    /// Threads of the adapter's subgroups, a power of two: then `#ifdef` sees `SUBGROUPS`, and the text knows it as `SUBGROUP`.
    pub(crate) subgroup: Option<u32>,
}

impl Choices<'_> {
    fn has(&self, flag: &str) -> bool {
        self.defines.contains(&flag) || flag == "SUBGROUPS" && self.subgroup.is_some()
    }
}

/// Expands `shader` (a stem); `file` gives the text of `shader.wgsl` or of an import.
///
/// # Errors
/// In words: a missing file, an unknown directive, an unbalanced conditional.
pub(crate) fn expand<'f>(shader: &str, choices: Choices<'_>, file: &dyn Fn(&str) -> Option<&'f str>) -> Result<String, String> {
    let mut out = String::new();
    let text = file(shader).ok_or_else(|| format!("no shader named {shader}"))?;
    expand_into(&mut out, shader, text, choices, file)?;
    match choices.subgroup {
        Some(size) if out.contains("SUBGROUP") => Ok(format!("const SUBGROUP: u32 = {size}u;\n{out}")),
        _ => Ok(out),
    }
}

fn expand_into<'f>(
    out: &mut String,
    name: &str,
    text: &str,
    choices: Choices<'_>,
    file: &dyn Fn(&str) -> Option<&'f str>,
) -> Result<(), String> {
    // One entry a nested conditional: whether its current branch is taken.
    let mut taken: Vec<bool> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let at = |what: &str| format!("{name}.wgsl:{}: {what}", i + 1);
        let mut words = line.trim_start().strip_prefix('#').unwrap_or("").split_whitespace();
        let (directive, rest) = (words.next(), words.collect::<Vec<_>>());
        match (directive, rest.as_slice()) {
            (Some("ifdef"), [flag]) => taken.push(choices.has(flag)),
            (Some("ifndef"), [flag]) => taken.push(!choices.has(flag)),
            (Some("else"), []) => {
                let last = taken.last_mut().ok_or_else(|| at("#else without #ifdef"))?;
                *last = !*last;
            }
            (Some("endif"), []) => {
                taken.pop().ok_or_else(|| at("#endif without #ifdef"))?;
            }
            _ if taken.contains(&false) => {}
            (None, _) => {
                out.push_str(line);
                out.push('\n');
            }
            (Some("import"), ["weights", "as", prefix]) => {
                let format = choices.weights.ok_or_else(|| at("no weight format in this permutation"))?;
                let import = format!("shared/weights/{format}");
                let text = file(&import).ok_or_else(|| at(&format!("no file {import}.wgsl")))?;
                expand_into(out, &import, &rename(text, prefix), choices, file)?;
            }
            (Some("import"), [import]) => {
                let import = format!("shared/{import}");
                let text = file(&import).ok_or_else(|| at(&format!("no file {import}.wgsl")))?;
                expand_into(out, &import, text, choices, file)?;
            }
            _ => return Err(at(&format!("not a directive: {line}"))),
        }
    }
    if taken.is_empty() { Ok(()) } else { Err(format!("{name}.wgsl: #ifdef without #endif")) }
}

/// Gives every identifier that begins with `w_` the prefix `PREFIX_` instead, so that one weight
/// format can serve several matrices of one kernel.
fn rename(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("w_") && !before.is_alphanumeric() && before != '_' {
            out.push_str(prefix);
            rest = &rest[1..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
        before = c;
    }
    out
}
