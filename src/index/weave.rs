//! Linking the nodes of one layer: algorithm 1 of Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>, in batches.
//!
//! The nodes of a batch look for their neighbours in the graph as it was before, all at once, and are linked then: no
//! thread waits for another, and the result does not depend on how they run. As in ParlayANN,
//! <https://arxiv.org/abs/2305.04359>, a batch is a small part of what is linked already.

use rayon::prelude::*;

use super::codes::Codes;
use super::levels::mixed;
use super::links::Links;
use super::scratch;
use super::select::{select, select_again};
use super::walk::walk_in;
use super::watch::{BuildWatch, Stopped};

/// A batch is at most one in so many of the nodes that are linked before it.
const BATCH_ONE_IN: usize = 50;

/// Most nodes of a batch: some seconds of a core.
const MAX_BATCH: usize = 8_192;

/// Links the nodes of a layer. The first `upper` are in the layer above too, where they are linked already; those after
/// them begin their search at their entry.
pub(super) fn weave(
    codes: &Codes,
    links: &mut Links,
    layer: usize,
    upper: usize,
    entries: &[u32],
    ef: usize,
    watch: &BuildWatch,
) -> Result<(), Stopped> {
    let mut woven = vec![false; links.size(layer)];
    for (count, turn) in turns(upper, links.size(layer)).chunk_by(|a, b| a.0 == b.0).enumerate() {
        let batch: Vec<u32> = turn.iter().map(|(_, node)| *node).collect();
        let starts = |node: u32| -> Vec<u32> {
            match entries.get((node as usize).wrapping_sub(upper)) {
                Some(entry) if upper > 0 => vec![*entry],
                _ => {
                    let known = links.of(layer + 1, node).filter(|near| is(&woven, *near));
                    known.chain([0]).filter(|start| *start != node).collect()
                }
            }
        };
        let most = links.room(layer) / 2;
        let found: Vec<Vec<u32>> = batch
            .par_iter()
            .map(|node| {
                if count == 0 {
                    return Vec::new();
                }
                scratch::with(|scratch| {
                    let query = codes.query_of(*node);
                    walk_in(codes, links, layer, &starts(*node), &query, ef, scratch);
                    select(codes, *node, most, scratch)
                })
            })
            .collect();
        link(codes, links, layer, &batch, &found);
        for node in &batch {
            if let Some(woven) = woven.get_mut(*node as usize) {
                *woven = true;
            }
        }
        if layer == 0 {
            watch.inserted(batch.len())?;
        } else {
            watch.go_on()?;
        }
    }
    Ok(())
}

fn is(woven: &[bool], node: u32) -> bool {
    woven.get(node as usize).copied().unwrap_or(false)
}

/// The nodes in batches: the number of each one's batch, and the node. The first node is alone. Those of the layer above
/// come first; each batch is drawn from all over the layer and then put in order, so that searches that follow each
/// other go to the same places.
fn turns(upper: usize, size: usize) -> Vec<(u32, u32)> {
    let mut drawn: Vec<u32> = (0..size as u32).collect();
    drawn.sort_by_cached_key(|node| (*node > 0, *node as usize >= upper.max(1), mixed(u64::from(*node))));
    let (mut turns, mut batch) = (Vec::with_capacity(size), 0);
    while turns.len() < size {
        let most = (turns.len() / BATCH_ONE_IN).clamp(1, MAX_BATCH);
        let from = turns.len();
        turns.extend(drawn.iter().skip(from).take(most).map(|node| (batch, *node)));
        if let Some(last) = turns.get_mut(from..) {
            last.sort_unstable();
        }
        batch += 1;
    }
    turns
}

/// Links each node of a batch to what it found, and what it found to it.
fn link(codes: &Codes, links: &mut Links, layer: usize, batch: &[u32], found: &[Vec<u32>]) {
    let mut back = Vec::with_capacity(found.iter().map(Vec::len).sum());
    for (node, found) in batch.iter().zip(found) {
        links.set(layer, *node, found);
        back.extend(found.iter().map(|to| (*to, *node)));
    }
    back.par_sort_unstable();
    let of_nodes: Vec<&[(u32, u32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
    let longer = |new: &&[(u32, u32)]| {
        let (node, _) = *new.first()?;
        let all: Vec<u32> = links.of(layer, node).chain(new.iter().map(|(_, new)| *new)).collect();
        Some((node, select_again(codes, node, all, links.room(layer))))
    };
    let longer: Vec<(u32, Vec<u32>)> = of_nodes.par_iter().filter_map(longer).collect();
    for (node, to) in longer {
        links.set(layer, node, &to);
    }
}
