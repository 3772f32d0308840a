//! The heat map that is kept with a model between visits: how much each expert was used of late. For the first visit one may be shipped
//! beside the model, as `MODEL.gguf.heat`.
//!
//! Bytes, little-endian: `QHEA`, u32 version, u32 layers, u32 experts a layer, then f32 heat of each, layer by layer.

use engine::Experts;
use store::Library;

/// What the map is called among what is kept with a model.
const NAME: &str = "heat";
/// What follows the model's name in that of a map that is shipped beside it.
const SUFFIX: &str = ".heat";
const MAGIC: [u8; 4] = *b"QHEA";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 16;

/// Takes up an earlier visit's heat, or else what is shipped beside the model. A map that is damaged, of another version or another
/// model is passed over.
pub(crate) async fn restore(library: &Library, experts: &Experts) {
    if experts.n_layers() == 0 {
        return;
    }
    let kept = library.note(NAME).await.unwrap_or_else(|error| {
        log::warn!("the heat map cannot be read: {error}");
        None
    });
    if kept.is_some_and(|bytes| take(experts, &bytes)) {
        return;
    }
    let bytes = HEAD_BYTES + experts.n_layers() * experts.n_experts() as usize * 4;
    if let Some(bytes) = library.beside(SUFFIX, bytes as u64).await {
        take(experts, &bytes);
    }
}

fn take(experts: &Experts, bytes: &[u8]) -> bool {
    let taken = decode(bytes, experts.n_layers(), experts.n_experts()).map(|heat| experts.restore_heat(&heat));
    let is_taken = matches!(taken, Some(Ok(())));
    if !is_taken {
        log::warn!("a heat map ({} B) is not one of this model, and passed over", bytes.len());
    }
    is_taken
}

/// Keeps the heat for the next visit; without it that one only begins slower.
pub(crate) async fn keep(library: &Library, experts: &Experts) {
    if experts.n_layers() == 0 {
        return;
    }
    if let Err(error) = library.set_note(NAME, &encode_heat(&experts.heat(), experts.n_layers(), experts.n_experts())).await {
        log::warn!("the heat map is not kept: {error}");
    }
}

/// The bytes of a heat map, `[n_layers, n_experts]`, as it is shipped beside a model.
pub fn encode_heat(heat: &[f32], n_layers: usize, n_experts: u32) -> Vec<u8> {
    let head = [u32::from_le_bytes(MAGIC), VERSION, n_layers as u32, n_experts];
    head.iter().flat_map(|word| word.to_le_bytes()).chain(heat.iter().flat_map(|heat| heat.to_le_bytes())).collect()
}

/// `[n_layers, n_experts]`, of any values.
fn decode(bytes: &[u8], n_layers: usize, n_experts: u32) -> Option<Vec<f32>> {
    let (head, values) = bytes.split_at_checked(HEAD_BYTES)?;
    let is_whole = values.len() == n_layers * n_experts as usize * 4;
    let is_ours = is_whole && head == &encode_heat(&[], n_layers, n_experts)[..];
    let value = |bytes: &[u8]| bytes.try_into().map(f32::from_le_bytes).ok();
    if is_ours { values.chunks_exact(4).map(value).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_comes_back_as_it_was() {
        let heat = [0.0, 1.5, 17.75, 0.25, 3.0, 2.0];
        assert_eq!(decode(&encode_heat(&heat, 2, 3), 2, 3).as_deref(), Some(&heat[..]));
        assert_eq!(decode(&encode_heat(&[], 0, 0), 0, 0), Some(Vec::new()));
    }

    #[test]
    fn a_map_that_is_cut_longer_newer_or_of_another_model_is_none() {
        let good = encode_heat(&[1.0; 6], 2, 3);
        for n in 0..good.len() {
            assert_eq!(decode(&good[..n], 2, 3), None, "{n} bytes");
        }
        assert_eq!(decode(&[&good[..], &[0; 4]].concat(), 2, 3), None);
        assert_eq!(decode(&good, 3, 2), None);
        for i in 0..HEAD_BYTES {
            let mut bad = good.clone();
            bad[i] ^= 1;
            assert_eq!(decode(&bad, 2, 3), None, "byte {i}");
        }
    }
}
