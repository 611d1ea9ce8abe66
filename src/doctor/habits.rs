//! Surface habits that give a route away: what nearly all its prompts have in common, and few others have, though it has
//! nothing to do with what they ask. A model that learns it decides by the question mark.

use std::collections::HashMap;

use super::examined::Examined;
use super::finding::{Finding, Kind};
use super::limits::Limits;

/// Routes with fewer prompts have habits by chance.
const FEWEST: usize = 8;

/// A habit in words, its opposite, and whether a text has it.
type Trait = (&'static str, &'static str, fn(&str) -> bool);

const TRAITS: [Trait; 8] = [
    ("end in a question mark", "end in no question mark", |text| text.trim_end().ends_with('?')),
    ("end in a full stop", "end in no full stop", |text| text.trim_end().ends_with('.')),
    ("end in an exclamation mark", "end in no exclamation mark", |text| text.trim_end().ends_with('!')),
    ("are in lower case only", "have capital letters", |text| !text.chars().any(char::is_uppercase)),
    ("are in capital letters only", "have small letters", |text| {
        text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
    }),
    ("hold a digit", "hold no digit", |text| text.chars().any(|c| c.is_ascii_digit())),
    ("hold a line break", "hold no line break", |text| text.trim().contains('\n')),
    ("stand in quotation marks", "stand in no quotation marks", |text| {
        text.trim().starts_with(['"', '“', '\'']) && text.trim().ends_with(['"', '”', '\''])
    }),
];

pub(super) fn check(set: &Examined, limits: &Limits, lost: &[u64], findings: &mut Vec<Finding>) {
    let mut of_routes: Vec<Vec<usize>> = vec![Vec::new(); set.routes.len()];
    for (at, prompt) in set.prompts.iter().enumerate() {
        if let Some(prompts) = of_routes.get_mut(prompt.route as usize) {
            prompts.push(at);
        }
    }
    let facts: Vec<Facts> = set.prompts.iter().map(|prompt| Facts::of(&prompt.text)).collect();
    let all = Counts::of(facts.iter());
    for (route, prompts) in of_routes.iter().enumerate().filter(|(_, prompts)| prompts.len() >= FEWEST) {
        let own: Vec<&Facts> = prompts.iter().filter_map(|at| facts.get(*at)).collect();
        let others = facts.len() - own.len();
        if others == 0 {
            continue;
        }
        let gives_away = |mine: usize, everybodys: usize| {
            let inside = mine as f64 / own.len() as f64;
            let elsewhere = (everybodys - mine) as f64 / others as f64;
            (inside >= limits.habit && elsewhere <= limits.habit_elsewhere).then_some((inside, elsewhere))
        };
        let mut say = |habit: &str, (inside, elsewhere): (f64, f64)| {
            let name = set.name(route as u32);
            let what =
                format!("{:.0} % of its prompts {habit}, {:.0} % of the others", inside * 100.0, elsewhere * 100.0);
            let harm = lost.get(route).copied().unwrap_or_default();
            findings.push(Finding::new(Kind::Habit, vec![name], harm, what).about(set, prompts));
        };
        let mine = Counts::of(own.iter().copied());
        for (at, (habit, opposite, _)) in TRAITS.iter().enumerate() {
            let (Some(&inside), Some(&everywhere)) = (mine.traits.get(at), all.traits.get(at)) else { continue };
            if let Some(shares) = gives_away(inside, everywhere) {
                say(habit, shares);
            } else if let Some(shares) = gives_away(own.len() - inside, facts.len() - everywhere) {
                say(opposite, shares);
            }
        }
        if let Some((word, count)) = mine.commonest_start()
            && let Some(shares) = gives_away(count, all.starts.get(word).copied().unwrap_or_default())
        {
            say(&format!("begin with \"{word}\""), shares);
        }
        let (least, most) = narrowest(own.iter().map(|of| of.words).collect(), limits.habit);
        let within = |of: &&Facts| (least..=most).contains(&of.words);
        let inside = own.iter().copied().filter(within).count();
        if let Some(shares) = gives_away(inside, facts.iter().filter(within).count()) {
            let habit =
                if least == most { format!("have {least} words") } else { format!("have {least} to {most} words") };
            say(&habit, shares);
        }
    }
}

/// What a text looks like.
struct Facts {
    traits: [bool; TRAITS.len()],
    /// The first word, in lower case; empty if there is none.
    start: String,
    words: usize,
}

impl Facts {
    fn of(text: &str) -> Self {
        let start = text.split(|c: char| !(c.is_alphanumeric() || c == '\'')).find(|word| !word.is_empty());
        Self {
            traits: TRAITS.map(|(_, _, has)| has(text)),
            start: start.unwrap_or_default().to_lowercase(),
            words: text.split_whitespace().count(),
        }
    }
}

/// How many texts look so.
struct Counts<'a> {
    traits: [usize; TRAITS.len()],
    starts: HashMap<&'a str, usize>,
}

impl<'a> Counts<'a> {
    fn of(facts: impl Iterator<Item = &'a Facts>) -> Self {
        let mut counts = Self { traits: [0; TRAITS.len()], starts: HashMap::new() };
        for of in facts {
            counts.traits.iter_mut().zip(of.traits).for_each(|(count, has)| *count += usize::from(has));
            if !of.start.is_empty() {
                *counts.starts.entry(&of.start).or_default() += 1;
            }
        }
        counts
    }

    fn commonest_start(&self) -> Option<(&'a str, usize)> {
        self.starts.iter().map(|(word, count)| (*word, *count)).max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0)))
    }
}

/// The narrowest range that holds at least `share` of the lengths.
fn narrowest(mut lengths: Vec<usize>, share: f64) -> (usize, usize) {
    lengths.sort_unstable();
    let held = ((lengths.len() as f64 * share).ceil() as usize).max(1);
    let ranges = lengths.windows(held).filter_map(|window| Some((*window.first()?, *window.last()?)));
    ranges.min_by_key(|(least, most)| most - least).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::examined::samples::examined;

    /// Habits of route `a` with these texts, among plain others.
    fn habits(texts: &[&str]) -> Vec<String> {
        let others =
            ["one", "one two?", "One two three", "one 2 three four.", "Two! three four five six seven", "two?"];
        let others = others.iter().cycle().take(24).map(|text| ("b", *text, "b", 1.0));
        let rows: Vec<_> = texts.iter().map(|text| ("a", *text, "a", 1.0)).chain(others).collect();
        let mut findings = Vec::new();
        check(&examined(&rows), &Limits::default(), &[], &mut findings);
        findings.into_iter().filter(|of| of.routes == ["a"]).map(|of| of.what).collect()
    }

    #[test]
    fn habits_are_told_with_their_shares() {
        let varied = ["one", "Two?", "x three four", "y 1", "One two three four.", "z", "Four five", "six? seven!"];
        assert_eq!(habits(&varied), Vec::<String>::new());
        assert_eq!(habits(&varied[..7]), Vec::<String>::new(), "too few to say");
        let shouted = ["ONE", "TWO THREE", "X", "Y 4", "Z A B", "P Q R S", "ONE Q", "FIVE"];
        assert_eq!(habits(&shouted), ["100 % of its prompts are in capital letters only, 0 % of the others"]);
        let asked: Vec<String> = varied.iter().map(|text| format!("Please {text}")).collect();
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        assert!(habits(&asked).contains(&"100 % of its prompts begin with \"please\", 0 % of the others".to_owned()));
        let long = vec!["one two three four five six seven eight nine"; 9];
        assert!(habits(&long).contains(&"100 % of its prompts have 9 words, 0 % of the others".to_owned()));
    }

    #[test]
    fn the_narrowest_range_is_found() {
        assert_eq!(narrowest(vec![5, 1, 5, 6, 5, 90, 5, 5, 6, 5], 0.8), (5, 6));
        assert_eq!(narrowest(vec![], 0.9), (0, 0));
    }
}
