//! The tags of a response.

use http::{HeaderMap, HeaderName};

/// How many of a response's tags count.
const MOST: usize = 50;
/// How long a tag may be, in bytes.
const LONGEST: usize = 256;

/// Whether this can be a tag: 1 to 256 visible ASCII characters but comma.
pub(super) fn is_tag(tag: &[u8]) -> bool {
    (1..=LONGEST).contains(&tag.len())
        && tag
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b',')
}

/// The tags that a response carries in the field of this name: in lower case, with commas between them. What can't be a tag
/// is left out, and so is what comes after the fiftieth.
pub(crate) fn tags_of(headers: &HeaderMap, name: &HeaderName) -> Box<str> {
    if !headers.contains_key(name) {
        return Box::default();
    }
    let mut text = String::new();
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|tag| is_tag(tag))
        .filter_map(|tag| std::str::from_utf8(tag).ok())
        .take(MOST)
        .for_each(|tag| {
            if !text.is_empty() {
                text.push(',');
            }
            text.extend(tag.chars().map(|byte| byte.to_ascii_lowercase()));
        });
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(lines: &[&[u8]]) -> String {
        let name = HeaderName::from_static("cache-tag");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, http::HeaderValue::from_bytes(line).unwrap());
        }
        tags_of(&headers, &name).into()
    }

    #[test]
    fn tags_are_trimmed_and_have_no_case() {
        assert_eq!(tags(&[b" Product:1 ,\tnews,", b"b"]), "product:1,news,b");
        assert_eq!(tags(&[]), "");
        assert_eq!(tags(&[b" , "]), "");
    }

    #[test]
    fn what_is_no_tag_is_left_out() {
        let long = [b'x'; 257];
        assert_eq!(tags(&[b"a b, \xe9, ok", &long]), "ok");
        assert_eq!(tags(&[&long[..256]]).len(), 256);
    }

    #[test]
    fn fifty_count() {
        let many: Vec<String> = (0..60).map(|number| format!("t{number}")).collect();
        let kept = tags(&[b"!,\x20", many.join(",").as_bytes()]);
        assert_eq!(kept.split(',').count(), 50);
        assert!(kept.starts_with("!,t0,") && kept.ends_with(",t48"));
    }
}
