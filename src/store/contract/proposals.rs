//! Proposals.

use super::*;
use crate::reference::{
    Origin, Proposal, ProposalEdit, ProposalFilter, ProposalState, Recorded, Settlement, Source, StoreError,
};

const MANY: u32 = 1_000;

pub(super) fn verdict(route: &str, text: &str, decision: &str) -> ProposalEdit {
    let origin = Origin {
        source: Source::LlmVerdict,
        decision: decision.to_owned(),
        known: true,
        model: "judge".to_owned(),
        at: 1_000,
        note: String::new(),
    };
    ProposalEdit {
        set: set("a"),
        route: route_name(route),
        text: text.to_owned(),
        origin,
        embedding: None,
        same_as: Vec::new(),
        conflicting_reference: None,
        conflicting_proposals: Vec::new(),
    }
}

fn correction(route: &str, text: &str, decision: &str) -> ProposalEdit {
    let edit = verdict(route, text, decision);
    let (source, model, note) = (Source::Correction, String::new(), "it is".to_owned());
    ProposalEdit { origin: Origin { source, model, note, at: 2_000, ..edit.origin }, ..edit }
}

async fn record(store: &impl Store, edit: ProposalEdit) -> Proposal {
    match store.record_proposal(&edit, MANY).await.unwrap() {
        Recorded::Proposal(proposal) => *proposal,
        other => panic!("{other:?}"),
    }
}

async fn list(store: &impl Store) -> Vec<Proposal> {
    store.list_proposals(&set("a"), &ProposalFilter { limit: MANY, ..Default::default() }).await.unwrap()
}

async fn settle(store: &impl Store, id: u64, settlement: Settlement) -> crate::reference::Result<Proposal> {
    store.settle_proposal(&set("a"), id, settlement, Precondition::None, 3_000).await
}

pub(crate) async fn count_each_decision_once(store: &impl Store) {
    let before = with_routes(store, "a").await;
    let first = record(store, verdict("code", "fix my loop", "d1")).await;
    assert_eq!((first.verdicts, first.corrections, first.revision), (1, 0, 1));
    assert_eq!((first.text.as_str(), first.state, first.created_at), ("fix my loop", ProposalState::Open, 1_000));
    assert_eq!(record(store, verdict("code", "fix my loop", "d1")).await, first);
    record(store, verdict("code", "fix my loop", "d2")).await;
    let corrected = record(store, correction("code", "fix my loop", "d1")).await;
    assert_eq!((corrected.id, corrected.verdicts, corrected.corrections), (first.id, 2, 1));
    assert_eq!((corrected.updated_at, corrected.revision, corrected.agreeing()), (2_000, 3, 3));
    assert_eq!(record(store, correction("code", "fix my loop", "d1")).await, corrected);
    let origins: Vec<_> = corrected.origins.iter().map(|origin| (origin.source, origin.decision.as_str())).collect();
    assert_eq!(origins, [(Source::Correction, "d1"), (Source::LlmVerdict, "d2"), (Source::LlmVerdict, "d1")]);
    assert_eq!((corrected.origins[0].note.as_str(), corrected.origins[1].model.as_str()), ("it is", "judge"));
    assert_eq!(store.get_proposal(&set("a"), first.id).await.unwrap(), corrected);
    assert_eq!(revision(store, "a").await, before.revision, "the draft stays as it is");
    // More agree than are counted.
    for more in 0..120 {
        record(store, verdict("code", "fix my loop", &format!("more {more}"))).await;
    }
    assert_eq!(list(store).await[0].agreeing(), u64::from(crate::reference::MAX_ORIGINS));
    assert_eq!(list(store).await[0].origins.len(), 20);
}

pub(crate) async fn of_like_texts_are_one(store: &impl Store) {
    with_routes(store, "a").await;
    let first = record(store, verdict("code", "Fix my  loop!", "d1")).await;
    assert_eq!(record(store, verdict("code", "fix my loop", "d2")).await.id, first.id);
    // The caller knows better what is nearly the same.
    let near = ProposalEdit { same_as: vec![first.id], ..verdict("code", "repair my loop", "d3") };
    let merged = record(store, near.clone()).await;
    assert_eq!((merged.id, merged.verdicts, merged.text.as_str()), (first.id, 3, "Fix my  loop!"));
    // But not across routes, nor into what is settled or unknown.
    let other = record(store, ProposalEdit { route: route_name("talk"), ..near.clone() }).await;
    assert_ne!(other.id, first.id);
    settle(store, first.id, Settlement::Reject).await.unwrap();
    let again = record(store, ProposalEdit { origin: verdict("code", "", "d4").origin, ..near.clone() }).await;
    assert!(again.id > other.id && again.verdicts == 1);
    // One that is settled hides no other that is near.
    let third = ProposalEdit { same_as: vec![first.id, again.id], ..verdict("code", "mend my loop", "d7") };
    assert_eq!(record(store, third).await.id, again.id);
    let unknown = ProposalEdit { same_as: vec![9_999], ..verdict("code", "something else", "d5") };
    assert_eq!(record(store, unknown).await.verdicts, 1);
    // What was rejected is not proposed again.
    let rejected = record(store, verdict("code", "FIX MY LOOP", "d6")).await;
    assert_eq!((rejected.id, rejected.state, rejected.verdicts), (first.id, ProposalState::Rejected, 4));
}

pub(crate) async fn at_odds_are_told(store: &impl Store) {
    with_routes(store, "a").await;
    let code = record(store, verdict("code", "hello", "d1")).await;
    assert!(code.conflicting_proposals.is_empty());
    let talk = record(store, verdict("talk", "Hello!", "d2")).await;
    assert_eq!(talk.conflicting_proposals, [code.id]);
    let far = record(store, verdict("code", "good morning", "d3")).await;
    let near = ProposalEdit { conflicting_proposals: vec![far.id, far.id, 9_999], ..verdict("talk", "morning", "d4") };
    assert_eq!(record(store, near).await.conflicting_proposals, [far.id]);
    let told = store.get_proposal(&set("a"), far.id).await.unwrap().conflicting_proposals;
    assert_eq!(told.len(), 1, "either side is told");
    settle(store, code.id, Settlement::Reject).await.unwrap();
    assert!(store.get_proposal(&set("a"), talk.id).await.unwrap().conflicting_proposals.is_empty(), "settled");

    write(store, "a", &[edit("r1", "code", "what now")]).await;
    let against = record(store, verdict("talk", "what now", "d5")).await;
    assert_eq!(against.conflicting_reference, Some(id("r1")));
    let near = ProposalEdit { conflicting_reference: Some(id("r1")), ..verdict("talk", "what then", "d6") };
    assert_eq!(record(store, near).await.conflicting_reference, Some(id("r1")));
}

pub(crate) async fn that_were_accepted_still_speak(store: &impl Store) {
    with_routes(store, "a").await;
    let first = record(store, verdict("code", "fix my loop", "d1")).await;
    let reference = settle(store, first.id, Settlement::Accept).await.unwrap().reference.unwrap();
    let near = ProposalEdit { same_as: vec![first.id], ..verdict("code", "repair my loop", "d2") };
    let known = store.record_proposal(&near, MANY).await.unwrap();
    assert_eq!(known, Recorded::Known(reference.clone()), "it says nothing new");
    let insisted = ProposalEdit { same_as: vec![first.id], ..correction("code", "repair my loop", "d2") };
    assert_eq!(record(store, insisted).await.conflicting_reference, None);
    let against = ProposalEdit { conflicting_proposals: vec![first.id], ..verdict("talk", "repair a loop", "d3") };
    assert_eq!(record(store, against).await.conflicting_reference, Some(reference), "though nothing is published yet");
}

pub(crate) async fn that_were_accepted_speak_no_more_once_their_prompt_says_something_else(store: &impl Store) {
    with_routes(store, "a").await;
    let first = record(store, verdict("code", "fix my loop", "d1")).await;
    let reference = settle(store, first.id, Settlement::Accept).await.unwrap().reference.unwrap();
    let near = |text: &str| ProposalEdit { same_as: vec![first.id], ..verdict("code", text, "d2") };
    let against = |text: &str| ProposalEdit { conflicting_proposals: vec![first.id], ..verdict("talk", text, "d3") };
    let of_reference = |text: &str| edit(reference.as_str(), "code", text);
    write(store, "a", &[of_reference("something else")]).await;
    assert_eq!(record(store, near("repair my loop")).await.state, ProposalState::Open);
    assert_eq!(record(store, against("repair a loop")).await.conflicting_reference, None);
    // Nothing is learned from an evaluation prompt.
    let apart = PromptEdit { purpose: PromptPurpose::Evaluation, ..of_reference("fix my loop") };
    write(store, "a", &[apart]).await;
    assert_eq!(record(store, near("mend my loop")).await.state, ProposalState::Open);
    write(store, "a", &[of_reference("fix my loop")]).await;
    let known = store.record_proposal(&near("debug my loop"), MANY).await.unwrap();
    assert_eq!(known, Recorded::Known(reference));
}

pub(crate) async fn that_are_references_already_are_not_made(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("r1", "code", "x")]).await;
    let known = store.record_proposal(&verdict("code", "x", "d1"), MANY).await.unwrap();
    assert_eq!((known, list(store).await), (Recorded::Known(id("r1")), vec![]));
    assert_refused!(
        store.record_proposal(&verdict("nowhere", "x", "d1"), MANY).await,
        StoreError::UnknownRoute { route, .. } if route.as_str() == "nowhere"
    );
    let elsewhere = ProposalEdit { set: set("b"), ..verdict("code", "x", "d1") };
    assert_refused!(store.record_proposal(&elsewhere, MANY).await, StoreError::UnknownSet { .. });
}

pub(crate) async fn change_with_the_mind_of_a_client(store: &impl Store) {
    with_routes(store, "a").await;
    let code = record(store, correction("code", "x", "d1")).await;
    let talk = record(store, correction("talk", "x", "d1")).await;
    assert_eq!((talk.corrections, &talk.conflicting_proposals), (1, &vec![]), "nobody proposes the other any more");
    assert_refused!(store.get_proposal(&set("a"), code.id).await, StoreError::UnknownProposal { id, .. } if id == code.id);
    // A verdict keeps a proposal; another decision's correction is another matter.
    record(store, verdict("talk", "x", "d1")).await;
    record(store, correction("talk", "x", "d2")).await;
    let code = record(store, correction("code", "x", "d1")).await;
    let talk = store.get_proposal(&set("a"), talk.id).await.unwrap();
    assert_eq!((code.corrections, talk.verdicts, talk.corrections), (1, 1, 1));
    // Back to what a reference prompt says.
    write(store, "a", &[edit("r1", "talk", "y")]).await;
    let wrong = record(store, correction("code", "y", "d3")).await;
    let known = store.record_proposal(&correction("talk", "y", "d3"), MANY).await.unwrap();
    assert_eq!(known, Recorded::Known(id("r1")));
    assert_refused!(store.get_proposal(&set("a"), wrong.id).await, StoreError::UnknownProposal { .. });
}

pub(crate) async fn are_bounded(store: &impl Store) {
    with_routes(store, "a").await;
    let record = async |text: &str| store.record_proposal(&verdict("code", text, text), 2).await.unwrap();
    assert!(matches!((record("1").await, record("2").await), (Recorded::Proposal(_), Recorded::Proposal(_))));
    assert_eq!(record("3").await, Recorded::Full);
    assert!(matches!(record("2").await, Recorded::Proposal(_)), "those that are there go on counting");
    let first = list(store).await[0].id;
    settle(store, first, Settlement::Accept).await.unwrap();
    assert!(matches!(record("3").await, Recorded::Proposal(_)));
}

pub(crate) async fn are_accepted_into_the_draft(store: &impl Store) {
    let before = with_routes(store, "a").await.revision;
    let code = record(store, verdict("code", "x", "d1")).await;
    let talk = record(store, verdict("talk", "x", "d2")).await;
    let accepted = settle(store, code.id, Settlement::Accept).await.unwrap();
    let reference = accepted.reference.clone().unwrap();
    assert_eq!((accepted.state, accepted.updated_at), (ProposalState::Accepted, 3_000));
    let prompt = store.get_prompt(&set("a"), &reference).await.unwrap();
    assert_eq!((prompt.text.as_str(), prompt.route.as_str(), prompt.revision), ("x", "code", before + 1));
    let talk = store.get_proposal(&set("a"), talk.id).await.unwrap();
    assert_eq!(talk.conflicting_reference, Some(reference));
    // Again: nothing happens.
    assert_eq!(settle(store, code.id, Settlement::Accept).await.unwrap(), accepted);
    assert_eq!(revision(store, "a").await, before + 1);
    assert_refused!(
        settle(store, code.id, Settlement::Reject).await,
        StoreError::ProposalClosed { id, state: "accepted" } if id == code.id
    );

    // A prompt with the very text changes its route, whatever its id.
    write(store, "a", &[edit("mine", "code", "y")]).await;
    let other = record(store, verdict("talk", "y", "d3")).await;
    settle(store, other.id, Settlement::Reject).await.unwrap();
    let accepted = settle(store, other.id, Settlement::Accept).await.unwrap();
    assert_eq!(accepted.reference, Some(id("mine")), "who rejected may change his mind");
    let prompts = all_prompts(store, "a").await;
    assert_eq!(prompts.iter().map(|prompt| prompt.text.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(prompts[1].route.as_str(), "talk");

    // The route is gone.
    store.upsert_route(&set("a"), &route("short"), Precondition::None).await.unwrap();
    let orphan = record(store, verdict("short", "z", "d4")).await;
    store.delete_route(&set("a"), &route_name("short"), false, Precondition::None).await.unwrap();
    assert_refused!(settle(store, orphan.id, Settlement::Accept).await, StoreError::UnknownRoute { .. });
    assert_eq!(store.get_proposal(&set("a"), orphan.id).await.unwrap(), orphan);
}

pub(crate) async fn are_settled_at_the_expected_revision_only(store: &impl Store) {
    let before = with_routes(store, "a").await.revision;
    let seen = record(store, verdict("code", "x", "d1")).await;
    record(store, verdict("code", "x", "d2")).await;
    let at = Precondition::Revision(seen.revision);
    for settlement in [Settlement::Accept, Settlement::Reject] {
        assert_refused!(
            store.settle_proposal(&set("a"), seen.id, settlement, at, 0).await,
            StoreError::Stale { resource, expected: 1, present: 2 } if resource == format!("proposal {}", seen.id)
        );
    }
    assert_eq!(revision(store, "a").await, before);
    let now = Precondition::Revision(2);
    store.settle_proposal(&set("a"), seen.id, Settlement::Accept, now, 0).await.unwrap();
    assert_refused!(settle(store, 9_999, Settlement::Accept).await, StoreError::UnknownProposal { id: 9_999, .. });
}

pub(crate) async fn are_listed_in_pages(store: &impl Store) {
    with_routes(store, "a").await;
    with_routes(store, "b").await;
    record(store, ProposalEdit { set: set("b"), ..verdict("code", "not mine", "d") }).await;
    let vector = Some((model("m"), vec![0.5, -0.25]));
    for (at, route) in ["code", "talk", "code", "talk", "code"].into_iter().enumerate() {
        let edit = ProposalEdit { embedding: vector.clone(), ..verdict(route, &format!("text {at}"), "d") };
        record(store, edit).await;
    }
    record(store, verdict("code", "text 4", "e")).await;
    let all = list(store).await;
    assert_eq!(all.len(), 5);
    settle(store, all[2].id, Settlement::Reject).await.unwrap();
    let places = async |filter: ProposalFilter| {
        let mut filter = ProposalFilter { limit: 2, ..filter };
        let mut found = Vec::new();
        loop {
            let page = store.list_proposals(&set("a"), &filter).await.unwrap();
            let Some(last) = page.last() else { return found };
            filter.after = last.id;
            found.extend(page.iter().map(|found| all.iter().position(|known| known.id == found.id).unwrap()));
        }
    };
    let any = ProposalFilter::default;
    assert_eq!(places(any()).await, [0, 1, 2, 3, 4]);
    assert_eq!(places(ProposalFilter { state: Some(ProposalState::Open), ..any() }).await, [0, 1, 3, 4]);
    let open_code = ProposalFilter { state: Some(ProposalState::Open), route: Some(route_name("code")), ..any() };
    assert_eq!(places(open_code).await, [0, 4]);
    assert_eq!(places(ProposalFilter { agreeing: 2, ..any() }).await, [4]);
    // Decisions that nobody here knows count as one, however many somebody names.
    let unknown = |decision: &str| {
        let edit = correction(all[0].route.as_str(), &all[0].text, decision);
        ProposalEdit { origin: Origin { known: false, ..edit.origin }, ..edit }
    };
    assert!(record(store, unknown("u1")).await.origins.iter().any(|origin| !origin.known));
    record(store, unknown("u2")).await;
    assert_eq!(places(ProposalFilter { agreeing: 2, ..any() }).await, [0, 4]);
    assert_eq!(places(ProposalFilter { agreeing: 3, ..any() }).await, [0; 0]);
    // They leave room for those that somebody knows, and may come to be known.
    for at in 0..crate::reference::MAX_ORIGINS {
        record(store, unknown(&format!("v{at}"))).await;
    }
    let known = |edit: ProposalEdit| ProposalEdit { origin: Origin { known: true, ..edit.origin }, ..edit };
    record(store, known(unknown("u2"))).await;
    record(store, known(unknown("w"))).await;
    assert_eq!(places(ProposalFilter { agreeing: 4, ..any() }).await, [0]);

    let vectors = store.proposal_vectors(&set("a"), &model("m"), all[0].id, 2).await.unwrap();
    assert_eq!(vectors.iter().map(|vector| vector.id).collect::<Vec<_>>(), [all[1].id, all[3].id]);
    assert_eq!((vectors[0].route.as_str(), &vectors[0].embedding), ("talk", &vec![0.5, -0.25]));
    assert_eq!(store.proposal_vectors(&set("a"), &model("other"), 0, 9).await.unwrap(), []);
}

pub(crate) async fn go_with_their_set(store: &impl Store) {
    with_routes(store, "a").await;
    let code = record(store, verdict("code", "x", "d1")).await;
    record(store, verdict("talk", "x", "d2")).await;
    store.delete_set(&set("a"), Precondition::None).await.unwrap();
    assert_refused!(store.get_proposal(&set("a"), code.id).await, StoreError::UnknownSet { .. });
    with_routes(store, "a").await;
    assert_eq!(list(store).await, []);
    assert!(record(store, verdict("code", "x", "d1")).await.id > code.id + 1, "numbers are not given again");
}
