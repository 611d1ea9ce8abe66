//! The diagnosis for a reader at a terminal.

use super::diagnosis::Diagnosis;
use super::finding::{Finding, PromptRef};

/// Prompts of a finding that are shown.
const MAX_PROMPTS: usize = 4;
/// Routes of a finding that are named.
const MAX_ROUTES: usize = 6;

/// At most `most` findings, each with its prompts and what to do; ends with a line end.
pub fn render(diagnosis: &Diagnosis, most: usize) -> String {
    let Diagnosis { set, routes, prompts, judged, lost, errors, warnings, notes, findings, .. } = diagnosis;
    let right = judged.saturating_sub(*lost as usize) as f64 / (*judged).max(1) as f64 * 100.0;
    let said = match *judged {
        0 => "of none of them can the others say anything".to_owned(),
        all if all == *prompts => format!("{right:.1} % of them are decided rightly by the others"),
        some => format!("of {some} the others can say something, and decide {right:.1} % rightly"),
    };
    let mut text = format!(
        "{set}: {routes} routes, {prompts} prompts; {said}\n\
         {errors} errors, {warnings} warnings, {notes} notes\n"
    );
    for finding in findings.iter().take(most) {
        text.push('\n');
        write(&mut text, finding);
    }
    match findings.len().saturating_sub(most) {
        0 => {}
        more => text.push_str(&format!("\n{more} more findings are not shown: --rows or --json shows them\n")),
    }
    text
}

fn write(text: &mut String, finding: &Finding) {
    let Finding { kind, severity, harm, what, suggestion, count, prompts, routes } = finding;
    let named: Vec<&str> = routes.iter().take(MAX_ROUTES).map(String::as_str).collect();
    let more = match routes.len().saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let harm = if *harm > 0 { format!(", harm {harm}") } else { String::new() };
    text.push_str(&format!("{}: {} in {}{more}{harm}\n", severity.as_str(), kind.as_str(), named.join(", ")));
    text.push_str(&format!("  {what}\n"));
    for PromptRef { id, route, text: words } in prompts.iter().take(MAX_PROMPTS) {
        text.push_str(&format!("    {id}  {route}  {words}\n"));
    }
    match count.saturating_sub(prompts.len().min(MAX_PROMPTS) as u64) {
        0 => {}
        more => text.push_str(&format!("    and {more} more\n")),
    }
    text.push_str(&format!("  → {suggestion}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::diagnosis::{diagnose, tests::sick};
    use crate::doctor::examined::samples::examined;
    use crate::doctor::limits::Limits;
    use crate::evaluate::golden;

    #[test]
    fn only_prompts_that_can_be_judged_count_as_decided_rightly() {
        let first_line = |rows: &[(&str, &str, &str, f32)]| {
            let text = render(&diagnose(&examined(rows), Limits::default()), 0);
            text.lines().next().unwrap_or_default().to_owned()
        };
        let alone = [("a", "one", "b", 0.9), ("b", "two", "a", 0.9)];
        assert_eq!(first_line(&alone), "sample: 2 routes, 2 prompts; of none of them can the others say anything");
        let only = [("a", "one", "a", 1.0), ("a", "two", "a", 1.0)];
        assert_eq!(first_line(&only), "sample: 1 routes, 2 prompts; of none of them can the others say anything");
        let some = [("a", "one", "a", 0.9), ("a", "two", "b", 0.9), ("b", "three", "a", 0.9)];
        let expected = "sample: 2 routes, 3 prompts; of 2 the others can say something, and decide 50.0 % rightly";
        assert_eq!(first_line(&some), expected);
    }

    #[test]
    fn a_diagnosis_reads_well() {
        let text = render(&sick(), 3);
        golden::check("doctor/golden/diagnosis.txt", &text);
        assert!(!text.contains('\u{1b}'), "a prompt must not steer the terminal");
    }
}
