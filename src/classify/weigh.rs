//! The routes of a prompt in the order of the decision model, with what each got of the neighbours' vote. Pure.

use semroute_decision::Judgement;

use super::knn::RouteScore;

/// Routes that are less likely are not worth their bytes in an answer, unless the shortlist holds them.
const LEAST: f32 = 0.001;

/// Routes that are told in any case.
const AT_LEAST: usize = 2;

/// The likeliest routes first; those that got votes without being among the likeliest follow, in the vote's order.
pub(super) fn ranked(judgement: &Judgement, vote: Vec<RouteScore>) -> Vec<RouteScore> {
    let mut left = vote;
    let mut ranked: Vec<RouteScore> = Vec::with_capacity(judgement.ranking.len() + left.len());
    let told = judgement.shortlist.max(AT_LEAST);
    let likely = |(rank, (_, probability)): &(usize, &(u32, f32))| *rank < told || *probability >= LEAST;
    for (_, (route, probability)) in judgement.ranking.iter().enumerate().take_while(likely) {
        let voted = left.iter().position(|score| score.route == *route).map(|at| left.remove(at));
        let unvoted = RouteScore { route: *route, score: 0.0, similarity: -1.0, probability: None };
        ranked.push(RouteScore { probability: Some(*probability), ..voted.unwrap_or(unvoted) });
    }
    ranked.append(&mut left);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_orders_and_the_vote_is_kept() {
        let ranking = vec![(2, 0.7), (0, 0.2), (5, 0.0995), (6, 0.0005)];
        let judgement = Judgement { ranking, confidence: 0.9, in_scope: 1.0, shortlist: 1 };
        let voted = |route, score| RouteScore { route, score, similarity: score, probability: None };
        let ranked = ranked(&judgement, vec![voted(0, 0.5), voted(7, 0.3), voted(2, 0.2)]);
        let brief: Vec<_> = ranked.iter().map(|score| (score.route, score.score, score.probability)).collect();
        assert_eq!(brief, [(2, 0.2, Some(0.7)), (0, 0.5, Some(0.2)), (5, 0.0, Some(0.0995)), (7, 0.3, None)]);
        assert_eq!(ranked[2].similarity, -1.0);
    }
}
