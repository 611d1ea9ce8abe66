//! How many routes and prompts there are, and how evenly they are spread.

use std::collections::BTreeMap;

use super::examined::Examined;
use super::finding::{Finding, Kind};
use super::limits::Limits;

pub(super) fn check(set: &Examined, limits: &Limits, lost: &[u64], findings: &mut Vec<Finding>) {
    let sizes = set.sizes();
    let named = |holds: &dyn Fn(usize) -> bool| -> Vec<usize> {
        sizes.iter().enumerate().filter(|(_, size)| holds(**size)).map(|(route, _)| route).collect()
    };
    let filled = named(&|size| size > 0);
    if filled.len() < 2 {
        let what = format!("{} of {} routes have prompts", filled.len(), set.routes.len());
        findings.push(Finding::new(Kind::TooFewRoutes, set.routes.clone(), 0, what));
    }
    let harm = |routes: &[usize]| routes.iter().filter_map(|route| lost.get(*route)).sum::<u64>();
    let finding = |kind, routes: Vec<usize>, what: String| {
        let names = routes.iter().map(|route| set.name(*route as u32)).collect();
        Finding::new(kind, names, harm(&routes), what)
    };
    for route in named(&|size| size == 0) {
        findings.push(finding(Kind::RouteWithoutPrompts, vec![route], "it has no prompts".to_owned()));
    }
    for alike in names_alike(set) {
        findings.push(finding(Kind::NamesAlike, alike, "their names differ in case and signs only".to_owned()));
    }
    let few = named(&|size| size > 0 && size < limits.prompts);
    if !few.is_empty() {
        let counts: Vec<usize> = few.iter().filter_map(|route| sizes.get(*route).copied()).collect();
        let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
        let have = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        let what = format!("{} {have} prompts, fewer than {}", routes_have(few.len()), limits.prompts);
        findings.push(finding(Kind::TooFewPrompts, few, what));
    }
    imbalance(&sizes, &filled, limits, |routes, what| findings.push(finding(Kind::Imbalance, routes, what)));
}

/// Against the median, which one odd route does not move.
fn imbalance(sizes: &[usize], filled: &[usize], limits: &Limits, mut found: impl FnMut(Vec<usize>, String)) {
    let mut counts: Vec<usize> = filled.iter().filter_map(|route| sizes.get(*route).copied()).collect();
    counts.sort_unstable();
    // Of an even number the lower one: of two routes the smaller is the measure.
    let Some(median) = counts.get(counts.len().saturating_sub(1) / 2).map(|count| *count as f64) else { return };
    let of = |route: &usize| sizes.get(*route).copied().unwrap_or_default() as f64;
    let large: Vec<usize> = filled.iter().copied().filter(|route| of(route) > limits.imbalance * median).collect();
    let small: Vec<usize> = filled.iter().copied().filter(|route| of(route) * limits.imbalance < median).collect();
    for (routes, than) in [(large, "more"), (small, "fewer")] {
        if !routes.is_empty() {
            let what = format!(
                "{} over {} times {than} prompts than the median, {median}",
                routes_have(routes.len()),
                limits.imbalance
            );
            found(routes, what);
        }
    }
}

fn routes_have(count: usize) -> String {
    if count == 1 { "1 route has".to_owned() } else { format!("{count} routes have") }
}

fn names_alike(set: &Examined) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (route, name) in set.routes.iter().enumerate() {
        let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        // A name of signs alone is like no other.
        let plain = if plain.is_empty() { name.clone() } else { plain };
        groups.entry(plain).or_default().push(route);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::examined::samples::examined;

    fn kinds(rows: &[(&str, &str, &str, f32)]) -> Vec<(Kind, Vec<String>)> {
        let mut findings = Vec::new();
        check(&examined(rows), &Limits::default(), &[], &mut findings);
        findings.into_iter().map(|of| (of.kind, of.routes)).collect()
    }

    #[test]
    fn sizes_are_compared() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of = |route: &'static str, count: usize| vec![(route, "x", route, 1.0f32); count];
        assert_eq!(kinds(&[]), [(Kind::TooFewRoutes, vec![])]);
        assert_eq!(kinds(&of("a", 20)), [(Kind::TooFewRoutes, names(&["a"]))]);
        assert_eq!(kinds(&[of("a", 20), of("b", 30)].concat()), []);
        let rows = [of("a", 20), of("A-", 9), of("c", 401)].concat();
        let expected = [
            (Kind::NamesAlike, names(&["A-", "a"])),
            (Kind::TooFewPrompts, names(&["A-"])),
            (Kind::Imbalance, names(&["c"])),
        ];
        assert_eq!(kinds(&rows), expected);
        let rows = [of("a", 300), of("b", 300), of("c", 14)].concat();
        assert_eq!(kinds(&rows), [(Kind::Imbalance, names(&["c"]))]);
        let empty = [vec![("a", "x", "nothing", 1.0f32)], of("b", 10), of("a", 10)].concat();
        assert_eq!(kinds(&empty)[0], (Kind::RouteWithoutPrompts, names(&["nothing"])));
    }
}
