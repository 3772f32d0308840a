//! A heat map that is shipped beside a model.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use api::{Files, LoadOptions, Model, encode_heat};
use engine::{Cancel, Gpu, Request, SamplingOptions};
use model::Options;
use pollster::block_on;
use store::{Home, MemoryHome, OpenOptions};
use tests::cdn::{self, Cdn, Spec};
use tests::{gpu, vector};

const N_LAYERS: usize = 4;
const N_EXPERTS: u32 = 16;

fn heat() -> Vec<f32> {
    (0..N_LAYERS * N_EXPERTS as usize).map(|i| (i * 7 % 64) as f32 / 8.0).collect()
}

fn map() -> Vec<u8> {
    encode_heat(&heat(), N_LAYERS, N_EXPERTS)
}

fn model() -> Vec<u8> {
    std::fs::read(vector("nano-moe16/nano-moe16.gguf")).unwrap()
}

fn serve(map: Option<Vec<u8>>) -> Cdn {
    let mut files = HashMap::from([("m.gguf".to_owned(), model().into())]);
    files.extend(map.map(|map| ("m.gguf.heat".to_owned(), map.into())));
    Cdn::start(cdn::Files::These(files), Spec::default(), 0).unwrap()
}

fn load(gpu: &Gpu, location: &str, home: Option<Rc<dyn Home>>) -> Model {
    let options = LoadOptions { model: Options { context: 64, slots: Some(5), ..Options::default() }, ..LoadOptions::default() };
    block_on(async {
        let files = Files::open_with(location, &OpenOptions { home, ..OpenOptions::default() }).await.unwrap();
        Model::load(&files, gpu.clone(), options, &Cancel::default(), &mut |_| {}).await.unwrap()
    })
}

fn heat_of(model: &Model) -> Vec<f32> {
    model.monitor().map().heat.concat()
}

/// How often the map was asked for.
fn times_asked(cdn: &Cdn) -> usize {
    cdn.counts().paths.iter().filter(|path| path.contains(".heat")).count()
}

#[test]
fn it_is_the_first_heat_and_that_of_an_earlier_visit_takes_its_place() {
    let (gpu, cdn) = (gpu(), serve(Some(map())));
    let home: Rc<dyn Home> = Rc::new(MemoryHome::new(u64::MAX));
    let url = cdn.url("m.gguf?download=true");
    let mut first = load(&gpu, &url, Some(home.clone()));
    assert_eq!((heat_of(&first), times_asked(&cdn)), (heat(), 1));
    let request = Request { prompt: &[1, 2, 3], max_tokens: 2, sampling: SamplingOptions::greedy(), stops: &[] };
    block_on(first.engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap();
    block_on(first.settle());
    let second = load(&gpu, &url, Some(home));
    assert_eq!((heat_of(&second), times_asked(&cdn)), (heat_of(&first), 1));
    assert_ne!(heat_of(&second), heat());
}

#[test]
fn one_that_is_not_there_costs_a_request() {
    let cdn = serve(None);
    let model = load(&gpu(), &cdn.url("m.gguf"), None);
    assert!(heat_of(&model).iter().all(|heat| *heat == 0.0));
    assert_eq!(times_asked(&cdn), 1);
}

#[test]
fn a_hostile_one_is_passed_over() {
    let gpu = gpu();
    let not_numbers = [&map()[..16], &[0xFF; 4 * 64]].concat();
    for bytes in [Vec::new(), b"QHEA".to_vec(), map()[..map().len() - 1].to_vec(), model(), not_numbers] {
        let cdn = serve(Some(bytes.clone()));
        let model = load(&gpu, &cdn.url("m.gguf"), None);
        assert!(heat_of(&model).iter().all(|heat| *heat == 0.0), "{} bytes", bytes.len());
    }
}

#[test]
fn it_lies_beside_a_file_too() {
    let folder = std::env::temp_dir().join(format!("quire-shipped-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("m.gguf");
    std::fs::write(&path, model()).unwrap();
    std::fs::write(folder.join("m.gguf.heat"), map()).unwrap();
    let loaded = load(&gpu(), path.to_str().unwrap(), None);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(heat_of(&loaded), heat());
}
