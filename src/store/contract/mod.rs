//! The contract of [`Store`], one test a sentence, for every implementation.
//!
//! An implementation has a [`Home`] in its tests and calls `store_contract!` with it. A case takes the home, or one
//! store that was opened there.

pub(crate) mod keys;
pub(crate) mod prompts;
pub(crate) mod proposals;
pub(crate) mod routes;
pub(crate) mod sets;
pub(crate) mod shared;
pub(crate) mod shared_keys;
pub(crate) mod spend;
pub(crate) mod versions;

use crate::reference::{
    Fingerprint, Precondition, PromptEdit, PromptFilter, PromptPurpose, ReferenceId, ReferencePrompt, ReferenceSet,
    Route, RouteName, SetEdit, SetName, SetPolicy, SetVersion, Store, TextHash, Version,
};

/// A place with data, empty at first. Every store opened there sees the same data.
pub(crate) trait Home {
    type Store: Store;

    async fn new() -> Self;
    async fn open(&self) -> Self::Store;
}

/// Makes a test of every case, for the `Home` of that name. Wants a module of its own.
macro_rules! store_contract {
    ($home:ident) => {
        $crate::store::contract::store_contract! { $home at home (home.open().await):
            sets {
                are_created_changed_and_listed_by_name
                are_written_at_the_expected_revision_only
                count_every_write_of_their_drafts
                are_deleted_with_all_they_hold
                that_come_again_count_on
                that_are_unknown_are_named
            }
            routes {
                keep_their_fields_and_are_listed_by_name
                are_written_at_the_expected_revision_only
                with_prompts_are_deleted_on_request_only
            }
            prompts {
                are_listed_in_pages_by_id
                keep_any_text
                keep_what_they_are_for
                without_an_id_are_one_per_text
                that_stand_there_keep_their_revision
                are_written_all_or_none
                take_the_last_edit_of_an_id
                are_deleted_all_or_none
            }
            versions {
                are_immutable_copies_of_the_draft
                that_were_killed_are_resumed
                of_an_older_draft_or_model_give_way
                know_which_embeddings_they_lack
                share_embeddings_by_text_and_model
                give_their_prompts_in_pages_with_embeddings
                can_be_embedded_anew
                go_live_one_after_the_other
                roll_back
                that_are_old_are_removed
                leave_no_unused_embeddings
                keep_their_decision_models
                give_embeddings_by_text
            }
            proposals {
                count_each_decision_once
                of_like_texts_are_one
                at_odds_are_told
                that_were_accepted_still_speak
                that_were_accepted_speak_no_more_once_their_prompt_says_something_else
                that_are_references_already_are_not_made
                change_with_the_mind_of_a_client
                are_bounded
                are_accepted_into_the_draft
                are_settled_at_the_expected_revision_only
                are_listed_in_pages
                go_with_their_set
            }
            spend {
                is_added_up_by_day
                is_forgotten_after_a_year
            }
            keys {
                keep_all_their_terms
                change_one_revision_at_a_time
                add_up_what_they_spend
            }
        }
        $crate::store::contract::store_contract! { $home at home (home):
            shared {
                data_outlives_the_store
                stores_see_each_others_writes
                writers_do_not_lose_each_others_writes
                one_of_many_writers_wins_a_revision
                freezes_at_once_agree
                dropped_writes_are_whole_or_nothing
                proposals_are_counted_by_all_stores
            }
        }
        $crate::store::contract::store_contract! { $home at home (home):
            shared_keys {
                stores_see_each_others_keys
            }
        }
    };
    ($home:ident at $place:ident ($subject:expr): $($noun:ident { $($case:ident)+ })+) => {
        $(mod $noun {
            use super::$home;
            use $crate::store::contract::{Home, $noun};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let $place = $home::new().await;
                    $noun::$case(&$subject).await;
                }
            )+
        })+
    };
}
pub(crate) use store_contract;

fn set(name: &str) -> SetName {
    SetName::new(name).unwrap()
}

fn route_name(name: &str) -> RouteName {
    RouteName::new(name).unwrap()
}

fn id(id: &str) -> ReferenceId {
    ReferenceId::new(id).unwrap()
}

fn model(name: &str) -> Fingerprint {
    Fingerprint(name.to_owned())
}

fn set_edit(name: &str) -> SetEdit {
    SetEdit { name: set(name), description: format!("about {name}"), policy: SetPolicy::default() }
}

fn route(name: &str) -> Route {
    Route {
        name: route_name(name),
        description: String::new(),
        min_score: None,
        min_similarity: None,
        targets: Vec::new(),
        revision: 0,
    }
}

fn edit(id: &str, route: &str, text: &str) -> PromptEdit {
    PromptEdit {
        id: Some(self::id(id)),
        route: route_name(route),
        text: text.to_owned(),
        purpose: PromptPurpose::Reference,
        precondition: Precondition::None,
    }
}

/// A vector that tells the texts apart.
fn embedding(text: &str) -> (TextHash, Vec<f32>) {
    (TextHash::of(text), vec![text.len() as f32, -0.5, f32::MIN_POSITIVE])
}

/// A set with the routes `code` and `talk` and no prompts; its draft is at revision 3.
async fn with_routes(store: &impl Store, name: &str) -> ReferenceSet {
    store.upsert_set(&set_edit(name), Precondition::None).await.unwrap();
    for name_of_route in ["code", "talk"] {
        store.upsert_route(&set(name), &route(name_of_route), Precondition::None).await.unwrap();
    }
    store.get_set(&set(name)).await.unwrap()
}

async fn write(store: &impl Store, name: &str, edits: &[PromptEdit]) -> Vec<ReferencePrompt> {
    store.upsert_prompts(&set(name), edits).await.unwrap()
}

async fn all_prompts(store: &impl Store, name: &str) -> Vec<ReferencePrompt> {
    let filter = PromptFilter { limit: 10_000, ..PromptFilter::default() };
    store.list_prompts(&set(name), &filter).await.unwrap()
}

async fn revision(store: &impl Store, name: &str) -> u64 {
    store.get_set(&set(name)).await.unwrap().revision
}

/// Freezes the draft and puts the embeddings that it lacks.
async fn build(store: &impl Store, name: &str, of: &str) -> SetVersion {
    let frozen = store.freeze(&set(name), &model(of), false).await.unwrap();
    let missing = store.missing_embeddings(&set(name), frozen.version, 10_000).await.unwrap();
    let embeddings: Vec<_> = missing.iter().map(|(_, text)| embedding(text)).collect();
    store.put_embeddings(&model(of), &embeddings).await.unwrap();
    frozen
}

async fn build_and_publish(store: &impl Store, name: &str, of: &str, keep: u32) -> ReferenceSet {
    let version = build(store, name, of).await.version;
    store.publish(&set(name), version, "{}", keep).await.unwrap()
}

/// Numbers of the versions that exist, newest first.
async fn versions_of(store: &impl Store, name: &str) -> Vec<Version> {
    store.list_versions(&set(name)).await.unwrap().into_iter().map(|version| version.version).collect()
}

/// Fails unless the result is an error of that shape.
macro_rules! assert_refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern)),
        }
    };
}
pub(crate) use assert_refused;
