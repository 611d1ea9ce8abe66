use std::io::Write;

use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::*;
use crate::classify::{ByteSize, Evidence, LlmChoice, LlmOutcome, Stage, Timings};
use crate::embed::{
    BatchLimits, EmbedError, EmbedQueue, EmbedWorkers, Embedder, Embedding, QueueConfig, TextTokeniser,
};
use crate::index::{BuildWatch, IndexConfig};
use crate::publish::Draft;
use crate::reference::{
    Fingerprint, PromptEdit, PromptPurpose, ProposalFilter, ProposalState, Route, SetEdit, SetPolicy, Snapshot,
    SnapshotCell, Store,
};
use crate::store::SqliteStore;

const WORDS: usize = 8;

/// How often each of the words `w0` to `w7` stands in a text.
struct BagOfWords;

impl Embedder for BagOfWords {
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
        batch
            .iter()
            .map(|row| {
                let mut counts = vec![0.0; WORDS];
                row.iter().filter_map(|id| counts.get_mut(*id as usize).map(|count| *count += 1.0)).for_each(drop);
                Embedding::normalised(counts)
            })
            .collect()
    }
}

fn embedding(text: &str) -> Embedding {
    let ids: Vec<u32> = text.split(' ').map(|word| word[1..].parse().unwrap()).collect();
    BagOfWords.embed(&[&ids]).unwrap().remove(0)
}

fn embedder() -> (EmbedQueue, EmbedWorkers) {
    let vocabulary: Vec<String> = (0..WORDS).map(|id| format!("\"w{id}\":{id}")).collect();
    let json = format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,
        "model":{{"type":"WordLevel","vocab":{{{},"[UNK]":{WORDS}}},"unk_token":"[UNK]"}}}}"#,
        vocabulary.join(",")
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(json.as_bytes()).unwrap();
    let tokeniser = TextTokeniser::from_file(file.path(), 64).unwrap();
    let batch = BatchLimits { tokens: 256, rows: 8 };
    let settings = QueueConfig { capacity: 64, max_wait: Duration::from_secs(10), batch, niceness: 0, pace: None };
    EmbedQueue::start(&tokeniser, vec![Box::new(BagOfWords)], settings).unwrap()
}

/// Prompts of the routes `code` and `talk`, in the draft and served.
const PROMPTS: [(&str, &str); 8] = [
    ("code", "w0 w0 w0 w0"),
    ("code", "w0 w0 w0 w1"),
    ("code", "w0 w0 w1 w1"),
    ("code", "w0 w1 w1 w1"),
    ("talk", "w4 w4 w4 w4"),
    ("talk", "w4 w4 w4 w5"),
    ("talk", "w4 w4 w5 w5"),
    ("talk", "w4 w5 w5 w5"),
];

struct Fixture {
    learning: Learning,
    store: Arc<dyn Store>,
    snapshot: Arc<Snapshot>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _workers: EmbedWorkers,
    _folder: TempDir,
}

fn set() -> SetName {
    SetName::new("s").unwrap()
}

fn route(name: &str) -> RouteName {
    RouteName::new(name).unwrap()
}

impl Fixture {
    async fn new(config: Option<FeedbackConfig>) -> Self {
        let (store, folder) = SqliteStore::temporary().await;
        let edit = SetEdit { name: set(), description: String::new(), policy: SetPolicy::default() };
        store.upsert_set(&edit, Precondition::None).await.unwrap();
        let routes = ["code", "talk"].map(|name| Route::named(route(name)));
        for route in &routes {
            store.upsert_route(&set(), route, Precondition::None).await.unwrap();
        }
        let prompts = PROMPTS.map(|(name, text)| PromptEdit {
            id: None,
            route: route(name),
            text: text.to_owned(),
            purpose: PromptPurpose::Reference,
            precondition: Precondition::None,
        });
        store.upsert_prompts(&set(), &prompts).await.unwrap();
        let mut draft = Draft::new(&edit, &routes, WORDS);
        prompts.iter().for_each(|prompt| draft.push(prompt, &embedding(&prompt.text)).unwrap());
        let model = Fingerprint("m".to_owned());
        let snapshot = draft.finish(model.clone(), &IndexConfig::default(), &BuildWatch::default()).unwrap();
        let (snapshot, served) = (Arc::new(snapshot), SnapshotCell::default());
        served.publish(Arc::clone(&snapshot));
        let (embed, workers) = embedder();
        let store: Arc<dyn Store> = Arc::new(store);
        let parts = RecorderParts { store: Arc::clone(&store), served, embed, model };
        Self {
            learning: Learning::new(config, Some("judge"), parts),
            store,
            snapshot,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            _workers: workers,
            _folder: folder,
        }
    }

    fn run(self) -> Self {
        self.tasks.spawn(self.learning.clone().run(self.stop.clone()));
        self
    }

    /// Lets what waits be recorded.
    async fn stopped(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn decide(&self, text: &str, chosen: &str, verdict: Option<LlmChoice>) -> Uuid {
        let decision = Decision {
            id: Uuid::now_v7(),
            snapshot: Arc::clone(&self.snapshot),
            route: self.snapshot.find_route(chosen),
            stage: Stage::Llm,
            threshold: None,
            doubts: Box::default(),
            without_llm: (Stage::BestGuess, None),
            llm: LlmOutcome::Verdict,
            verdict,
            evidence: Arc::new(Evidence::nothing()),
            shown: 5,
            cached: false,
            timings: Timings::default(),
        };
        self.learning.decided(&decision, &text.into());
        decision.id
    }

    fn verdict(&self, text: &str, chosen: &str) {
        let index = self.snapshot.find_route(chosen);
        self.decide(
            text,
            chosen,
            Some(LlmChoice { route: index, probability: None, kept: false, asked: true, cost: None }),
        );
    }

    async fn correct(&self, decision: Uuid, right: &str) -> Result<Recorded, CorrectionError> {
        let correction =
            Correction { decision, route: route(right), note: String::new(), text: None, set: None, default_set: None };
        self.learning.correct(correction).await
    }

    async fn proposals(&self) -> Vec<Proposal> {
        self.store.list_proposals(&set(), &ProposalFilter { limit: 100, ..Default::default() }).await.unwrap()
    }
}

fn on() -> Option<FeedbackConfig> {
    Some(FeedbackConfig::default())
}

#[tokio::test]
async fn a_correction_needs_to_name_only_the_decision_while_it_is_remembered() {
    let fixture = Fixture::new(on()).await;
    let decision = fixture.decide("w6 w7", "code", None);
    let Recorded::Proposal(first) = fixture.correct(decision, "talk").await.unwrap() else { panic!("not recorded") };
    assert_eq!((first.text.as_str(), first.route.as_str(), first.corrections), ("w6 w7", "talk", 1));
    assert_eq!(first.origins[0].decision, decision.to_string());
    let Recorded::Proposal(again) = fixture.correct(decision, "talk").await.unwrap() else { panic!("not recorded") };
    assert_eq!(again, first);
    let known = fixture.decide("w0 w0 w0 w0", "talk", None);
    assert!(matches!(fixture.correct(known, "code").await, Ok(Recorded::Known(_))));

    let unknown = Uuid::now_v7();
    let refused = fixture.correct(unknown, "talk").await;
    assert!(matches!(refused, Err(CorrectionError::UnknownDecision { id, .. }) if id == unknown));
    assert!(matches!(fixture.correct(decision, "nowhere").await, Err(CorrectionError::Store(_))));
    let stats = fixture.learning.stats();
    assert_eq!((stats.corrections.recorded, stats.corrections.known, stats.corrections.failed), (2, 1, 1));
    assert_eq!((stats.remembered, stats.verdicts), (2, Outcomes::default()));
}

#[tokio::test]
async fn without_the_section_nothing_is_remembered_and_a_prompt_may_come_along() {
    let fixture = Fixture::new(None).await.run();
    fixture.verdict("w6 w7", "code");
    let decision = fixture.decide("w6 w7", "code", None);
    let refused = fixture.correct(decision, "talk").await;
    assert!(matches!(refused, Err(CorrectionError::UnknownDecision { why, .. }) if why.contains("feedback.keep")));
    let with_prompt = |text: &str| Correction {
        decision,
        route: route("talk"),
        note: "why".to_owned(),
        text: Some(text.into()),
        set: None,
        default_set: Some(set()),
    };
    assert!(matches!(fixture.learning.correct(with_prompt("w6 w7")).await, Ok(Recorded::Proposal(_))));
    let long = fixture.learning.correct(with_prompt(&"w6 ".repeat(30_000))).await;
    assert!(matches!(long, Err(CorrectionError::TooLong { bytes: 90_000 })));
    fixture.stopped().await;
    assert_eq!(fixture.proposals().await.len(), 1, "the verdict is not recorded");
    assert_eq!(fixture.learning.stats().remembered, 0);
}

#[tokio::test]
async fn verdicts_that_are_news_are_recorded_and_near_ones_merged() {
    let fixture = Fixture::new(on()).await.run();
    let index = fixture.snapshot.find_route("code");
    let verdict =
        |asked: bool, probability| Some(LlmChoice { route: index, probability, kept: !asked, asked, cost: None });
    fixture.decide("w6 w6 w6 w6 w7", "code", verdict(true, Some(0.95)));
    fixture.decide("w6 w6 w6 w6 w7", "code", verdict(true, Some(0.6)));
    fixture.decide("w6 w6 w6 w6 w7", "code", verdict(false, None));
    fixture.verdict("w6 w6 w6 w6 w6 w7", "code");
    fixture.verdict("w6 w6 w6 w6 w6 w6 w7", "talk");
    fixture.verdict("w7", "code");
    // Nearly a reference prompt: of the same route, and of the other.
    fixture.verdict("w0 w0 w0 w0 w0 w0 w0 w1 w1", "code");
    fixture.verdict("w4 w4 w4 w4 w4 w4 w4 w4 w5", "code");
    fixture.stopped().await;
    let proposals = fixture.proposals().await;
    let told: Vec<_> = proposals.iter().map(|p| (p.text.as_str(), p.route.as_str(), p.verdicts)).collect();
    let expected = [
        ("w6 w6 w6 w6 w7", "code", 2),
        ("w6 w6 w6 w6 w6 w6 w7", "talk", 1),
        ("w7", "code", 1),
        ("w4 w4 w4 w4 w4 w4 w4 w4 w5", "code", 1),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        (&proposals[0].conflicting_proposals, &proposals[1].conflicting_proposals),
        (&vec![proposals[1].id], &vec![proposals[0].id])
    );
    assert!(proposals[3].conflicting_reference.is_some() && proposals[2].conflicting_reference.is_none());
    assert_eq!((proposals[0].origins[0].model.as_str(), proposals[0].state), ("judge", ProposalState::Open));
    let stats = fixture.learning.stats();
    assert_eq!((stats.verdicts.recorded, stats.verdicts.known, stats.verdicts.lost), (5, 1, 0));
}

#[tokio::test]
async fn what_was_accepted_long_ago_is_still_known() {
    let fixture = Fixture::new(Some(FeedbackConfig { max_open: 1, ..FeedbackConfig::default() })).await;
    let origin = |decision: &str| Origin {
        source: Source::LlmVerdict,
        decision: decision.to_owned(),
        known: true,
        model: "judge".to_owned(),
        at: 1,
        note: String::new(),
    };
    let recorder = &fixture.learning.0.recorder;
    let record = async |text: &str| recorder.record(&set(), &route("code"), &text.into(), origin(text)).await.unwrap();
    for text in ["w6 w6 w6 w6 w7", "w7 w7 w7 w7 w2", "w2 w2 w2 w2 w3", "w3 w3 w3 w3 w6"] {
        let Recorded::Proposal(made) = record(text).await else { panic!("{text} is new") };
        fixture.learning.settle(&set(), made.id, Settlement::Accept, Precondition::None).await.unwrap();
    }
    let near = record("w6 w6 w6 w6 w6 w7").await;
    assert!(matches!(near, Recorded::Known(_)), "{near:?}");
}

#[tokio::test]
async fn a_full_queue_loses_verdicts_and_says_so() {
    let fixture = Fixture::new(Some(FeedbackConfig { queue_capacity: 2, ..FeedbackConfig::default() })).await;
    for text in ["w6", "w7", "w6 w7", "w5 w7"] {
        fixture.verdict(text, "code");
    }
    assert_eq!((fixture.learning.stats().verdicts.lost, fixture.learning.stats().waiting), (2, 2));
    let fixture = fixture.run();
    fixture.stopped().await;
    assert_eq!((fixture.proposals().await.len(), fixture.learning.stats().waiting), (2, 0));
}

#[tokio::test]
async fn the_rule_accepts_what_agrees_and_does_no_harm() {
    let accept = Some(AcceptConfig { agreeing: 2 });
    let bounds = FeedbackConfig { near: 0.99, max_bytes: ByteSize(1 << 20), accept, ..FeedbackConfig::default() };
    let fixture = Fixture::new(Some(bounds)).await;
    let origin = |decision: usize| Origin {
        source: Source::LlmVerdict,
        decision: decision.to_string(),
        known: true,
        model: "judge".to_owned(),
        at: 1,
        note: String::new(),
    };
    let recorder = &fixture.learning.0.recorder;
    let mut decisions = 0;
    let mut propose = async |name: &str, text: &str, times: usize| {
        for _ in 0..times {
            decisions += 1;
            recorder.record(&set(), &route(name), &text.into(), origin(decisions)).await.unwrap();
        }
    };
    propose("code", "w0 w2", 2).await;
    propose("code", "w6", 1).await;
    propose("code", "w7", 2).await;
    propose("talk", "w7", 2).await;
    // Mislabelled: the nearest of the other route would follow them.
    propose("talk", "w1 w1 w1 w1", 2).await;
    propose("code", "w5 w5 w5 w5", 2).await;
    let before = fixture.store.get_set(&set()).await.unwrap().revision;
    let mut rule = Rule::new(&AcceptConfig { agreeing: 2 });
    // Proposals for a route that is no more would keep the others from their turn.
    let present = fixture.store.get_set(&set()).await.unwrap();
    let ripe = rule.ripe(recorder, &present, &[route("talk")]).await.unwrap();
    assert!(ripe.iter().all(|proposal| proposal.route == route("talk")), "{ripe:?}");
    let accepted = rule.apply(recorder).await.accepted;
    let proposals = fixture.proposals().await;
    let state = |text: &str, name: &str| {
        proposals.iter().find(|found| found.text == text && found.route == route(name)).map(|found| found.state)
    };
    assert_eq!(state("w0 w2", "code"), Some(ProposalState::Accepted));
    assert_eq!(state("w6", "code"), Some(ProposalState::Open), "too few agree");
    assert_eq!(state("w7", "code"), Some(ProposalState::Open), "in conflict");
    let open = proposals.iter().filter(|found| found.state == ProposalState::Open).count();
    assert_eq!(open, 5, "those that do harm stay");
    assert_eq!(accepted as usize, proposals.len() - open);
    let draft = fixture.store.get_set(&set()).await.unwrap();
    assert_eq!((draft.revision, draft.prompts), (before + accepted, 8 + accepted));
    assert_eq!(draft.published, None, "nothing is published");
    // What did harm is not looked at again while nothing has changed; with the new draft, once.
    rule.apply(recorder).await;
    let looked = rule.apply(recorder).await;
    assert_eq!((looked.accepted, looked.more), (0, false));
}
