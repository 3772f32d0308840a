//! Steps with drafts: what is said is, to the last bit, what is said without them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;

use engine::{Allowed, Batch, Cancel, Constraint, Drafting, Engine, Event, Finish, Generated, Request, Said, SamplingOptions, Token};
use kernels::ops::KvType;
use model::{Model, Options};
use tests::{OPTIONS, engine, engine_of, gpu, lazy_engine_of, made_model, nano, open, read_ids, vector};

/// All that is told of an answer, which ends after `leaves` tokens if that is less; nothing is kept of the one before.
fn answer(engine: &mut Engine, request: &Request<'_>, leaves: usize) -> (Generated, Vec<Token>) {
    pollster::block_on(engine.logits(&[0], false)).unwrap();
    let mut tokens = Vec::new();
    let mut note = |event: Event<'_>| {
        if let Event::Token(token) = event {
            tokens.push(token.clone());
        }
        if tokens.len() == leaves { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let generated = pollster::block_on(engine.generate(request, &Cancel::default(), &mut note)).unwrap();
    (generated, tokens)
}

/// The same answer without drafts and with: its ids, why it ended, how many were drafted, and of these how many were right.
fn both(engine: &mut Engine, request: &Request<'_>, leaves: usize) -> (Vec<u32>, Finish, u64, u64) {
    engine.set_drafting(Drafting::Never);
    let (expected, told) = answer(engine, request, leaves);
    engine.set_drafting(Drafting::Always);
    let before = engine.paging();
    let (generated, tokens) = answer(engine, request, leaves);
    let after = engine.paging();
    assert_eq!((&generated.ids, generated.finish), (&expected.ids, expected.finish));
    assert_eq!(tokens, told, "logprobs");
    (expected.ids, expected.finish, after.drafted - before.drafted, after.draft_hits - before.draft_hits)
}

fn request(prompt: &[u32], max_tokens: u32, sampling: SamplingOptions) -> Request<'_> {
    Request { prompt, max_tokens, sampling, stops: &[] }
}

/// Of few words, so that it repeats itself, and now and then does not.
fn of_few_words(temperature: f32, seed: u32) -> SamplingOptions {
    SamplingOptions { temperature, seed, logit_bias: vec![(50, 100.0), (60, 100.0)], ..SamplingOptions::default() }
}

fn moe16(slots: Option<u32>, sequences: u32) -> Engine {
    let files = open(&vector("nano-moe16/nano-moe16.gguf"));
    let model = Model::new(&files.directory, Options { slots, sequences, context: 256, ..OPTIONS }).unwrap();
    if slots.is_some() { lazy_engine_of(gpu(), &files, model) } else { engine_of(gpu(), &files, model) }
}

fn text() -> Vec<u32> {
    read_ids("nano/tokens-900.txt")
}

#[test]
fn drafts_change_neither_a_token_nor_a_logprob_whether_they_are_right_or_not() {
    let (mut n_drafted, mut n_hits) = (0, 0);
    let several = Options { sequences: 3, kv: KvType::Q8_0, ..OPTIONS };
    for mut engine in [nano(&gpu(), OPTIONS), nano(&gpu(), several), moe16(None, 1), moe16(None, 8)] {
        let samplings = [
            SamplingOptions { n_logprobs: 3, ..of_few_words(0.0, 0) },
            SamplingOptions { top_k: 8, top_p: 0.9, ..of_few_words(0.7, 2) },
            of_few_words(1.3, 3),
        ];
        for sampling in samplings {
            let (_, _, drafted, hits) = both(&mut engine, &request(&text()[..20], 50, sampling), usize::MAX);
            (n_drafted, n_hits) = (n_drafted + drafted, n_hits + hits);
        }
        // Nothing is said twice.
        let (.., drafted, _) = both(&mut engine, &request(&text()[..20], 20, SamplingOptions::greedy()), usize::MAX);
        assert_eq!(drafted, 0);
    }
    assert!(n_hits > 50 && n_drafted > n_hits + 20, "{n_hits} of {n_drafted} drafts were right");
}

#[test]
fn drafts_change_nothing_in_the_wide_shape_either() {
    let (mut n_drafted, mut n_hits) = (0, 0);
    let several = Options { sequences: 3, ..OPTIONS };
    for mut engine in [nano(&gpu(), OPTIONS), nano(&gpu(), several), moe16(None, 8)] {
        engine.set_shapes(true);
        for sampling in [SamplingOptions { n_logprobs: 3, ..of_few_words(0.0, 0) }, of_few_words(0.7, 2)] {
            let (_, _, drafted, hits) = both(&mut engine, &request(&text()[..20], 50, sampling), usize::MAX);
            (n_drafted, n_hits) = (n_drafted + drafted, n_hits + hits);
        }
    }
    assert!(n_hits > 50 && n_drafted > n_hits, "{n_hits} of {n_drafted} drafts were right");
}

/// A real model, and a text that it goes on to copy.
fn copying(name: &str) -> (Engine, Vec<u32>) {
    let engine = engine(&open(&made_model(name)), Options { context: 256, ..OPTIONS });
    (engine, read_ids("smollm2/text.ids.txt")[..30].repeat(2))
}

#[test]
fn a_real_mixture_says_the_same_with_drafts() {
    let (mut engine, prompt) = copying("smollm2-moe");
    let (.., hits) = both(&mut engine, &request(&prompt, 16, SamplingOptions::greedy()), usize::MAX);
    assert!(hits > 3, "{hits} drafts were right");
}

#[test]
fn a_real_model_says_the_same_with_drafts_and_stops_at_the_same_word() {
    let (mut engine, prompt) = copying("smollm2");
    let greedy = request(&prompt, 16, SamplingOptions::greedy());
    let (ids, ..) = both(&mut engine, &greedy, usize::MAX);
    // Words that are new there.
    let is_new = |n: &usize| !ids[..*n].contains(&ids[*n]);
    for n in (9..ids.len()).filter(is_new).take(3) {
        let (stopped, finish, _, hits) = both(&mut engine, &Request { stops: &[ids[n]], ..greedy.clone() }, usize::MAX);
        assert_eq!((&stopped[..], finish), (&ids[..=n], Finish::Stop(ids[n])));
        assert!(hits > 0, "none was right before {n}");
    }
}

#[test]
fn drafts_wrap_around_a_sliding_window_and_what_was_rejected_is_not_seen() {
    let mut engine = nano(&gpu(), OPTIONS);
    // The ring of 640 positions is full within the answer.
    let (_, _, drafted, hits) = both(&mut engine, &request(&text()[..600], 90, of_few_words(0.7, 2)), usize::MAX);
    assert!(hits > 0 && drafted > hits, "{hits} of {drafted}");
}

#[test]
fn an_answer_ends_where_it_ends_without_drafts() {
    let mut engine = nano(&gpu(), OPTIONS);
    let text = text();
    let prompt = &text[..20];
    // Mostly one word.
    let sampling = SamplingOptions { logit_bias: vec![(50, 100.0), (60, 97.0)], ..of_few_words(1.0, 2) };
    // At each place within a step.
    for n in 40..44 {
        let (_, finish, _, hits) = both(&mut engine, &request(prompt, n, sampling.clone()), usize::MAX);
        assert!(finish == Finish::Length && hits > 0, "{finish:?}, {hits} were right");
        let (left, finish, ..) = both(&mut engine, &request(prompt, 50, sampling.clone()), n as usize);
        assert_eq!((left.len(), finish), (n as usize, Finish::Break));
        // At the end of the context, too.
        let mut short = nano(&gpu(), Options { context: 20 + n, ..OPTIONS });
        let (full, finish, ..) = both(&mut short, &request(prompt, 100, sampling.clone()), usize::MAX);
        assert_eq!((full.len(), finish), (n as usize + 1, Finish::Context));
    }
}

#[test]
fn a_conversation_goes_on_after_drafts_as_after_none() {
    let mut engine = nano(&gpu(), OPTIONS);
    let (ids, ..) = both(&mut engine, &request(&text()[..20], 40, of_few_words(0.0, 0)), 33);
    let longer = [&text()[..20], &ids, &text()[..5]].concat();
    let go_on = |engine: &mut Engine| {
        let greedy = request(&longer, 20, SamplingOptions::greedy());
        pollster::block_on(engine.generate(&greedy, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap()
    };
    let kept = go_on(&mut engine);
    assert!(kept.n_reused >= 52);
    pollster::block_on(engine.logits(&[0], false)).unwrap();
    assert_eq!(go_on(&mut engine).ids, kept.ids);
}

/// Allows everything.
struct Anything;

impl Constraint for Anything {
    fn next(&mut self, _: Option<u32>) -> Result<Allowed<'_>, String> {
        Ok(Allowed { ids: &[u32::MAX; 16], lasting: false })
    }

    fn pauses(&self) -> &[u32] {
        &[]
    }
}

#[test]
fn nothing_is_drafted_where_draws_depend_on_more_than_the_text_or_experts_may_be_missing() {
    let mut few = moe16(Some(6), 1);
    let mut all = moe16(None, 1);
    let plain = of_few_words(0.0, 0);
    let text = text();
    let again = request(&text[..20], 30, plain.clone());
    let (ids, _, drafted, _) = both(&mut all, &again, usize::MAX);
    assert!(drafted > 0);
    let (expected, _, drafted, _) = both(&mut few, &again, usize::MAX);
    assert_eq!((expected, drafted), (ids, 0));
    let before = all.paging().drafted;
    for penalised in [
        SamplingOptions { repetition_penalty: 1.1, ..plain.clone() },
        SamplingOptions { frequency_penalty: 0.1, ..plain.clone() },
        SamplingOptions { presence_penalty: 0.1, ..plain },
    ] {
        answer(&mut all, &request(&text[..20], 30, penalised), usize::MAX);
    }
    pollster::block_on(all.generate_within(&again, &mut Anything, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap();
    assert_eq!(all.paging().drafted, before);
}

#[test]
fn who_comes_in_the_middle_of_drafts_changes_nothing_and_is_not_changed() {
    let mut engine = moe16(None, 2);
    let text = text();
    let requests = [request(&text[..20], 60, of_few_words(0.0, 0)), request(&text[40..60], 12, of_few_words(1.0, 1))];
    engine.set_drafting(Drafting::Never);
    let alone: Vec<Vec<u32>> = requests.iter().map(|request| answer(&mut engine, request, usize::MAX).0.ids).collect();
    engine.set_drafting(Drafting::Always);
    for joins_after in 20..24 {
        let mut said = vec![Vec::new(); 2];
        let before = engine.paging().drafted;
        let mut batch = Batch::new(&mut engine);
        let mut ids = vec![batch.join(&requests[0], None, &Cancel::default()).unwrap()];
        while !batch.is_empty() {
            for (id, what) in pollster::block_on(batch.step()).unwrap() {
                if let Said::Token(token) = what {
                    said[ids.iter().position(|known| *known == id).unwrap()].push(token.id);
                }
            }
            if ids.len() == 1 && said[0].len() == joins_after {
                ids.push(batch.join(&requests[1], None, &Cancel::default()).unwrap());
            }
        }
        pollster::block_on(batch.end()).unwrap();
        assert_eq!(said, alone, "after {joins_after}");
        assert!(engine.paging().drafted > before);
    }
}
