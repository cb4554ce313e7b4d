//! Comma-separated lists (RFC 9110 section 5.6.1), quoted strings respected.

/// The members of one field line, without surrounding white space and without empty members.
///
/// A comma inside a quoted string doesn't split. A quote that is never closed is taken as an
/// ordinary character, so that what follows it is still seen (a `no-store` must not hide there).
///
/// ```
/// use frontage::headers::members;
///
/// let members: Vec<&[u8]> = members(br#"a, b="x, y" ,, c"#).collect();
/// assert_eq!(members, [&b"a"[..], br#"b="x, y""#, b"c"]);
/// ```
pub fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    pieces(line, b',')
}

/// The pieces of a line between separators, likewise.
pub(super) fn pieces(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = piece_end(rest, separator);
            let member = rest[..end].trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default();
            if !member.is_empty() {
                return Some(member);
            }
        }
    })
}

fn piece_end(bytes: &[u8], separator: u8) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            _ if byte == separator => return at,
            b'"' => at = quoted_end(bytes, at).unwrap_or(at + 1),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The index behind the quoted string that opens at `open`, if it is closed.
pub(super) fn quoted_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<&str> {
        members(line.as_bytes())
            .map(|member| std::str::from_utf8(member).unwrap())
            .collect()
    }

    #[test]
    fn commas_in_quoted_strings_do_not_split() {
        assert_eq!(split(r#"a="1,2", b"#), [r#"a="1,2""#, "b"]);
        assert_eq!(split(r#"a="1\",2", b"#), [r#"a="1\",2""#, "b"]);
    }

    #[test]
    fn an_unclosed_quote_hides_nothing() {
        assert_eq!(split(r#"a="1, no-store"#), [r#"a="1"#, "no-store"]);
        assert_eq!(split(r#"a="\"#), [r#"a="\"#]);
    }

    #[test]
    fn empty_members_are_dropped() {
        assert_eq!(split(" , a ,,\t, b,"), ["a", "b"]);
        assert!(split("").is_empty());
    }
}
