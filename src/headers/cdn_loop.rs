//! `CDN-Loop` (RFC 8586): which proxies a request has been through.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field.
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// How long all its lines are together, in bytes.
pub(crate) fn length_of_cdn_loop(headers: &HeaderMap) -> usize {
    lines(headers).map(<[u8]>::len).sum()
}

/// How many proxies a request has been through, as far as it says. Each that adds its member makes it one more.
pub(crate) fn hops(headers: &HeaderMap) -> usize {
    let members = |line: &[u8]| line.split(|byte| *byte == b',').count();
    lines(headers).map(members).sum()
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(CDN_LOOP).iter();
    lines.map(HeaderValue::as_bytes)
}

/// One member of the field: a name, and an identifier as its parameter.
#[derive(Clone, Debug)]
pub(crate) struct CdnInfo {
    name: Box<str>,
    id: Box<str>,
    member: HeaderValue,
}

impl CdnInfo {
    /// `None` where the name isn't a host, perhaps with a port, nor a token (RFC 8586 section 2).
    pub(crate) fn new(name: &str, id: u128) -> Option<Self> {
        let is_name =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte);
        if !(1..=255).contains(&name.len()) || !name.bytes().all(is_name) {
            return None;
        }
        let id = format!("{id:032x}");
        let member = HeaderValue::try_from(format!("{name}; id={id}")).ok()?;
        Some(Self {
            name: name.into(),
            id: id.into(),
            member,
        })
    }

    /// What stands in the field.
    pub(crate) fn member(&self) -> &HeaderValue {
        &self.member
    }

    /// Whether a request has been here.
    pub(crate) fn is_loop(&self, headers: &HeaderMap) -> bool {
        // A quoted string that holds a comma may be torn apart so: but none can hide a member.
        lines(headers)
            .flat_map(|line| line.split(|byte| *byte == b','))
            .any(|member| self.is(member))
    }

    fn is(&self, member: &[u8]) -> bool {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        name.eq_ignore_ascii_case(self.name.as_bytes()) && parts.any(|part| self.is_id(part))
    }

    fn is_id(&self, parameter: &[u8]) -> bool {
        let Some((name, value)) = parameter.split_at_checked(3) else {
            return false;
        };
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        name.eq_ignore_ascii_case(b"id=") && value.eq_ignore_ascii_case(self.id.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0000000000000000000000000000002a";

    fn info() -> CdnInfo {
        CdnInfo::new("edge", 42).unwrap()
    }

    fn of_lines<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> HeaderMap {
        let lines = lines.into_iter();
        let value = |line| HeaderValue::from_bytes(line).unwrap();
        lines.map(|line| (CDN_LOOP, value(line))).collect()
    }

    fn is_loop(line: &str) -> bool {
        info().is_loop(&of_lines([line.as_bytes()]))
    }

    #[test]
    fn it_knows_itself_in_whatever_form() {
        assert_eq!(info().member(), &format!("edge; id={ID}"));
        for line in [
            format!("edge; id={ID}"),
            format!("Edge;ID={}", ID.to_uppercase()),
            format!("a, b:80; x=y ,edge;x=y;\tid=\"{ID}\" , [::1]"),
            // A quote that somebody opens before it hides nothing.
            format!("a=\", edge; id={ID}, b=\""),
            format!("\u{7f}\"\\, edge; id={ID}").replace('\u{7f}', ""),
        ] {
            assert!(is_loop(&line), "{line}");
        }
    }

    #[test]
    fn others_are_no_loop() {
        for line in [
            "",
            "edge",
            "edge; id=",
            "edge; id",
            "edge; id=2a",
            "edge; id=0000000000000000000000000000002b",
            "edges; id=0000000000000000000000000000002a",
            "edge, b; id=0000000000000000000000000000002a",
            "edge id=0000000000000000000000000000002a",
        ] {
            assert!(!is_loop(line), "{line}");
        }
        assert!(!info().is_loop(&HeaderMap::new()));
    }

    #[test]
    fn its_length_is_that_of_all_of_lines() {
        assert_eq!(length_of_cdn_loop(&HeaderMap::new()), 0);
        let three = of_lines([&b"edge"[..], b"", b"a; b=c, d"]);
        assert_eq!(length_of_cdn_loop(&three), 13);
    }

    #[test]
    fn each_proxy_is_a_hop_on_whatever_line() {
        assert_eq!(hops(&HeaderMap::new()), 0);
        for (expected, field) in [
            (1, &[&b"a"[..]][..]),
            (3, &[b"a", b"b; c=d", b""]),
            (3, &[b"a, b; c=d,"]),
            (4, &[b"a,b", b"c,d"]),
        ] {
            let mut headers = of_lines(field.iter().copied());
            assert_eq!(hops(&headers), expected);
            headers.append(CDN_LOOP, info().member().clone());
            assert_eq!(hops(&headers), expected + 1);
        }
    }

    #[test]
    fn a_name_is_a_host_or_a_token() {
        for name in ["a", "edge.example.com:443", "[::1]:80", "a_b!"] {
            assert!(CdnInfo::new(name, 0).is_some(), "{name}");
        }
        let long = "x".repeat(256);
        for name in ["", "a b", "a;b", "a,b", "a\"", "ä", "a=b", &long] {
            assert!(CdnInfo::new(name, 0).is_none(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_before_and_behind_it_is_found(
            before in prop::collection::vec("[ -~]{0,40}", 0..5),
            behind in prop::collection::vec("[ -~]{0,40}", 0..5),
            one_line in any::<bool>(),
        ) {
            let all: Vec<String> = before
                .into_iter()
                .chain([info().member().to_str().unwrap().to_owned()])
                .chain(behind)
                .collect();
            let headers = match one_line {
                true => of_lines([all.join(", ").as_bytes()]),
                false => of_lines(all.iter().map(String::as_bytes)),
            };
            prop_assert!(info().is_loop(&headers));
        }
    }
}
