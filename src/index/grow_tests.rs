use proptest::prelude::*;

use super::super::codes::step_for;
use super::super::flat::FlatIndex;
use super::super::frozen::HnswIndex;
use super::super::hnsw;
use super::super::tests_support::random_matrix;
use super::*;
use crate::embed::Embedding;

fn config() -> IndexConfig {
    IndexConfig { m: 8, ef_construction: 60, ..IndexConfig::default() }
}

fn grown(vectors: &VectorMatrix) -> Graph {
    grow(vectors, step_for(vectors), &config(), &BuildWatch::default()).unwrap()
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn the_same_rows_give_the_same_graph_on_any_number_of_threads() {
    let vectors = random_matrix(900, 16, 3);
    let [one, three] = [1, 3].map(|threads| on_threads(threads, || grown(&vectors)));
    assert_eq!(one.order, three.order);
    assert_eq!(one.links, three.links);
}

#[test]
fn rows_are_counted_once() {
    let watch = BuildWatch::default();
    let vectors = random_matrix(900, 16, 3);
    grow(&vectors, step_for(&vectors), &config(), &watch).unwrap();
    assert_eq!(watch.rows(), 900);
}

/// `hnsw_rs` is what it is compared with: a graph of its own may not find less.
#[test]
fn it_finds_no_less_than_hnsw_rs() {
    let vectors = std::sync::Arc::new(random_matrix(1_500, 24, 7));
    let flat = FlatIndex::new(std::sync::Arc::clone(&vectors));
    let recall = |graph| {
        let index = HnswIndex::of(graph, &config(), &BuildWatch::default()).unwrap().with_ef_search(24);
        index.measured(&flat).report().recall_at_10.unwrap()
    };
    let ours = recall(grown(&vectors));
    let theirs = recall(hnsw::build(&vectors, step_for(&vectors), &config(), &BuildWatch::default()).unwrap());
    assert!(ours > 0.9 && ours >= theirs - 0.02, "{ours} against {theirs}");
}

#[test]
fn nodes_that_are_near_each_other_have_near_numbers() {
    let vectors = random_matrix(1_500, 24, 7);
    let graph = grown(&vectors);
    // The matrix has 30 clusters, row after row: two rows of one are 30 apart, in any order but ours.
    let same = graph.order.windows(2).filter(|pair| pair[0] % 30 == pair[1] % 30).count();
    assert!(same > 1_000, "{same} of 1,499 are followed by one of their cluster");
}

#[test]
fn a_tour_goes_to_each_node_and_then_to_those_near_it() {
    let placed = [(0, 7), (0, 9), (2, 8)].map(|(at, row)| Placed { at, entry: 0, row });
    assert_eq!(extended(&[1, 0, 2], &placed), [1, 3, 4, 0, 2, 5]);
    assert_eq!(extended(&[], &placed), [0, 1, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Equal rows among them.
    #[test]
    fn each_row_is_a_node_and_links_stay_in_their_layer(
        values in prop::collection::vec(prop::collection::vec(-1i8..=1, 3), 0..120),
    ) {
        let mut vectors = VectorMatrix::with_capacity(values.len(), 3);
        for values in values {
            if let Ok(vector) = Embedding::normalised(values.into_iter().map(f32::from).collect()) {
                vectors.push(&vector).unwrap();
            }
        }
        let vectors = vectors.finish();
        let Graph { codes, links, order } = grown(&vectors);
        prop_assert_eq!(links.size(0), vectors.rows());
        prop_assert_eq!(links.faulty_layer(), None);
        for (node, row) in order.iter().enumerate() {
            prop_assert!(codes.is(node, vectors.row(*row as usize)));
            prop_assert!(links.of(0, node as u32).all(|to| to as usize != node), "node {} links to itself", node);
        }
        let mut rows = order;
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..vectors.rows() as u32).collect::<Vec<_>>());
    }
}
