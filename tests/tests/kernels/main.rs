//! Every kernel on a GPU against its CPU twin, and both against a reference in f64.
//!
//! Dequantisation is exact; reductions are within a stated share of the sum of their terms' magnitudes.
//! A GPU is needed and software Vulkan will do: without one these tests fail.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod attention;
mod batch;
mod bench;
mod browser;
mod gemm;
mod get_rows;
mod gpu;
mod matmul;
mod moe;
mod norm;
mod planes;
mod random;
mod rope;
mod router;
mod sample;
mod sample_filters;
mod table;
mod weights;
