//! The expected bill.

use super::Layout;
use super::frame::{align_right, headed, paragraph, section};
use crate::evaluate::bill::Bill;
use crate::evaluate::wording::{assumptions, money, percent};

pub(super) fn write(text: &mut String, bill: &Bill, layout: Layout) {
    let cost = |value: f64| money(value, &bill.currency);
    let mut table = headed(layout, &["1,000 such prompts", "cost", "saved", "goes there"]);
    for at in &bill.alternatives {
        table.add_row(vec![format!("all to {}", at.target), cost(at.cost), saved(at.saved), String::new()]);
    }
    table.add_row(vec!["with routing".to_owned(), cost(bill.routed), String::new(), String::new()]);
    for share in &bill.shares {
        table.add_row(vec![
            format!("… of it {}", share.target),
            cost(share.cost),
            String::new(),
            percent(Some(share.share)),
        ]);
    }
    if let Some(llm) = &bill.llm {
        table.add_row(vec![
            "… of it the LLM stage".to_owned(),
            cost(llm.cost),
            String::new(),
            percent(Some(llm.share)),
        ]);
    }
    table.add_row(vec!["were all decided rightly".to_owned(), cost(bill.ideal), String::new(), String::new()]);
    align_right(&mut table, 1..4);
    section(text, "Expected bill", &table);
    let misplaced = format!(
        "{} of {} prompts go to a dearer target than their right route's, {} to a cheaper one.",
        bill.misplaced.dearer, bill.prompts, bill.misplaced.cheaper
    );
    paragraph(text, &misplaced, layout);
    paragraph(text, &assumptions(bill), layout);
}

/// Of a target that is cheaper than routing there is nothing to save, only quality to lose.
fn saved(share: Option<f64>) -> String {
    percent(share.filter(|share| *share >= 0.0))
}
