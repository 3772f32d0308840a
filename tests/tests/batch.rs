//! Sequences that are answered together: what each says is what it says alone, whoever joins, leaves or fails beside it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::Cell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::Poll;

use engine::{
    Allowed, Batch, Cancel, Constraint, Engine, Error, Event, Finish, Generated, Gpu, Request, Said, SamplingOptions, Seat, Seats,
    SequenceId, Token, Voice,
};
use model::{Model, Options};
use tests::{engine_of, gpu, lazy_engine_of, nano, open, open_bytes, parrot, read_ids, vector};

const N: u32 = 8;
const OPTIONS: Options = Options { sequences: N, ..tests::OPTIONS };

/// 16 experts a layer, of which a token uses 4, as many on the GPU as `slots`.
fn nano_moe16(gpu: &Gpu, slots: Option<u32>) -> Engine {
    let files = open(&vector("nano-moe16/nano-moe16.gguf"));
    lazy_engine_of(gpu.clone(), &files, Model::new(&files.directory, Options { context: 256, slots, ..OPTIONS }).unwrap())
}

/// One of those who are answered together.
#[derive(Clone, Debug)]
struct Client {
    prompt: Vec<u32>,
    max_tokens: u32,
    sampling: SamplingOptions,
    stops: Vec<u32>,
    /// It joins once so many events have come, and there is room.
    after: usize,
    /// It leaves after so many tokens, or is cancelled.
    leaves: Option<usize>,
    is_cancelled: Option<usize>,
    is_bound: bool,
}

impl Client {
    fn new(prompt: &[u32], max_tokens: u32, sampling: SamplingOptions) -> Self {
        let prompt = prompt.to_vec();
        Self { prompt, max_tokens, sampling, stops: Vec::new(), after: 0, leaves: None, is_cancelled: None, is_bound: false }
    }

    fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }

    /// What it says with nobody beside it, to its end.
    fn alone(&self, engine: &mut Engine) -> Answer {
        let whole = Self { leaves: None, is_cancelled: None, after: 0, ..self.clone() };
        together(engine, &[whole], &mut |_, _| {}).remove(0)
    }
}

/// What somebody was told.
#[derive(Debug)]
struct Answer {
    tokens: Vec<Token>,
    generated: Generated,
}

impl Answer {
    fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

/// Every third token may be one of some alone; the others, up to a pause, are free.
#[derive(Default)]
struct Thirds {
    n: usize,
    mask: Vec<u32>,
}

impl Constraint for Thirds {
    fn next(&mut self, token: Option<u32>) -> Result<Allowed<'_>, String> {
        self.n += usize::from(token.is_some());
        self.mask = vec![if self.n % 3 == 2 { 0x1111_1111 << (self.n % 4) } else { u32::MAX }; 10];
        Ok(Allowed { ids: &self.mask, lasting: self.n.is_multiple_of(7) })
    }

    fn pauses(&self) -> &[u32] {
        &[9, 33]
    }
}

/// Answers all clients; `on_event` is told how many events there were, and the tokens so far of whom the last one was.
fn together(engine: &mut Engine, clients: &[Client], on_event: &mut dyn FnMut(usize, usize)) -> Vec<Answer> {
    let mut batch = Batch::new(engine);
    let mut who: HashMap<SequenceId, (usize, Cancel)> = HashMap::new();
    let mut tokens: Vec<Vec<Token>> = vec![Vec::new(); clients.len()];
    let mut answers: Vec<Option<Generated>> = vec![None; clients.len()];
    let (mut n_events, mut n_joined) = (0, 0);
    while answers.iter().any(Option::is_none) {
        while batch.room() > 0 && n_joined < clients.len() && (clients[n_joined].after <= n_events || batch.is_empty()) {
            let client = &clients[n_joined];
            let cancel = Cancel::default();
            let request =
                Request { prompt: &client.prompt, max_tokens: client.max_tokens, sampling: client.sampling.clone(), stops: &client.stops };
            let constraint = client.is_bound.then(|| Box::new(Thirds::default()) as Box<dyn Constraint>);
            let id = batch.join(&request, constraint, &cancel).unwrap();
            who.insert(id, (n_joined, cancel));
            n_joined += 1;
        }
        for (id, said) in pollster::block_on(batch.step()).unwrap() {
            let (at, cancel) = &who[&id];
            n_events += 1;
            match said {
                Said::Prefill { .. } if clients[*at].is_cancelled == Some(0) => cancel.cancel(),
                Said::Prefill { .. } => {}
                Said::Token(token) => {
                    tokens[*at].push(token);
                    on_event(n_events, tokens[*at].len());
                    if clients[*at].leaves == Some(tokens[*at].len()) {
                        batch.leave(id);
                    }
                    if clients[*at].is_cancelled == Some(tokens[*at].len()) {
                        cancel.cancel();
                    }
                }
                Said::Done(generated) => answers[*at] = Some(generated),
                Said::Failed(error) => unreachable!("{error}"),
            }
        }
    }
    pollster::block_on(batch.end()).unwrap();
    let pairs = tokens.into_iter().zip(answers);
    pairs.map(|(tokens, generated)| Answer { tokens, generated: generated.unwrap() }).collect()
}

fn drawn(seed: u32) -> SamplingOptions {
    SamplingOptions { temperature: 1.3, seed, ..SamplingOptions::default() }
}

/// Ten who want all kinds of things, more than there is room for at once.
fn crowd(text: &[u32]) -> Vec<Client> {
    let biased = SamplingOptions { logit_bias: vec![(50, 5.0), (60, -100.0)], n_logprobs: 3, ..SamplingOptions::greedy() };
    let penalised = SamplingOptions { repetition_penalty: 1.4, frequency_penalty: 0.5, presence_penalty: 0.2, ..drawn(3) };
    vec![
        Client::new(&text[..40], 30, SamplingOptions::greedy()),
        Client::new(&text[10..11], 45, drawn(1)),
        // Far in: the rings wrap while it is computed and while it speaks.
        Client::new(&text[..770], 40, SamplingOptions { n_logprobs: 20, ..drawn(2) }).after(3),
        Client::new(&text[5..7], 12, penalised).after(9),
        Client { stops: vec![7, 90, 171, 200], ..Client::new(&text[300..430], 60, drawn(4)).after(11) },
        Client::new(&text[100..133], 50, SamplingOptions { top_k: 8, top_p: 0.9, ..drawn(5) }).after(20),
        Client::new(&text[..90], 25, biased).after(21),
        Client { is_bound: true, ..Client::new(&text[50..80], 30, drawn(6)).after(40) },
        Client::new(&text[..600], 33, SamplingOptions::greedy()).after(50),
        Client::new(&text[..41], 1, drawn(7)).after(60),
    ]
}

#[test]
fn each_says_what_it_says_alone_whoever_joins_and_leaves_beside_it() {
    let gpu = gpu();
    let text = read_ids("nano/tokens-900.txt");
    let clients = crowd(&text);
    let mut other = nano(&gpu, OPTIONS);
    let alone: Vec<Answer> = clients.iter().map(|client| client.alone(&mut other)).collect();
    let mut engine = nano(&gpu, OPTIONS);
    for round in 0..2 {
        let mut clients = clients.clone();
        if round == 1 {
            // The same in another order and at other moments, over what the first round left in the cache; some are gone early.
            clients.reverse();
            clients.iter_mut().enumerate().for_each(|(i, client)| client.after = 13 * i);
            (clients[3].leaves, clients[5].is_cancelled, clients[7].is_cancelled, clients[8].leaves) =
                (Some(20), Some(2), Some(0), Some(1));
        }
        let answers = together(&mut engine, &clients, &mut |_, _| {});
        for (i, (client, answer)) in clients.iter().zip(&answers).enumerate() {
            let alone = if round == 0 { &alone[i] } else { &alone[alone.len() - 1 - i] };
            let n = client.leaves.or(client.is_cancelled).unwrap_or(alone.tokens.len());
            assert_eq!(answer.tokens, alone.tokens[..n], "round {round}, client {i}");
            let expected = match client {
                Client { leaves: Some(_), .. } => Finish::Break,
                Client { is_cancelled: Some(_), .. } => Finish::Cancelled,
                _ => alone.generated.finish,
            };
            assert_eq!((answer.generated.finish, &answer.generated.ids), (expected, &answer.ids()), "round {round}, client {i}");
        }
    }
    // The cache holds nothing that it should not.
    assert_eq!(clients[0].alone(&mut engine).tokens, alone[0].tokens);
    assert_eq!(clients[2].alone(&mut engine).tokens, alone[2].tokens);
}

#[test]
fn in_the_wide_shape_each_says_what_it_says_alone_too() {
    let gpu = gpu();
    let text = read_ids("nano/tokens-900.txt");
    let wide = |mut engine: Engine| {
        engine.set_shapes(true);
        engine
    };
    let clients = crowd(&text);
    let mut other = wide(nano(&gpu, OPTIONS));
    let alone: Vec<Vec<Token>> = clients.iter().map(|client| client.alone(&mut other).tokens).collect();
    let answers = together(&mut wide(nano(&gpu, OPTIONS)), &clients, &mut |_, _| {});
    for (i, (answer, alone)) in answers.iter().zip(&alone).enumerate() {
        let differs = answer.tokens.iter().zip(alone).position(|(together, alone)| together != alone);
        assert_eq!((differs, answer.tokens.len()), (None, alone.len()), "client {i}");
    }
    // Where experts come and go, too.
    let mut whole = wide(nano_moe16(&gpu, None));
    let clients: Vec<Client> = (0..4).map(|i| Client::new(&text[i * 20..i * 20 + 40 + i], 10, drawn(i as u32)).after(5 * i)).collect();
    let alone: Vec<Vec<u32>> = clients.iter().map(|client| client.alone(&mut whole).ids()).collect();
    let answers = together(&mut wide(nano_moe16(&gpu, Some(6))), &clients, &mut |_, _| {});
    assert_eq!(answers.iter().map(Answer::ids).collect::<Vec<_>>(), alone);
}

#[test]
fn few_slots_change_no_token_though_a_step_wants_more_experts_than_there_are_slots() {
    let gpu = gpu();
    let text = read_ids("nano-moe16/tokens-900.txt");
    let mut clients: Vec<Client> = (0..6)
        .map(|i| {
            Client::new(
                &text[i * 20..i * 20 + 9 + i],
                12 + 3 * i as u32,
                if i % 2 == 0 { SamplingOptions::greedy() } else { drawn(i as u32) },
            )
        })
        .collect();
    clients.iter_mut().enumerate().for_each(|(i, client)| client.after = 9 * i);
    clients[3].is_bound = true;
    let mut whole = nano_moe16(&gpu, None);
    let alone: Vec<Vec<u32>> = clients.iter().map(|client| client.alone(&mut whole).ids()).collect();
    for slots in [None, Some(12), Some(5)] {
        let mut engine = nano_moe16(&gpu, slots);
        let answers = together(&mut engine, &clients, &mut |_, _| {});
        assert_eq!(answers.iter().map(Answer::ids).collect::<Vec<_>>(), alone, "{slots:?} slots");
        let paging = engine.paging();
        assert!(paging.misses > 0, "{paging:?}");
        assert_eq!(paging.tokens as usize, alone.iter().map(Vec::len).sum::<usize>());
    }
    // And who goes away while experts are fetched spoils nothing.
    let mut engine = nano_moe16(&gpu, Some(5));
    (clients[1].is_cancelled, clients[2].leaves, clients[4].is_cancelled) = (Some(3), Some(4), Some(0));
    for (i, answer) in together(&mut engine, &clients, &mut |_, _| {}).iter().enumerate() {
        let n = clients[i].leaves.or(clients[i].is_cancelled).unwrap_or(alone[i].len());
        assert_eq!(answer.ids(), alone[i][..n], "client {i}");
    }
}

#[test]
fn all_go_on_on_another_device_when_theirs_is_lost() {
    let gpu = gpu();
    let text = read_ids("nano-moe16/tokens-900.txt");
    let clients: Vec<Client> =
        (0..3).map(|i| Client { is_bound: i == 2, ..Client::new(&text[i * 20..i * 20 + 7], 20, drawn(i as u32)).after(4 * i) }).collect();
    let mut whole = nano_moe16(&gpu, None);
    let alone: Vec<Vec<u32>> = clients.iter().map(|client| client.alone(&mut whole).ids()).collect();
    for lost_after in [2, 30] {
        // A device of its own, which can be lost.
        let mut engine = nano_moe16(&tests::gpu(), Some(6));
        let device = engine.gpu().clone();
        let mut lose = |n_events: usize, _: usize| {
            if n_events == lost_after {
                device.lose();
            }
        };
        let answers = together(&mut engine, &clients, &mut lose);
        assert_eq!(answers.iter().map(Answer::ids).collect::<Vec<_>>(), alone, "lost after {lost_after}");
    }
}

#[test]
fn a_prompt_goes_on_in_the_sequence_that_shares_most_with_it() {
    let gpu = gpu();
    let text = read_ids("nano/tokens-900.txt");
    let mut engine = nano(&gpu, Options { sequences: 3, ..OPTIONS });
    let mut other = nano(&gpu, Options { sequences: 3, ..OPTIONS });
    // Three conversations by turns, then a fourth, which takes the place of who was longest away.
    let mut talks: Vec<Vec<u32>> = [0, 200, 400].iter().map(|at| text[*at..at + 50].to_vec()).collect();
    for turn in 0..2 {
        for talk in &mut talks {
            let client = Client::new(talk, 10, SamplingOptions::greedy());
            let answer = client.alone(&mut engine);
            assert_eq!(answer.generated.n_reused, if turn == 0 { 0 } else { 59 });
            assert_eq!(answer.ids(), client.alone(&mut other).ids());
            talk.extend(answer.ids());
            talk.extend(&text[700..720]);
        }
    }
    let fourth = Client::new(&text[600..640], 5, SamplingOptions::greedy());
    assert_eq!(fourth.alone(&mut engine).generated.n_reused, 0);
    let reused = |engine: &mut Engine, talk: &[u32]| Client::new(talk, 2, SamplingOptions::greedy()).alone(engine).generated.n_reused;
    assert!(reused(&mut engine, &talks[2]) > 80 && reused(&mut engine, &talks[1]) > 80);
    assert_eq!(reused(&mut engine, &talks[0]), 0);
}

#[test]
fn a_step_of_the_same_sequences_writes_nothing_makes_no_bind_group_and_reads_32_bytes_a_token() {
    let mut engine = nano(&gpu(), OPTIONS);
    let text = read_ids("nano/tokens-900.txt");
    let mut spent = |n: u32| {
        let clients: Vec<Client> = (0..5).map(|i| Client::new(&text[i * 9..i * 9 + 20], n, drawn(i as u32))).collect();
        let before = engine.gpu().counters();
        together(&mut engine, &clients, &mut |_, _| {});
        engine.gpu().counters() - before
    };
    // The first answers make what later ones use again.
    spent(30);
    spent(10);
    let (short, long) = (spent(10), spent(30));
    let more = long - short;
    assert_eq!((more.bytes_written, more.bind_groups), (0, 0));
    assert_eq!((more.readbacks, more.bytes_read), (20, 20 * 5 * 32));
    assert!(more.dispatches.is_multiple_of(20));
}

#[test]
fn a_dense_model_has_batches_too() {
    let files = open_bytes(parrot::parrot()).unwrap();
    let mut engine = engine_of(gpu(), &files, Model::new(&files.directory, Options { context: 256, ..OPTIONS }).unwrap());
    let clients: Vec<Client> = (0..7).map(|i| Client::new(&[97 + i, 116], 8 + i, drawn(i)).after(3 * i as usize)).collect();
    let alone: Vec<Vec<u32>> = clients.iter().map(|client| client.alone(&mut engine).ids()).collect();
    assert_eq!(together(&mut engine, &clients, &mut |_, _| {}).iter().map(Answer::ids).collect::<Vec<_>>(), alone);
}

#[test]
fn a_full_batch_a_model_that_is_too_large_and_too_many_sequences_are_refused_in_words() {
    let files = open(&vector("nano/nano.gguf"));
    let refused = |options| Model::new(&files.directory, options).unwrap_err().to_string();
    assert_eq!(refused(Options { sequences: 17, ..OPTIONS }), "option sequences is 17: expected 1 to 16");
    assert!(refused(Options { sequences: 16, max_binding: 1 << 20, ..OPTIONS }).contains("a layer's keys of 16 sequences would take"));
    // Keys and values of each sequence are in the plan.
    let kv = |sequences| {
        let model = Model::new(&files.directory, Options { sequences, ..OPTIONS }).unwrap();
        model.layers.iter().map(|layer| layer.kv.k.bytes + layer.kv.v.bytes).sum::<u64>()
    };
    assert_eq!(kv(8), 8 * kv(1));

    let mut engine = nano(&gpu(), Options { sequences: 2, ..OPTIONS });
    let mut batch = Batch::new(&mut engine);
    let request = Request { prompt: &[1, 2, 3], max_tokens: 3, sampling: SamplingOptions::greedy(), stops: &[] };
    batch.join(&request, None, &Cancel::default()).unwrap();
    batch.join(&request, None, &Cancel::default()).unwrap();
    assert!(matches!(batch.join(&request, None, &Cancel::default()), Err(Error::Option { name: "sequences", .. })));
    assert_eq!(batch.room(), 0);
}

/// What a seat hears; it has enough after so many tokens.
async fn hear(mut seat: Seat, client: &Client, n_heard: &Cell<usize>) -> Result<Generated, Error> {
    let request =
        Request { prompt: &client.prompt, max_tokens: client.max_tokens, sampling: client.sampling.clone(), stops: &client.stops };
    let constraint = client.is_bound.then(|| Box::new(Thirds::default()) as Box<dyn Constraint>);
    let mut on_event = |event: Event<'_>| {
        n_heard.set(n_heard.get() + usize::from(matches!(event, Event::Token(_))));
        if client.leaves == Some(n_heard.get()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    seat.say(&request, constraint, &Cancel::default(), &mut on_event).await
}

#[test]
fn seats_hear_what_they_would_hear_of_an_engine_of_their_own_and_who_goes_away_makes_room() {
    let gpu = gpu();
    let text = read_ids("nano/tokens-900.txt");
    // Six at two places.
    let mut engine = nano(&gpu, Options { sequences: 2, ..OPTIONS });
    let mut clients: Vec<Client> = (0..6).map(|i| Client::new(&text[i * 30..i * 30 + 20 + i], 15, drawn(i as u32))).collect();
    clients[2].is_bound = true;
    let alone: Vec<Vec<u32>> = clients[..5].iter().map(|client| client.alone(&mut engine).ids()).collect();
    clients[3].leaves = Some(4);
    clients[5].max_tokens = 0;
    let seats = Seats::default();
    let heard: Vec<Cell<usize>> = vec![Cell::new(0); clients.len()];
    type Answering<'a> = Pin<Box<dyn Future<Output = Option<Result<Generated, Error>>> + 'a>>;
    let mut answers: Vec<Option<Answering<'_>>> = Vec::new();
    for (i, client) in clients.iter().enumerate() {
        let (seat, heard) = (seats.seat(), &heard[i]);
        answers.push(Some(Box::pin(async move {
            let mut answer = pin!(hear(seat, client, heard));
            poll_fn(|context| match answer.as_mut().poll(context) {
                // The first one goes away in the middle.
                Poll::Pending if i == 0 && heard.get() >= 3 => Poll::Ready(None),
                answered => answered.map(Some),
            })
            .await
        })));
    }
    let mut done: Vec<Option<Result<Generated, Error>>> = vec![None; clients.len()];
    let all = poll_fn(|context| {
        for (answer, done) in answers.iter_mut().zip(&mut done) {
            let Some(answering) = answer else { continue };
            if let Poll::Ready(answered) = answering.as_mut().poll(context) {
                (*answer, *done) = (None, answered);
            }
        }
        if answers.iter().any(Option::is_some) { Poll::Pending } else { Poll::Ready(()) }
    });
    pollster::block_on(engine.attend(&seats, all));
    let said = |i: usize| done[i].as_ref().unwrap().as_ref().unwrap();
    assert!(done[0].is_none() && heard[0].get() < 15, "the first one heard {} tokens", heard[0].get());
    assert_eq!([&said(1).ids, &said(2).ids, &said(4).ids], [&alone[1], &alone[2], &alone[4]]);
    assert_eq!((said(3).finish, &said(3).ids[..]), (Finish::Break, &alone[3][..4]));
    assert!(matches!(done[5], Some(Err(Error::Option { name: "max_tokens", .. }))));
    assert_eq!(clients[1].alone(&mut engine).ids(), alone[1]);
}
