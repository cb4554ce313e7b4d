//! The secondary key: what a response's `Vary` selects of a request (RFC 9111 section 4.1).

use crate::headers::members;
use http::{HeaderMap, HeaderName, header};
use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// What a response's `Vary` lines say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// There are none, or only empty ones: every request selects the response.
    None,
    /// `*`, or a member that is no field name: no request can be known to select it.
    Any,
    /// These fields of the request select it: sorted, each once.
    Fields(Box<[HeaderName]>),
}

impl Vary {
    /// Reads the `Vary` lines of a response.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut names = Vec::new();
        for line in headers.get_all(header::VARY) {
            for member in members(line.as_bytes()) {
                match HeaderName::from_bytes(member) {
                    Ok(name) if name.as_str() != "*" => names.push(name),
                    _ => return Self::Any,
                }
            }
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        if names.is_empty() {
            Self::None
        } else {
            Self::Fields(names.into())
        }
    }
}

/// Whether the order of members counts in fields that rank them by weight: `Accept`, `Accept-Charset`, `Accept-Encoding`
/// and `Accept-Language`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// It counts: many servers break a tie by it.
    #[default]
    Significant,
    /// It doesn't: RFC 9110 section 12.5 gives it no meaning, and RFC 9111 section 4.1 lets a cache normalise such fields.
    Insignificant,
}

/// The values of the fields that `Vary` names, as one request has them: equal exactly where the
/// requests match.
///
/// Lines of one name are joined and the white space around commas is dropped, as RFC 9111 section 4.1 allows;
/// language tags and content codings have no case (RFC 9110 sections 8.4.1 and 8.5.1).
#[derive(Clone)]
pub struct VariantKey {
    /// The encoding. Behind it, where one field with one line counts, that line as the request had it: who sends the same has
    /// the same key.
    bytes: Box<[u8]>,
    encoded: usize,
}

impl PartialEq for VariantKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for VariantKey {}

impl Hash for VariantKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl VariantKey {
    /// The key of a request with these `headers` among variants that are selected by `names`.
    #[must_use]
    pub fn of(names: &[HeaderName], headers: &HeaderMap, order: ListOrder) -> Self {
        let mut key = Vec::with_capacity(64);
        for name in names {
            piece(&mut key, name.as_str().as_bytes());
            let mut lines = headers.get_all(name).iter().peekable();
            // Absent and empty differ.
            key.push(u8::from(lines.peek().is_some()));
            let start = key.len();
            key.extend_from_slice(&[0; 4]);
            let mut list: Vec<&[u8]> = lines.flat_map(|line| members(line.as_bytes())).collect();
            if order == ListOrder::Insignificant && is_ranked(name) {
                list.sort_unstable_by_key(|member| member.to_ascii_lowercase());
            }
            for (at, member) in list.into_iter().enumerate() {
                if at > 0 {
                    key.push(b',');
                }
                key.extend_from_slice(member);
            }
            if has_no_case(name) {
                key[start + 4..].make_ascii_lowercase();
            }
            let length = u32::try_from(key.len() - start - 4).unwrap_or(u32::MAX);
            key[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        let encoded = key.len();
        if let [name] = names
            && let Some(line) = one_line(name, headers).filter(|line| line.len() <= MAX_LINE)
        {
            key.extend_from_slice(line);
        }
        Self {
            bytes: key.into_boxed_slice(),
            encoded,
        }
    }

    /// Whether a request has the one line for which this was made, so that its key among the same `names` is this. If not, it
    /// may be all the same.
    pub(crate) fn has_line_of(&self, names: &[HeaderName], headers: &HeaderMap) -> bool {
        match names {
            [name] => one_line(name, headers).is_some_and(|line| self.has_line(line)),
            _ => false,
        }
    }

    /// The same for the only line of the only field.
    #[inline]
    pub(crate) fn has_line(&self, line: &[u8]) -> bool {
        let own = self.bytes.get(self.encoded..).unwrap_or_default();
        !own.is_empty() && own == line
    }

    /// What it takes in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.encoded).unwrap_or_default()
    }

    /// Takes the bytes that [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub fn from_bytes(encoded: &[u8]) -> Self {
        Self {
            bytes: encoded.into(),
            encoded: encoded.len(),
        }
    }
}

impl fmt::Debug for VariantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VariantKey({})", self.as_bytes().escape_ascii())
    }
}

/// A line that is longer isn't remembered: white space makes one as long as a stranger likes.
const MAX_LINE: usize = 256;

/// The line of a field that has just one.
fn one_line<'a>(name: &HeaderName, headers: &'a HeaderMap) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then(|| line.as_bytes())
}

/// Language tags and content codings have none (RFC 9110 sections 8.4.1 and 8.5.1).
fn has_no_case(name: &HeaderName) -> bool {
    *name == header::ACCEPT_LANGUAGE || *name == header::ACCEPT_ENCODING
}

fn is_ranked(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::ACCEPT | header::ACCEPT_CHARSET | header::ACCEPT_ENCODING | header::ACCEPT_LANGUAGE
    )
}

fn piece(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    key.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn any_lines() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[aA,\" ]{0,4}", 0..3)
    }

    proptest! {
        #[test]
        fn a_line_selects_a_key_only_where_that_is_the_one_made_of_it(
            name in prop::sample::select(vec!["accept-encoding", "accept", "foo"]),
            lines in prop::array::uniform2(any_lines()),
            insignificant in any::<bool>(),
        ) {
            let names = [HeaderName::from_static(name)];
            let order = match insignificant {
                true => ListOrder::Insignificant,
                false => ListOrder::Significant,
            };
            let [stored, asked] = lines.map(|lines| {
                let mut headers = HeaderMap::new();
                for line in lines {
                    headers.append(name, line.parse().unwrap());
                }
                headers
            });
            let [key, of_asked] = [&stored, &asked].map(|headers| VariantKey::of(&names, headers, order));
            prop_assert!(key == of_asked || !key.has_line_of(&names, &asked));
            prop_assert_eq!(key.has_line_of(&names, &stored), one_line(&names[0], &stored).is_some_and(|line| !line.is_empty()));
            let read = VariantKey::from_bytes(key.as_bytes());
            prop_assert!(read == key && !read.has_line_of(&names, &stored));
        }
    }

    #[test]
    fn a_line_that_is_mostly_white_space_takes_no_memory() {
        let names = [header::ACCEPT_ENCODING];
        let mut headers = HeaderMap::new();
        let long = format!("gzip{}", ",".repeat(60_000));
        headers.insert(header::ACCEPT_ENCODING, long.parse().unwrap());
        let key = VariantKey::of(&names, &headers, ListOrder::Significant);
        assert!(key.size() < 100 && !key.has_line_of(&names, &headers));
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn vary(lines: &[&'static str]) -> Vary {
        Vary::of(&map(&lines
            .iter()
            .map(|line| ("vary", *line))
            .collect::<Vec<_>>()))
    }

    #[test]
    fn fields_are_sorted_and_counted_once() {
        assert_eq!(vary(&[]), Vary::None);
        assert_eq!(vary(&["", " , "]), Vary::None);
        let fields =
            Vary::Fields([HeaderName::from_static("a"), HeaderName::from_static("b")].into());
        assert_eq!(vary(&["B, a", "A"]), fields);
    }

    #[test]
    fn a_star_anywhere_matches_nothing() {
        for lines in [
            &["*"][..],
            &["*, *"],
            &[", *"],
            &["", "*"],
            &["a", "*, b"],
            &["a b"],
            &["a\"*"],
        ] {
            assert_eq!(vary(lines), Vary::Any, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_bytes(b"a, \xff").unwrap());
        assert_eq!(Vary::of(&headers), Vary::Any);
    }

    fn same(
        names: &[&'static str],
        a: &[(&'static str, &'static str)],
        b: &[(&'static str, &'static str)],
    ) -> bool {
        let names: Vec<_> = names
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect();
        let key = |fields| VariantKey::of(&names, &map(fields), ListOrder::Significant);
        key(a) == key(b)
    }

    #[test]
    fn order_counts_or_not_as_is_said() {
        let key = |name: &'static str, value: &'static str, order| {
            VariantKey::of(
                &[HeaderName::from_static(name)],
                &map(&[(name, value)]),
                order,
            )
        };
        for (name, ranked) in [("accept-language", true), ("accept", true), ("foo", false)] {
            let same = |order| key(name, "en, de;q=1", order) == key(name, "de;q=1,en", order);
            assert!(!same(ListOrder::Significant));
            assert_eq!(same(ListOrder::Insignificant), ranked, "{name}");
        }
        let insignificant = |value| key("accept-language", value, ListOrder::Insignificant);
        assert_eq!(insignificant("EN, de"), insignificant("De, en"));
        assert_ne!(insignificant("en, de"), insignificant("en, fr"));
    }

    #[test]
    fn requests_match_where_the_rfc_says_so() {
        assert!(same(
            &["foo"],
            &[("foo", "1, 2")],
            &[("foo", "1"), ("foo", "2")]
        ));
        assert!(same(&["foo"], &[("foo", "1,2")], &[("foo", " 1 , 2 ")]));
        assert!(same(
            &["accept-language"],
            &[("accept-language", "en, de")],
            &[("accept-language", "eN ,De")]
        ));
        assert!(same(&["foo"], &[("bar", "1")], &[]));
    }

    #[test]
    fn requests_that_differ_do_not_match() {
        assert!(!same(&["foo"], &[("foo", "1")], &[("foo", "2")]));
        assert!(!same(&["foo"], &[("foo", "a")], &[("foo", "A")]));
        assert!(!same(&["foo"], &[], &[("foo", "")]));
        assert!(!same(&["foo", "goo"], &[("foo", "1")], &[("goo", "1")]));
        assert!(!same(
            &["accept-language"],
            &[("accept-language", "en, de")],
            &[("accept-language", "de, en")]
        ));
        assert!(!same(
            &["foo"],
            &[("foo", "\"1, 2\"")],
            &[("foo", "\"1,2\"")]
        ));
    }
}
