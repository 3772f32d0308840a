//! Which shapes suit the adapter's kernels, kept with a model between visits: trying them takes a second.

use engine::{Gpu, Shape};
use serde::{Deserialize, Serialize};
use store::Library;

/// What they are called among what is kept with a model.
const NAME: &str = "shapes";
/// Another version may have other kernels.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize, Deserialize)]
struct Kept {
    quire: String,
    adapter: String,
    shapes: Vec<Shape>,
}

/// Takes up, and gives, what an earlier visit with the same adapter and the same version found.
pub(crate) async fn restore(library: &Library, gpu: &Gpu) -> Vec<Shape> {
    let kept = library.note(NAME).await.unwrap_or_else(|error| {
        log::warn!("what is kept of kernels' shapes cannot be read: {error}");
        None
    });
    let shapes = kept.and_then(|bytes| decode(&bytes, &gpu.adapter())).unwrap_or_default();
    gpu.restore_shapes(shapes.clone());
    shapes
}

/// Keeps those of the adapter, if they are other ones than `kept`.
pub(crate) async fn keep(library: &Library, gpu: &Gpu, kept: &[Shape]) {
    let shapes = gpu.shapes();
    if shapes == kept {
        return;
    }
    if let Err(error) = library.set_note(NAME, &encode(shapes, gpu.adapter())).await {
        log::warn!("kernels' shapes are not kept: {error}");
    }
}

fn encode(shapes: Vec<Shape>, adapter: String) -> Vec<u8> {
    serde_json::to_vec(&Kept { quire: VERSION.into(), adapter, shapes }).unwrap_or_default()
}

fn decode(bytes: &[u8], adapter: &str) -> Option<Vec<Shape>> {
    let kept: Kept = serde_json::from_slice(bytes).ok()?;
    (kept.quire == VERSION && kept.adapter == adapter).then_some(kept.shapes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_come_back_on_the_same_adapter_and_version_alone() {
        let shapes = vec![Shape { kernel: "matvec_q8_0".into(), rows: 2880, is_wide: true }];
        let bytes = encode(shapes.clone(), "one".into());
        assert_eq!(decode(&bytes, "one"), Some(shapes));
        assert_eq!(decode(&bytes, "another"), None);
        let older = String::from_utf8_lossy(&bytes).replace(VERSION, "0.0.0");
        assert_eq!(decode(older.as_bytes(), "one"), None);
        assert_eq!(decode(&bytes[..bytes.len() - 1], "one"), None);
    }
}
