//! Text on its way into a page: nothing of it is ever read as markup or script.

use std::fmt::Write as _;

use serde_json::Value;

/// Text as text between tags and in quoted attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No character of HTML.
            '\0' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// JSON that ends no script element, opens no comment, and ends no line where JavaScript would.
pub(super) fn embedded(data: &Value) -> String {
    let mut out = String::new();
    // Outside strings JSON has none of these.
    for letter in data.to_string().chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter)); // into a String
            }
            other => out.push(other),
        }
    }
    out
}

/// A template with its `{{names}}` replaced, each by text that is not looked at again.
pub(super) fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, behind) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name);
        out.push_str(value.map_or("", |(_, value)| value));
        rest = behind;
    }
    out + rest
}

/// The beginning of a long text, with an ellipsis.
pub(super) fn cut(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A number with its thousands set apart: `50,000`.
pub fn grouped(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_is_markup() {
        let hostile = "</script><!--\u{2028}\"'&";
        assert_eq!(escaped(hostile), "&lt;/script&gt;&lt;!--\u{2028}&quot;&#39;&amp;");
        let inside = embedded(&json!({ hostile: [hostile] }));
        assert!(!inside.contains(['<', '>', '&', '\u{2028}']), "{inside}");
        assert_eq!(serde_json::from_str::<Value>(&inside).unwrap(), json!({ hostile: [hostile] }));
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        let page = filled("<{{a}}|{{b}}|{{none}}>", &[("a", "{{b}}"), ("b", "2")]);
        assert_eq!(page, "<{{b}}|2|>");
    }

    #[test]
    fn numbers_and_long_texts() {
        let numbers = [0, 999, 1000, 50_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "50,000", "1,234,567"]);
        assert_eq!((cut("naïve", 3), cut("naïve", 5)), ("naï…".into(), "naïve".into()));
    }
}
