//! The layers of a graph as plain arrays. Nodes are numbered so that those of an upper layer come first: a layer is
//! the nodes from 0 to its size, and needs no table of its members.

use super::fetch::fetch;

/// Ends a list of links that has room left.
const NONE: u32 = u32::MAX;

/// Most nodes of a graph: the walk keeps a mark in a node's highest bit.
pub(super) const MAX_NODES: usize = 1 << 31;

/// Most layers of a graph.
pub(super) const MAX_LAYERS: usize = 16;

/// Layer 0 first. There is always one.
#[derive(Debug, PartialEq)]
pub(super) struct Links {
    layers: Vec<Layer>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Layer {
    /// Room for a node's links.
    room: usize,
    links: Vec<u32>,
}

/// Links of a node in layer `layer` of a graph with parameter M: twice as many at the bottom, as in the paper.
pub(super) fn room_in(layer: usize, m: usize) -> usize {
    if layer == 0 { 2 * m } else { m }
}

impl Links {
    /// Layers of `sizes` nodes without links.
    pub(super) fn unlinked(m: usize, sizes: &[usize]) -> Self {
        let layer = |(layer, size): (usize, &usize)| {
            let room = room_in(layer, m);
            Layer { room, links: vec![NONE; size * room] }
        };
        Self { layers: sizes.iter().enumerate().map(layer).collect() }
    }

    pub(super) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Nodes of a layer.
    pub(super) fn size(&self, layer: usize) -> usize {
        self.layers.get(layer).map_or(0, |layer| layer.links.len() / layer.room)
    }

    /// What `node` is linked to in a layer.
    pub(super) fn of(&self, layer: usize, node: u32) -> impl Iterator<Item = u32> {
        self.slots(layer, node).iter().copied().take_while(|link| *link != NONE)
    }

    /// Asks the memory for the links of `node`.
    #[inline(always)]
    pub(super) fn fetch(&self, layer: usize, node: u32) {
        fetch(self.slots(layer, node));
    }

    fn slots(&self, layer: usize, node: u32) -> &[u32] {
        let Some(layer) = self.layers.get(layer) else { return &[] };
        let from = node as usize * layer.room;
        layer.links.get(from..from + layer.room).unwrap_or_default()
    }

    /// Adds a link if there is room for it; says whether there was.
    pub(super) fn add(&mut self, layer: usize, node: u32, to: u32) -> bool {
        let Some(layer) = self.layers.get_mut(layer) else { return false };
        let from = node as usize * layer.room;
        let slots = layer.links.get_mut(from..from + layer.room).unwrap_or_default();
        match slots.iter_mut().find(|slot| **slot == NONE) {
            Some(free) => {
                *free = to;
                true
            }
            None => false,
        }
    }

    /// Room for a node's links in a layer.
    pub(super) fn room(&self, layer: usize) -> usize {
        self.layers.get(layer).map_or(0, |layer| layer.room)
    }

    /// Links `node` to these and no others; what there is no room for is left out.
    pub(super) fn set(&mut self, layer: usize, node: u32, to: &[u32]) {
        let Some(layer) = self.layers.get_mut(layer) else { return };
        let from = node as usize * layer.room;
        let slots = layer.links.get_mut(from..from + layer.room).unwrap_or_default();
        let to = to.iter().copied().chain(std::iter::repeat(NONE));
        slots.iter_mut().zip(to).for_each(|(slot, to)| *slot = to);
    }

    /// Puts a link in the place of the last one.
    pub(super) fn replace_last(&mut self, layer: usize, node: u32, to: u32) {
        let Some(layer) = self.layers.get_mut(layer) else { return };
        let last = (node as usize + 1) * layer.room - 1;
        if let Some(slot) = layer.links.get_mut(last) {
            *slot = to;
        }
    }

    /// The array of a layer, for a file.
    pub(super) fn array(&self, layer: usize) -> &[u32] {
        self.layers.get(layer).map_or(&[], |layer| &layer.links)
    }

    pub(super) fn array_mut(&mut self, layer: usize) -> &mut [u32] {
        self.layers.get_mut(layer).map_or(&mut [], |layer| &mut layer.links)
    }

    /// The first layer that has a link to a node it does not have.
    pub(super) fn faulty_layer(&self) -> Option<usize> {
        self.layers.iter().position(|layer| {
            let size = (layer.links.len() / layer.room) as u32;
            layer.links.iter().any(|link| *link >= size && *link != NONE)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_where_their_links_do() {
        let mut links = Links::unlinked(4, &[3, 1]);
        assert_eq!((links.layers(), links.size(0), links.size(1), links.size(2)), (2, 3, 1, 0));
        assert_eq!(links.of(0, 2).count(), 0);
        for to in 0..8 {
            assert!(links.add(0, 2, to % 3));
        }
        assert!(!links.add(0, 2, 0), "a full list takes no more");
        links.replace_last(0, 2, 2);
        assert_eq!(links.of(0, 2).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0, 2]);
        assert_eq!((links.of(0, 3).count(), links.of(9, 0).count()), (0, 0));
        assert_eq!(links.faulty_layer(), None);
        links.add(1, 0, 1);
        assert_eq!(links.faulty_layer(), Some(1), "layer 1 has one node");
    }
}
