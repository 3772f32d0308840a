//! The program as it is run: what it prints, where, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so and stop")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(name)
}

fn nano() -> String {
    vector("nano/nano.gguf").display().to_string()
}

fn nano_f32() -> String {
    vector("nano/nano-f32.gguf").display().to_string()
}

/// A file of this test run, unlike any other test's.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Runs the program to its end.
fn quire(args: &[&str], stdin: impl AsRef<[u8]>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quire"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // A program that fails early does not read to the end.
    let _ = input.write_all(stdin.as_ref());
    drop(input);
    child.wait_with_output().unwrap()
}

/// Stdout of a run that must succeed.
fn stdout(args: &[&str], stdin: impl AsRef<[u8]>) -> String {
    let output = quire(args, stdin);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(args: &[&str], stdin: impl AsRef<[u8]>) -> Value {
    serde_json::from_str(&stdout(args, stdin)).unwrap()
}

/// Not a number where there is none.
fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or(f64::NAN)
}

/// The one line on stderr of a run that must fail. Vulkan's loader has words of its own, which are not the program's.
fn failure(args: &[&str], stdin: impl AsRef<[u8]>) -> String {
    let output = quire(args, stdin);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.contains("XDG_RUNTIME_DIR")).collect();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    assert_eq!(lines.len(), 1, "{args:?}: {stderr}");
    assert!(lines[0].starts_with("quire: "), "{stderr}");
    lines[0].to_owned()
}

fn tokens(n: u32) -> String {
    std::fs::read_to_string(vector(&format!("nano/tokens-{n}.txt"))).unwrap().trim().to_owned()
}

fn floats(path: &Path) -> Vec<f32> {
    std::fs::read(path).unwrap().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// `rms(got - expected) / rms(expected)`.
fn relative_rms(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = got.iter().zip(expected).map(|(g, e)| square(g - e)).sum();
    (error / expected.iter().map(|e| square(*e)).sum::<f64>()).sqrt()
}

#[test]
fn inspect_tells_types_bytes_and_memory() {
    let report = json_of(&["inspect", &nano(), "--json"], "");
    assert_eq!(report["architecture"], "gpt-oss");
    let h = &report["hyperparameters"];
    assert_eq!([&h["n_layers"], &h["n_embd"], &h["n_experts"], &h["n_experts_used"], &h["sliding_window"]], [3, 96, 8, 4, 128]);
    let types: Vec<&str> = report["tensor_types"].as_array().unwrap().iter().map(|t| t["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["F32", "Q8_0", "MXFP4"]);
    let bytes = |part: &str| report["bytes"][part].as_u64().unwrap();
    // Three matrices of 96 x 32, 17 bytes for every 32 weights.
    assert_eq!(bytes("per_expert"), 3 * 96 * 17);
    assert_eq!(bytes("experts"), 3 * 8 * bytes("per_expert"));
    assert_eq!(bytes("dense") + bytes("experts"), bytes("total"));
    let memory = |part: &str| report["memory"][part].as_u64().unwrap();
    let experts = |part: &str| report["memory"]["experts"][part].as_u64().unwrap();
    assert_eq!(memory("dense") + experts("bytes") + memory("kv_cache") + memory("scratch"), memory("total"));
    assert_eq!((experts("slots"), experts("least_slots")), (8, 5));
    assert_eq!(memory("context"), 4096);

    let twice = json_of(&["inspect", &nano(), "--json", "--kv", "f32"], "");
    assert_eq!(twice["memory"]["kv_cache"].as_u64().unwrap(), 2 * memory("kv_cache"));
    let longer = json_of(&["inspect", &nano(), "--json", "--context", "8192"], "");
    assert!(longer["memory"]["kv_cache"].as_u64().unwrap() > memory("kv_cache"));
    let four = json_of(&["inspect", &nano(), "--json", "--parallel", "4"], "");
    assert_eq!(number(&four["memory"], "kv_cache"), 4.0 * number(&report["memory"], "kv_cache"));
    assert!(stdout(&["inspect", "nano", "--parallel", "4"], "").contains("a context of 4096 for each of 4 sequences (f16)"));
    assert!(stdout(&["inspect", "nano"], "").contains("GPU memory for a context of 4096"));

    // The budget that is said to be the least is: it gives the fewest slots, and a byte less is refused.
    let least = experts("least_total");
    let tight = json_of(&["inspect", &nano(), "--json", "--gpu-memory", &least.to_string()], "");
    assert_eq!([&tight["memory"]["total"], &tight["memory"]["experts"]["slots"]], [&json!(least), &json!(5)]);
    let refused = failure(&["inspect", &nano(), "--gpu-memory", &(least - 1).to_string()], "");
    assert!(refused.contains(&format!("needs {least} B")), "{refused}");
    let asked = stdout(&["inspect", "nano", "--slots", "6"], "");
    assert!(asked.contains("6 of 8 a layer") && asked.contains("with 5 slots a layer"), "{asked}");
    assert!(failure(&["inspect", &nano(), "--slots", "4"], "").contains("at least 5 are needed"));
}

#[test]
fn tokens_decode_to_what_they_were_made_of() {
    let text = "in the beginning <|start|>\n\nwas 12 é \u{1F600}\r\n";
    let ids = stdout(&["tokenize", &nano()], text);
    assert!(ids.ends_with('\n') && ids.trim().split(' ').all(|id| id.parse::<u32>().is_ok_and(|id| id < 275)), "{ids}");
    assert_eq!(stdout(&["tokenize", &nano(), "--decode"], &ids), text);
    assert_eq!(stdout(&["tokenize", &nano(), "--special"], "<|start|> the"), "283 258\n");
    assert_eq!(stdout(&["tokenize", &nano(), "--decode"], "[283, 258]"), "<|start|> the");
    // Half a character is given out as it is.
    let id = stdout(&["tokenize", &nano()], "\u{1F600}").split(' ').next().unwrap().to_owned();
    assert_eq!(quire(&["tokenize", &nano(), "--decode"], id).stdout, [0xF0]);
}

#[test]
fn a_request_is_rendered_and_its_ids_are_parsed_back() {
    let request = json!({
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is <|end|>?"},
        ],
        "date": "2025-06-28",
        "identity": "You are a test.",
        "reasoning_effort": "low",
    });
    let prompt = json_of(&["render", &nano()], request.to_string());
    let text = prompt["text"].as_str().unwrap();
    assert_eq!(
        text,
        "<|start|>system<|message|>You are a test.\nKnowledge cutoff: 2024-06\nCurrent date: 2025-06-28\n\nReasoning: low\n\n\
         # Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>\
         <|start|>developer<|message|># Instructions\n\nBe brief.<|end|><|start|>user<|message|>What is <|end|>?<|end|><|start|>assistant"
    );
    let ids: Vec<u64> = prompt["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(ids.iter().filter(|id| **id == 284).count(), 3, "<|end|> in a message is no control token");

    let answer = stdout(
        &["tokenize", &nano(), "--special"],
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>A mark.<|return|>",
    );
    assert_eq!(
        json_of(&["parse", &nano()], answer),
        json!([
            {"role": "assistant", "channel": "analysis", "content": "Hm"},
            {"role": "assistant", "channel": "final", "content": "A mark."},
        ])
    );
    let whole: Vec<String> = ids[..ids.len() - stdout(&["tokenize", &nano(), "--special"], "<|start|>assistant").split(' ').count()]
        .iter()
        .map(u64::to_string)
        .collect();
    let messages = json_of(&["parse", &nano()], whole.join(" "));
    assert_eq!(messages[2], json!({"role": "user", "content": "What is <|end|>?"}));

    let cut = quire(&["parse", &nano()], stdout(&["tokenize", &nano(), "--special"], "<|message|>a<|end|><|start|>assis"));
    assert_eq!(cut.status.code(), Some(1));
    assert_eq!(serde_json::from_slice::<Value>(&cut.stdout).unwrap(), json!([{"role": "assistant", "content": "a"}]));
}

#[test]
fn logits_are_those_of_a_float64_forward() {
    for n in [1, 40] {
        let out = scratch(&format!("logits-{n}.f32"));
        let path = out.display().to_string();
        let golden = floats(&vector(&format!("nano/nano-f32.logits-{n}.f32")));
        json_of(&["logits", &nano_f32(), "--tokens", &tokens(n), "--out", &path, "--all"], "");
        let all = floats(&out);
        let error = relative_rms(&all, &golden);
        assert!(error < 1e-5, "{n} tokens: {error:e}");
        json_of(&["logits", &nano_f32(), "--tokens", &tokens(n), "--out", &path], "");
        assert_eq!(floats(&out), all[all.len() - 300..], "the last position alone");
    }
    let out = scratch("logits-rounded.f32");
    let path = out.display().to_string();
    json_of(&["logits", &nano_f32(), "--tokens", &tokens(40), "--out", &path, "--all", "--yarn-rounded"], "");
    let error = relative_rms(&floats(&out), &floats(&vector("nano/nano-f32-rounded.logits-40.f32")));
    assert!(error < 1e-5, "{error:e}");
}

#[test]
fn greedy_generation_is_the_same_each_time_and_streams_the_same_text() {
    let args = ["generate", &nano(), "--tokens", "1,2,3", "--max-tokens", "12"];
    let once = json_of(&[&args[..], &["--json"]].concat(), "");
    let again = json_of(&[&args[..], &["--json"]].concat(), "");
    assert_eq!(once["ids"], again["ids"]);
    assert_eq!(once["ids"].as_array().unwrap().len(), 12);
    assert_eq!(once["finish_reason"], "length");
    assert!(once["prefill_tps"].as_f64().unwrap() > 0.0 && once["decode_tps"].as_f64().unwrap() > 0.0);
    assert_eq!(stdout(&args, ""), format!("{}\n", once["text"].as_str().unwrap()));
    let exact = json_of(&[&args[..], &["--json", "--kv", "f32"]].concat(), "");
    assert_eq!(exact["ids"], once["ids"]);

    let hot = ["generate", &nano(), "--tokens", "1,2,3", "--max-tokens", "12", "--temperature", "1.5", "--json"];
    let seeded = |seed: &str| json_of(&[&hot[..], &["--seed", seed]].concat(), "")["ids"].clone();
    assert_eq!(seeded("1"), seeded("1"));
    assert_ne!(seeded("1"), seeded("2"));
}

#[test]
fn a_prompt_is_text_and_ends_where_the_context_does() {
    let args = ["generate", &nano(), "--prompt", "the end", "--context", "10", "--ignore-eos", "--json"];
    let report = json_of(&args, "");
    let n_prompt = report["n_prompt"].as_u64().unwrap();
    assert_eq!(n_prompt, stdout(&["tokenize", &nano()], "the end").split(' ').count() as u64);
    assert_eq!(report["ids"].as_array().unwrap().len() as u64, 10 - n_prompt + 1);
    assert_eq!(report["finish_reason"], "length");
}

#[test]
fn bench_counts_what_a_token_costs() {
    let report = json_of(&["bench", &nano(), "--prefill", "20", "--decode", "6", "--json"], "");
    for field in ["prefill_tps", "decode_tps", "first_token_ms", "dispatches", "bytes_read", "readbacks", "gpu_bytes"] {
        assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
    }
    // A decode step is recorded once: it makes no bind group and writes nothing.
    assert_eq!(["bind_groups", "bytes_written", "passes"].map(|field| number(&report, field)), [0.0, 0.0, 1.0]);
    assert!(report["adapter"].as_str().is_some_and(|adapter| !adapter.is_empty()));
}

#[test]
fn bench_adds_what_it_measured_to_a_file() {
    let path = scratch("bench-out.csv");
    std::fs::remove_file(&path).ok();
    let out = ["--out", path.to_str().unwrap(), "--conditions", "nothing else ran"];
    let nano = nano();
    json_of(&[&["bench", &nano, "--prefill", "2", "--decode", "3", "--runs", "1", "--json"], &out[..]].concat(), "");
    stdout(&[&["bench", "kernels", &nano, "--ms", "0"], &out[..]].concat(), "");
    let rows = measures::read(&path).unwrap();
    let units = |measure: &str| rows.iter().filter(|row| row.measure.starts_with(measure)).map(|row| row.unit.as_str()).collect::<Vec<_>>();
    assert_eq!(units("decode"), ["tok/s"]);
    assert_eq!(units("product"), ["GFLOP/s"]);
    assert_eq!(units("f32_q8_0_matvec_bias_residual")[..3], ["us", "GB/s", "GFLOP/s"]);
    assert!(
        rows.iter().all(|row| row.conditions.ends_with("nothing else ran") && row.platform == "native" && row.slots == Some(8)),
        "{rows:?}"
    );
}

#[test]
fn bench_batch_measures_sequences_together_and_alone() {
    let report = json_of(&["bench", "batch", &nano(), "--parallel", "1,3", "--prefill", "2", "--decode", "4", "--json"], "");
    let batches = report["batches"].as_array().unwrap();
    assert_eq!(batches.iter().map(|row| number(row, "parallel")).collect::<Vec<_>>(), [1.0, 3.0]);
    assert!(batches.iter().all(|row| number(row, "decode_tps") > 0.0 && number(row, "alone_tps") > 0.0), "{report}");
    assert!(number(&batches[1], "gpu_bytes") > number(&batches[0], "gpu_bytes"));
    let step = json_of(&["bench", "kernels", &nano(), "--ms", "0", "--parallel", "3", "--json"], "");
    assert!(step["kernels"].as_array().unwrap().iter().any(|row| row["kernel"].as_str().unwrap().ends_with("rms_matmul_few")), "{step}");
}

#[test]
fn bench_drafts_measures_decode_with_and_without() {
    let report = json_of(&["bench", "drafts", &nano(), "--text", "a b c", "--rounds", "1", "--decode", "8", "--json"], "");
    assert!(["without_tps", "with_tps"].iter().all(|rate| number(&report, rate) > 0.0), "{report}");
    assert!(number(&report, "draft_hits") <= number(&report, "drafted"), "{report}");
}

#[test]
fn bench_kernels_times_every_kernel_of_a_step() {
    let step = |tokens: &str| json_of(&["bench", "kernels", &nano(), "--ms", "0", "--tokens", tokens, "--json"], "");
    let report = step("1");
    let kernels = report["kernels"].as_array().unwrap();
    // As many as a decoded token takes.
    let bench = json_of(&["bench", &nano(), "--prefill", "2", "--decode", "6", "--json"], "");
    assert_eq!(kernels.iter().map(|row| number(row, "dispatches")).sum::<f64>(), number(&bench, "dispatches"));
    let shares: f64 = kernels.iter().map(|row| number(row, "share_of_step")).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{report}");
    let [copy, product] = ["copy_gb_per_second", "product_gflop_per_second"].map(|ceiling| number(&report, ceiling));
    for row in kernels {
        assert!(number(row, "ms") > 0.0, "{row}");
        let name = row["kernel"].as_str().unwrap();
        let reads_weights = ["matvec", "moe_gate_up", "moe_down"].iter().any(|part| name.contains(part));
        assert_eq!(row["bound"].is_string(), reads_weights, "{row}");
        if reads_weights {
            let shares = [number(row, "gb_per_second") / copy, number(row, "gflop_per_second") / product];
            let (bound, share) = if shares[0] >= shares[1] { ("bytes", shares[0]) } else { ("operations", shares[1]) };
            assert_eq!(row["bound"], bound, "{row}");
            assert!((number(row, "share_of_bound") / share - 1.0).abs() < 1e-9, "{row}");
            assert!(["narrow", "wide"].iter().any(|variant| row["variant"] == *variant), "{row}");
        }
    }
    assert!(step("20")["kernels"].as_array().unwrap().iter().any(|row| row["kernel"].as_str().unwrap().ends_with("_tile")));
}

/// A trace of one layer with four experts, of which the prompt's token uses 0, and decode's 1, 2 and 0.
const TRACE: &str = "# route_trace v1\n# model=m arch=a n_layer=1 n_expert=4 n_expert_used=1\n\
    turn,phase,step,layer,slot,expert,weight,residency,expert_bytes\n\
    0,0,0,0,0,0,1,0,9\n0,1,0,0,0,1,1,0,9\n0,1,1,0,0,2,1,0,9\n0,1,2,0,0,0,1,0,9\n";

#[test]
fn bench_cache_judges_policies_by_a_trace() {
    let path = scratch("bench-cache.csv");
    std::fs::write(&path, TRACE).unwrap();
    let args = ["bench", "cache", "--trace", path.to_str().unwrap(), "--slots", "1,50%,3"];
    let report = json_of(&[&args[..], &["--json"]].concat(), "");
    assert_eq!(report["slots"], json!([1, 2, 3]));
    assert_eq!(report["accesses"], 3);
    let rates = |policy: &str| {
        let row = report["policies"].as_array().unwrap().iter().find(|row| row["policy"] == policy);
        row.map(|row| row["hit_rates"].clone())
    };
    // Expert 0 again: with two slots it takes the future to have kept it.
    assert_eq!(rates("LRU"), Some(json!([0.0, 0.0, 1.0 / 3.0])));
    assert_eq!(rates("optimum"), Some(json!([0.0, 1.0 / 3.0, 1.0 / 3.0])));
    let table = stdout(&args, "");
    let row = table.lines().find(|line| line.contains("optimum")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["optimum", "0.00", "33.33", "33.33"]);
}

#[test]
fn bench_misses_measures_each_tier_beside_its_ceilings() {
    let report = json_of(&["bench", "misses", &nano(), "--rounds", "2", "--json"], "");
    assert_eq!([&report["bytes_per_expert"], &report["experts_at_once"]], [3 * 96 * 17, 4]);
    let tiers = report["tiers"].as_array().unwrap();
    assert_eq!(tiers.iter().map(|t| t["tier"].as_str().unwrap()).collect::<Vec<_>>(), ["memory", "cache", "disk", "http"]);
    for tier in tiers {
        let ms = |field: &str| tier[field].as_f64().unwrap_or(0.0);
        assert_eq!(tier["read_ceiling_ms"].is_null(), tier["tier"] == "memory");
        assert!(ms("miss_ms") > 0.0 && ms("upload_ceiling_ms") > 0.0, "{tier}");
        let slower = ms("read_ceiling_ms").max(ms("upload_ceiling_ms"));
        assert!((ms("ratio") * slower / ms("miss_ms") - 1.0).abs() < 1e-9, "{tier}");
    }
}

#[test]
fn a_trace_has_a_row_for_each_choice_and_says_what_was_read() {
    let model = vector("nano-moe16/nano-moe16.gguf").display().to_string();
    let path = scratch("trace-moe16.csv");
    let out = path.to_str().unwrap();
    let turns = ["trace", &model, "--tokens", "1,2,3,4,5,6,7", "--tokens", "8,9", "--max-tokens", "10", "--ignore-eos", "-o", out];
    // In two turns of 7 and 2 tokens, 10 are drawn each; all but the last are run.
    let n_tokens = 7 + 2 + 10 + 10 - 1;
    let heat = scratch("trace-moe16.heat");
    for slots in [&[][..], &["--slots", "5"]] {
        let told = stdout(&[&turns[..], &["--heat", heat.to_str().unwrap()], slots].concat(), "");
        assert!(told.contains("10 prompt and 18 decoded tokens in 4 layers"), "{told}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# route_trace v1\n# model="), "{text}");
        let rows: Vec<Vec<&str>> =
            text.lines().skip_while(|line| !line.starts_with("turn,")).skip(1).map(|l| l.split(',').collect()).collect();
        assert_eq!(rows.len(), n_tokens * 4 * 4);
        // The heat map has the share of tokens that used each expert.
        let map = std::fs::read(&heat).unwrap();
        let heats: Vec<f32> = map[16..].chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        assert_eq!((&map[..4], heats.len()), (&b"QHEA"[..], 4 * 16));
        for (i, heat) in heats.iter().enumerate() {
            let [layer, expert] = [i / 16, i % 16].map(|n| n.to_string());
            let uses = rows.iter().filter(|row| row[3] == layer && row[5] == expert).count();
            assert!((heat / 17.817 - uses as f32 / n_tokens as f32).abs() < 1e-4, "{layer} {expert}: {heat}, {uses} uses");
        }
        // An expert's first use is a miss and was read; all of them stay where there is room for all.
        let (read, there): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row[7] == "0");
        assert!(there.iter().all(|row| row[8] == "0") && read.iter().all(|row| row[8] != "0"));
        let mut experts: Vec<[&str; 2]> = read.iter().map(|row| [row[3], row[5]]).collect();
        let n_read = experts.len();
        experts.sort_unstable();
        experts.dedup();
        assert_eq!(experts.len() == n_read, slots.is_empty(), "{slots:?}");

        let report = json_of(&["bench", "cache", "--trace", out, "--slots", "5", "--json"], "");
        assert_eq!([&report["layers"], &report["experts"], &report["experts_used"], &report["accesses"]], [4, 16, 4, 18 * 4 * 4]);
    }
}

#[test]
fn a_chat_through_a_pipe_answers_line_by_line() {
    let chat = ["chat", &nano(), "--max-tokens", "4", "--temperature", "0"];
    let output = quire(&chat, "hi\n\n/reset\nhi\n/nonsense\n/quit\nnever read\n");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("/nonsense is no command"), "{stderr}");
    assert!(!output.stdout.contains(&0x1b), "no escapes through a pipe");
    assert_eq!(stderr.matches("(cut: ").count(), 2, "two answers of 4 tokens: {stderr}");
}

#[test]
fn usage_errors_are_2() {
    let nano = nano();
    let wrong: &[&[&str]] = &[
        &[],
        &["nonsense"],
        &["inspect"],
        &["bench"],
        &["bench", "cache"],
        &["bench", &nano, "cache"],
        &["bench", "cache", "--trace", "unread", "--slots", "120%"],
        &["generate", &nano],
        &["generate", &nano, "--prompt", "a", "--tokens", "1"],
        &["generate", &nano, "--tokens", "1,x"],
        &["generate", &nano, "--tokens", ""],
        &["generate", &nano, "--prompt", "a", "--temperature", "-1"],
        &["generate", &nano, "--prompt", "a", "--top-p", "2"],
        &["generate", &nano, "--prompt", "a", "--context", "0"],
        &["generate", &nano, "--prompt", "a", "--gpu-memory", "4X"],
        &["logits", &nano, "--tokens", "1"],
        &["trace", &nano, "--tokens", "1"],
        &["trace", &nano, "-o", "unwritten.csv"],
        &["trace", &nano, "--tokens", "1", "--prompt", "a", "-o", "unwritten.csv"],
        &["synth", "--like", "gpt-5", "out.gguf"],
    ];
    for args in wrong {
        let output = quire(args, "");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn failures_are_1_and_one_line_that_says_why() {
    let nano = nano();
    let bytes = std::fs::read(vector("nano/nano.gguf")).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = scratch(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let text = file("a-text.gguf", b"Dear reader,\nthis is no model.\n");
    let html = file("a-page.gguf", b"<!DOCTYPE html>\n<html><title>404</title></html>\n");
    let empty = file("empty.gguf", b"");
    let header_cut = file("header-cut.gguf", &bytes[..9500]);
    let data_cut = file("data-cut.gguf", &bytes[..bytes.len() - 100]);
    let missing = scratch("missing.gguf").display().to_string();
    let trace = file("trace.csv", TRACE.as_bytes());
    let undecoded = file("undecoded.csv", TRACE.split("\n0,1,").next().unwrap_or_default().as_bytes());
    let cases: &[(&[&str], &str, &str)] = &[
        (&["inspect", &text], "", "a text that begins with \"Dear reader"),
        (&["tokenize", &html], "", "an HTML page"),
        (&["inspect", &empty], "", "empty"),
        (&["inspect", &header_cut], "", "ends at byte 9500"),
        (&["logits", &data_cut, "--tokens", "1", "--out", "unwritten.f32"], "", "ends at byte"),
        (&["inspect", &missing], "", &missing),
        (&["inspect", env!("CARGO_MANIFEST_DIR")], "", "not a file"),
        (&["inspect", "no-such-model"], "", "known are nano, nano-f32"),
        (&["render", &nano], "not JSON", "not valid"),
        (&["render", &nano], "{\"messages\":[]}", "no messages"),
        (&["parse", &nano], "1 2 x", "\"x\" is no token id"),
        (&["parse", &nano], "300", "300"),
        (&["tokenize", &nano, "--decode"], "300", "token id 300 is not below"),
        (&["generate", &nano, "--tokens", "300"], "", "300"),
        (&["generate", &nano, "--prompt", "a", "--context", "200000"], "", "200000"),
        (&["generate", &nano, "--prompt", "a", "--gpu-memory", "1M"], "", "1048576"),
        (&["generate", &nano, "--tokens", "1,2,3", "--context", "2"], "", "3 tokens"),
        (&["bench", &nano, "--prefill", "5000"], "", "context"),
        (&["bench", "cache", "--trace", &missing], "", &missing),
        (&["bench", "cache", "--trace", &text], "", "n_expert="),
        (&["bench", "cache", "--trace", &trace, "--slots", "10%"], "", "uses 1 experts of a layer, there are 0 slots"),
        (&["bench", "cache", "--trace", &trace, "--slots", "5"], "", "has 4 experts, there are 5 slots"),
        (&["bench", "cache", "--trace", &undecoded, "--slots", "2"], "", "no decode rows"),
        (&["logits", &nano, "--tokens", "1", "--out", "/no/such/folder/out"], "", "/no/such/folder/out"),
        (&["trace", &nano, "--tokens", "1", "--out", "/no/such/folder/out"], "", "/no/such/folder/out"),
        (&["synth", "--like", "gpt-oss-20b", "--layers", "1", "/no/such/folder/out"], "", "/no/such/folder/out"),
    ];
    for (args, stdin, expected) in cases {
        let line = failure(args, stdin);
        assert!(line.contains(expected), "{args:?}: {line}");
    }
    let output = quire(&["tokenize", &nano], [b'a', 0xFF]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not UTF-8 from byte 1"));
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quire"))
        .args(["generate", &nano(), "--tokens", "1", "--max-tokens", "2000", "--ignore-eos"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
