//! The diagnosis for a reader at a terminal.

use super::diagnosis::Diagnosis;
use super::finding::{Finding, PromptRef};

/// Prompts of a finding that are shown.
const MAX_PROMPTS: usize = 4;
/// Routes of a finding that are named.
const MAX_ROUTES: usize = 6;

/// At most `most` findings, each with its prompts and what to do; ends with a line end.
pub fn render(diagnosis: &Diagnosis, most: usize) -> String {
    let Diagnosis { set, routes, prompts, lost, errors, warnings, notes, findings, .. } = diagnosis;
    let agree = prompts.saturating_sub(*lost as usize) as f64 / (*prompts).max(1) as f64 * 100.0;
    let mut text = format!(
        "{set}: {routes} routes, {prompts} prompts; {agree:.1} % of them are decided rightly by the others\n\
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
    use crate::doctor::diagnosis::tests::sick;
    use crate::evaluate::golden;

    #[test]
    fn a_diagnosis_reads_well() {
        let text = render(&sick(), 3);
        golden::check("doctor/golden/diagnosis.txt", &text);
        assert!(!text.contains('\u{1b}'), "a prompt must not steer the terminal");
    }
}
