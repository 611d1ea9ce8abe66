//! Elements of HTML and SVG. What is put into one is escaped, so that no prompt can become markup.

use std::fmt::{Display, Write};

pub(super) struct Element {
    name: &'static str,
    attributes: String,
    content: String,
}

pub(super) fn element(name: &'static str) -> Element {
    Element { name, attributes: String::new(), content: String::new() }
}

impl Element {
    pub(super) fn with(mut self, attribute: &'static str, value: impl Display) -> Self {
        // Writing to a string cannot fail.
        let _ = write!(self.attributes, " {attribute}=\"{}\"", escaped(&value.to_string()));
        self
    }

    /// A coordinate: a tenth of a pixel is enough.
    pub(super) fn at(mut self, attribute: &'static str, value: f64) -> Self {
        let rounded = (value * 10.0).round() / 10.0;
        let _ = write!(self.attributes, " {attribute}=\"{}\"", if rounded == 0.0 { 0.0 } else { rounded });
        self
    }

    pub(super) fn class(self, name: impl Display) -> Self {
        self.with("class", name)
    }

    pub(super) fn text(mut self, text: impl Display) -> Self {
        self.content.push_str(&escaped(&text.to_string()));
        self
    }

    /// The words of a tool tip, which browsers show for SVG's title elements.
    pub(super) fn tip(self, text: impl Display) -> Self {
        self.child(element("title").text(text))
    }

    pub(super) fn child(mut self, child: Self) -> Self {
        child.write(&mut self.content);
        self
    }

    pub(super) fn children(self, children: impl IntoIterator<Item = Self>) -> Self {
        children.into_iter().fold(self, Self::child)
    }

    /// Written into the page as it stands: for our own style sheet.
    pub(super) fn verbatim(mut self, text: &'static str) -> Self {
        self.content.push_str(text);
        self
    }

    pub(super) fn write(&self, page: &mut String) {
        let Self { name, attributes, content } = self;
        let _ = match *name {
            "meta" => write!(page, "<{name}{attributes}>"),
            // Lines of a bearable length.
            "tr" | "section" | "svg" | "g" | "head" | "body" | "table" | "style" | "h2" | "header" => {
                write!(page, "\n<{name}{attributes}>{content}</{name}>")
            }
            _ => write!(page, "<{name}{attributes}>{content}</{name}>"),
        };
    }
}

/// Control characters, which a file must not hold, become the sign for what cannot be shown.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(element: Element) -> String {
        let mut page = String::new();
        element.write(&mut page);
        page
    }

    #[test]
    fn what_is_put_in_is_escaped() {
        let odd = element("p").with("title", "\"><b onclick='x'>").text("<script>alert(1)</script>\u{1b}").tip("a & b");
        assert_eq!(
            written(odd),
            "<p title=\"&quot;&gt;&lt;b onclick=&#39;x&#39;&gt;\">&lt;script&gt;alert(1)&lt;/script&gt;\u{fffd}\
             <title>a &amp; b</title></p>"
        );
        assert_eq!(written(element("i").at("x", -0.04).at("y", 1.25)), "<i x=\"0\" y=\"1.3\"></i>");
    }

    proptest! {
        #[test]
        fn no_text_opens_an_element(text in any::<String>()) {
            let page = written(element("p").text(&text));
            prop_assert_eq!(page.matches('<').count(), 2);
        }
    }
}
