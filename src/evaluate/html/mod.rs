//! The report as one HTML file that needs nothing else: no script, no font, no style from anywhere. Tool tips are SVG
//! titles. A content security policy forbids everything but the page's own style, and all texts are escaped.

mod bars;
mod decisions;
mod element;
mod frame;
mod map;
mod matrix;
mod page;
mod plot;
mod surroundings;
mod tables;
mod trust;

use super::evaluation::Evaluation;
use super::map::Map;

/// The whole file.
pub fn html(evaluation: &Evaluation, map: Option<&Map>) -> String {
    page::page(evaluation, map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluation::samples::evaluation;
    use crate::evaluate::golden;
    use crate::evaluate::map::{Contradiction, Point};

    fn small_map() -> Map {
        let point = |x: f32, route, text: &str, contradicted| Point {
            place: [x, x * x],
            route,
            id: format!("id{x}"),
            text: text.to_owned(),
            contradicted,
        };
        let other = Contradiction { route: "b".to_owned(), confidence: 0.9 };
        let odd = "</title><script>alert('x')</script>";
        let points = vec![point(0.0, 0, "plain", None), point(1.0, 0, odd, Some(other)), point(2.0, 1, "else", None)];
        Map { routes: vec!["a".to_owned(), "b".to_owned()], points, references: 30 }
    }

    #[test]
    fn the_page_is_golden() {
        let page = html(&evaluation(), Some(&small_map()));
        golden::check("evaluate/golden/report.html", &page);
    }

    #[test]
    fn the_page_is_one_file_and_no_prompt_is_markup() {
        let page = html(&evaluation(), Some(&small_map()));
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(page.contains("default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;"));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "the prompt is shown");
        for forbidden in ["<script", "src=", "href=", "http:", "https:", "url(", "@import", "onerror", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        for tag in ["section", "svg", "g", "table", "tr", "td", "th", "div", "text", "span", "p", "h2"] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn an_empty_evaluation_is_a_page() {
        let mut empty = evaluation();
        empty.report = crate::evaluate::Report::of(&[], &crate::evaluate::Grounds::default());
        (empty.stability, empty.bill) = (None, None);
        let page = html(&empty, None);
        assert!(page.contains("no rows") && !page.contains("NaN"), "{page}");
        let nothing = Map { routes: Vec::new(), points: Vec::new(), references: 0 };
        assert!(!html(&empty, Some(&nothing)).contains("NaN"));
    }
}
