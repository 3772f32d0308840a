//! What the kernel table promises: arguments laid out alike in Rust and WGSL, and WGSL that Chromium's
//! compiler takes as naga does.

use std::mem::offset_of;
use std::process::Command;

use kernels::kernels::{FAMILIES, FORMATS};
use kernels::ops::{
    AttentionArgs, FlashDecodeArgs, FlashMergeArgs, GemmArgs, GetRowsArgs, MatmulArgs, MoeDownArgs, MoeGateUpArgs, MoeGroupArgs,
    MoeSumArgs, RmsNormArgs, RopeAppendArgs, RouteSlotsArgs, RouterArgs, SampleArgs, SampleBinsArgs, SampleScanArgs,
};
use kernels::{Format, Kernel};

/// Names and offsets of a struct's fields, and its size.
macro_rules! layout {
    ($args:ident: $($field:ident)*) => {
        (vec![$((stringify!($field), offset_of!($args, $field) as u32)),*], size_of::<$args>() as u32)
    };
}

fn all() -> impl Iterator<Item = &'static Kernel> {
    FAMILIES.iter().copied().flatten()
}

#[test]
fn arguments_lie_alike_in_rust_and_wgsl() {
    for kernel in all() {
        let (fields, bytes) = match kernel.shader {
            "attention" => {
                layout!(AttentionArgs: n_tokens n_heads n_kv_heads head_dim capacity n_sequences first_row window n_groups scale)
            }
            "flash_decode" => layout!(
                FlashDecodeArgs: n_heads n_kv_heads head_dim n_rot interleaved capacity n_sequences window n_parts first_row row concentration scale
            ),
            "flash_merge" => layout!(FlashMergeArgs: n_heads head_dim window n_parts first_row),
            "gemm" => layout!(GemmArgs: n_rows n_cols depth),
            "get_rows" => layout!(GetRowsArgs: n_cols n_tokens part_row n_rows n_blocks first_row),
            "matmul" => layout!(MatmulArgs: n_cols n_rows n_tokens first_token n_blocks first_row y_stride y_first eps),
            "moe_down" => layout!(MoeDownArgs: n_cols n_rows n_blocks first_slot n_slots),
            "moe_gate_up_swiglu" => {
                layout!(MoeGateUpArgs: n_cols n_rows n_used n_experts n_blocks first_slot n_slots alpha limit shift)
            }
            "moe_group" => layout!(MoeGroupArgs: n_choices n_experts),
            "moe_sum_residual" => layout!(MoeSumArgs: n_rows n_used),
            "rms_norm" => layout!(RmsNormArgs: n_cols eps),
            "rope_append" => {
                layout!(RopeAppendArgs: n_heads n_kv_heads head_dim n_rot interleaved capacity n_sequences first_row concentration)
            }
            "route_slots" => layout!(RouteSlotsArgs: n_routes n_experts layer),
            "router_topk" => layout!(RouterArgs: n_cols n_experts n_used eps layer stand_ins first_row),
            "sample" => layout!(SampleArgs: n_vocab n_slices n_tokens n_words first_row),
            "sample_bins" => layout!(SampleBinsArgs: n_vocab slice n_slices n_words first_row),
            "sample_scan" => layout!(SampleScanArgs: n_vocab slice n_words first_row),
            other => panic!("{other} has arguments that no test knows"),
        };
        assert_eq!(kernel.args, fields, "{}", kernel.name);
        assert_eq!(kernel.args_bytes, bytes, "{}", kernel.name);
    }
}

#[test]
fn every_family_has_a_kernel_for_every_format_under_a_name_of_its_own() {
    let mut names: Vec<&str> = all().map(|k| k.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().count());
    for family in FAMILIES.iter().filter(|f| f.len() > 1) {
        for format in Format::all() {
            let name = FORMATS[format.index()];
            assert_eq!(name, format.dtype().name().to_lowercase());
            assert!(family[format.index()].name.starts_with(&format!("f32_{name}_")), "{}", family[format.index()].name);
        }
    }
}

/// Tint also checks what naga does not: that barriers stand in uniform control flow.
#[test]
#[ignore = "needs tint on the PATH"]
fn tint_takes_every_kernel() {
    let dir = std::env::temp_dir().join(format!("quire-tint-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let tint = |name: &str, source: &str| {
        let path = dir.join(format!("{name}.wgsl"));
        std::fs::write(&path, source).unwrap();
        Command::new("tint").args(["--format", "wgsl"]).arg(&path).output().unwrap()
    };
    let non_uniform =
        "@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { if (i == 0u) { workgroupBarrier(); } }";
    let verdict = tint("non_uniform", non_uniform);
    assert!(!verdict.status.success(), "tint lets a barrier under a condition pass, so its verdict on kernels says little");
    for kernel in all() {
        for (enable, subgroup) in [("", None), ("enable subgroups;", Some(32))] {
            let output = tint(kernel.name, &(enable.to_owned() + &kernel.source(subgroup).unwrap()));
            assert!(output.status.success(), "{}:\n{}", kernel.name, String::from_utf8_lossy(&output.stderr));
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
