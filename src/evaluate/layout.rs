//! Embeddings on a plane: first the two directions in which they differ most, then neighbours drawn together and others
//! pushed apart, as UMAP does it (McInnes, Healy, Melville (2018), arXiv:1802.03426), with every edge of the neighbours'
//! graph weighing the same. The same input gives the same picture everywhere.

use super::lots::Lots;

/// UMAP's curve 1 / (1 + a d^2b) for its default distance of 0.1 between points of one place.
const A: f32 = 1.577;
const B: f32 = 0.895;

const EPOCHS: usize = 200;
/// Points that a point is pushed away from, for each that it is drawn to; UMAP's default is 5.
const PUSHES: usize = 4;
/// Longest step, as in UMAP.
const CLIP: f32 = 4.0;
const POWER_STEPS: usize = 30;
/// Half the side of the square that the layout starts from; UMAP's.
const SPREAD: f32 = 10.0;

/// A place for each of `vectors`, all of one length; `neighbours` are the positions of each one's nearest. Places are in
/// no unit; only who is near whom means something.
pub fn layout(vectors: &[&[f32]], neighbours: &[Vec<u32>]) -> Vec<[f32; 2]> {
    let mut places = principal(vectors);
    stretch(&mut places);
    let edges: Vec<(usize, usize)> = neighbours
        .iter()
        .enumerate()
        .flat_map(|(at, near)| near.iter().map(move |other| (at, *other as usize)))
        .filter(|(at, other)| at != other && *at < places.len() && *other < places.len())
        .collect();
    let mut lots = Lots::new(0);
    for epoch in 0..EPOCHS {
        let rate = 1.0 - epoch as f32 / EPOCHS as f32;
        for &(at, other) in &edges {
            pull(&mut places, at, other, rate);
            for _ in 0..PUSHES {
                let far = lots.below(places.len());
                repel(&mut places, at, far, rate);
            }
        }
    }
    places
}

/// Coordinates along the two principal components, by power iteration on the centred vectors.
fn principal(vectors: &[&[f32]]) -> Vec<[f32; 2]> {
    let dimension = vectors.first().map_or(0, |vector| vector.len());
    let mut centre = vec![0.0f32; dimension];
    for vector in vectors {
        centre.iter_mut().zip(*vector).for_each(|(sum, value)| *sum += value / vectors.len() as f32);
    }
    let mut axes: Vec<Vec<f32>> = Vec::new();
    let mut lots = Lots::new(1);
    for _ in 0..2 {
        // Any start that is not at right angles to the component will do.
        let mut axis: Vec<f32> = (0..dimension).map(|_| lots.unit()).collect();
        for _ in 0..POWER_STEPS {
            axes.iter().for_each(|done| reduce(&mut axis, done));
            normalise(&mut axis);
            let mut next = vec![0.0f32; dimension];
            for vector in vectors {
                let along = along(vector, &centre, &axis);
                next.iter_mut().zip(vector.iter().zip(&centre)).for_each(|(sum, (v, c))| *sum += along * (v - c));
            }
            axis = next;
        }
        axes.iter().for_each(|done| reduce(&mut axis, done));
        normalise(&mut axis);
        axes.push(axis);
    }
    let place = |vector: &&[f32]| {
        let on = |axis: usize| axes.get(axis).map_or(0.0, |axis| along(vector, &centre, axis));
        [on(0), on(1)]
    };
    vectors.iter().map(place).collect()
}

fn along(vector: &[f32], centre: &[f32], axis: &[f32]) -> f32 {
    vector.iter().zip(centre).zip(axis).map(|((value, centre), axis)| (value - centre) * axis).sum()
}

fn reduce(axis: &mut [f32], by: &[f32]) {
    let shared: f32 = axis.iter().zip(by).map(|(a, b)| a * b).sum();
    axis.iter_mut().zip(by).for_each(|(a, b)| *a -= shared * b);
}

fn normalise(axis: &mut [f32]) {
    let norm = axis.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    axis.iter_mut().for_each(|value| *value /= norm);
}

/// To a square of fixed size; points at the same place are moved apart a little, or nothing could part them.
fn stretch(places: &mut [[f32; 2]]) {
    let most = places.iter().flatten().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
    let mut lots = Lots::new(2);
    places.iter_mut().flatten().for_each(|value| *value = *value / most * SPREAD + 1e-3 * lots.unit());
}

fn pull(places: &mut [[f32; 2]], at: usize, other: usize, rate: f32) {
    let Some((difference, distance)) = between(places, at, other) else { return };
    let strength = -2.0 * A * B * distance.powf(B - 1.0) / (1.0 + A * distance.powf(B));
    step(places, at, difference, strength * rate);
    step(places, other, difference, -strength * rate);
}

fn repel(places: &mut [[f32; 2]], at: usize, other: usize, rate: f32) {
    let Some((difference, distance)) = between(places, at, other) else { return };
    let strength = 2.0 * B / ((0.001 + distance) * (1.0 + A * distance.powf(B)));
    step(places, at, difference, strength * rate);
}

/// From the other to this one, and the square of how far; `None` if they are at one place.
fn between(places: &[[f32; 2]], at: usize, other: usize) -> Option<([f32; 2], f32)> {
    let ([x, y], [u, v]) = (places.get(at)?, places.get(other)?);
    let difference = [x - u, y - v];
    let distance = difference[0] * difference[0] + difference[1] * difference[1];
    (distance > 0.0).then_some((difference, distance))
}

fn step(places: &mut [[f32; 2]], at: usize, difference: [f32; 2], strength: f32) {
    if let Some([x, y]) = places.get_mut(at) {
        *x += (strength * difference[0]).clamp(-CLIP, CLIP);
        *y += (strength * difference[1]).clamp(-CLIP, CLIP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three clusters in four dimensions, ten points each; each point's neighbours are the rest of its cluster.
    fn clusters() -> (Vec<Vec<f32>>, Vec<Vec<u32>>) {
        let mut lots = Lots::new(3);
        let mut vector = |at: usize| -> Vec<f32> {
            (0..4).map(|axis| if axis == at / 10 { 1.0 } else { 0.1 * lots.unit() }).collect()
        };
        let near = |at: u32| (at / 10 * 10..at / 10 * 10 + 10).filter(|other| *other != at).collect();
        ((0..30).map(&mut vector).collect(), (0..30).map(near).collect())
    }

    #[test]
    fn clusters_stay_together_and_apart() {
        let (vectors, near) = clusters();
        let rows: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let places = layout(&rows, &near);
        assert_eq!(places, layout(&rows, &near), "the same input gives the same picture");
        let distance = |a: usize, b: usize| between(&places, a, b).map_or(0.0, |(_, squared)| squared.sqrt());
        let widest_inside = (0..30).flat_map(|a| (0..30).map(move |b| (a, b))).filter(|(a, b)| a / 10 == b / 10);
        let widest = widest_inside.map(|(a, b)| distance(a, b)).fold(0.0, f32::max);
        let between_clusters = (0..30).flat_map(|a| (0..30).map(move |b| (a, b))).filter(|(a, b)| a / 10 != b / 10);
        let closest = between_clusters.map(|(a, b)| distance(a, b)).fold(f32::MAX, f32::min);
        assert!(widest < closest, "{widest} {closest}");
    }

    #[test]
    fn principal_components_are_the_longest_directions() {
        let vectors: Vec<Vec<f32>> =
            (0..8).map(|at| vec![0.1, at as f32, if at % 2 == 0 { 1.0 } else { 0.0 }]).collect();
        let rows: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let places = principal(&rows);
        let spread = |axis: usize| places.iter().map(|place| place[axis].powi(2)).sum::<f32>();
        assert!((spread(0) - 42.0).abs() < 1.0 && (spread(1) - 2.0).abs() < 0.5, "{} {}", spread(0), spread(1));
    }

    #[test]
    fn odd_input_is_no_trouble() {
        assert!(layout(&[], &[]).is_empty());
        let same = [1.0f32, 0.0];
        for rows in [vec![&same[..]], vec![&same[..]; 5]] {
            let near = vec![(0..rows.len() as u32 + 3).collect(); rows.len()];
            assert!(layout(&rows, &near).iter().flatten().all(|value| value.is_finite()));
        }
    }
}
