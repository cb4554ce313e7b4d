//! Targeted cache control (RFC 9213): `CDN-Cache-Control`, and fields of one's own name with the same syntax.
//!
//! Such a field is a Dictionary of Structured Fields (RFC 9651), parsed strictly: an error anywhere, and nothing of it
//! counts. One pass, no nesting: the work is linear in the field's length.

use super::{DeltaSeconds, Qualified, ResponseDirectives};
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;

impl ResponseDirectives {
    /// Reads a targeted field (RFC 9213 section 2.1). `None` where it is absent, empty or no valid Dictionary: it is then
    /// to be ignored.
    ///
    /// Names are lower case, the last of several members with one name counts, parameters and unknown members don't.
    /// A value of the wrong type is read the way that keeps less: a number of seconds that isn't an Integer from 0 up is
    /// [`DeltaSeconds::Invalid`]; a directive that forbids (`no-store`, `no-cache`, `private`, `must-revalidate`,
    /// `proxy-revalidate`) is there unless its value is `?0`; one that allows (`public`, `must-understand`, `immutable`)
    /// only if it is true.
    ///
    /// ```
    /// use frontage::headers::{DeltaSeconds, ResponseDirectives};
    /// use http::header::CDN_CACHE_CONTROL;
    ///
    /// let mut headers = http::HeaderMap::new();
    /// headers.append("cdn-cache-control", r#"max-age=600, private="set-cookie""#.parse()?);
    /// let directives = ResponseDirectives::of_targeted(&headers, &CDN_CACHE_CONTROL).unwrap();
    /// assert_eq!(directives.max_age, DeltaSeconds::Seconds(600));
    /// assert_eq!(directives.private.fields(), ["set-cookie"]);
    ///
    /// headers.append("cdn-cache-control", "&&&".parse()?);
    /// assert_eq!(ResponseDirectives::of_targeted(&headers, &CDN_CACHE_CONTROL), None);
    /// # Ok::<(), http::header::InvalidHeaderValue>(())
    /// ```
    #[must_use]
    pub fn of_targeted(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter();
        let mut field = Cow::Borrowed(lines.next()?.as_bytes());
        for line in lines {
            let field = field.to_mut();
            field.extend_from_slice(b", ");
            field.extend_from_slice(line.as_bytes());
        }
        let mut found = Self::default();
        dictionary(&field, |name, value| {
            found.present = true;
            found.set(name, &value);
        })?;
        found.present.then_some(found)
    }

    /// The directives that rule (RFC 9213 section 2.2): those of the first of `targets` that is valid and not empty, else those of
    /// `Cache-Control`. With the former comes `true`: `Cache-Control` and `Expires` are then to be ignored.
    ///
    /// ```
    /// use frontage::headers::ResponseDirectives;
    /// use http::header::CDN_CACHE_CONTROL;
    ///
    /// let mut headers = http::HeaderMap::new();
    /// headers.insert("cache-control", "no-store".parse()?);
    /// let (directives, targeted) = ResponseDirectives::selected(&headers, &[CDN_CACHE_CONTROL]);
    /// assert!(directives.no_store && !targeted);
    ///
    /// headers.insert("cdn-cache-control", "max-age=600".parse()?);
    /// let (directives, targeted) = ResponseDirectives::selected(&headers, &[CDN_CACHE_CONTROL]);
    /// assert!(!directives.no_store && targeted);
    /// # Ok::<(), http::header::InvalidHeaderValue>(())
    /// ```
    #[must_use]
    pub fn selected(headers: &HeaderMap, targets: &[HeaderName]) -> (Self, bool) {
        let mut targeted = targets
            .iter()
            .filter_map(|name| Self::of_targeted(headers, name));
        match targeted.next() {
            Some(directives) => (directives, true),
            None => (Self::of(headers), false),
        }
    }

    /// Takes a member; a later one of the same name replaces it.
    fn set(&mut self, name: &[u8], value: &Value<'_>) {
        let allows = *value == Value::Boolean(true);
        let forbids = *value != Value::Boolean(false);
        match name {
            b"no-store" => self.no_store = forbids,
            b"no-cache" => self.no_cache = value.qualified(),
            b"private" => self.private = value.qualified(),
            b"must-revalidate" => self.must_revalidate = forbids,
            b"proxy-revalidate" => self.proxy_revalidate = forbids,
            b"public" => self.public = allows,
            b"must-understand" => self.must_understand = allows,
            b"immutable" => self.immutable = allows,
            b"max-age" => self.max_age = value.seconds(),
            b"s-maxage" => self.s_maxage = value.seconds(),
            b"stale-while-revalidate" => self.stale_while_revalidate = value.seconds(),
            b"stale-if-error" => self.stale_if_error = value.seconds(),
            _ => {}
        }
    }
}

/// The value of a member, as far as directives have such values.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    /// Without quotes and escapes.
    String(Cow<'a, [u8]>),
    /// A Decimal, a Token, a Byte Sequence, a Date, a Display String or an Inner List.
    Other,
}

impl Value<'_> {
    fn seconds(&self) -> DeltaSeconds {
        match self {
            Self::Integer(seconds) => {
                u64::try_from(*seconds).map_or(DeltaSeconds::Invalid, DeltaSeconds::at_most_longest)
            }
            _ => DeltaSeconds::Invalid,
        }
    }

    fn qualified(&self) -> Qualified {
        match self {
            Self::Boolean(false) => Qualified::Absent,
            Self::String(names) => Qualified::naming(names),
            _ => Qualified::Whole,
        }
    }
}

/// Gives the members of a Dictionary to `member`, those of one name each (RFC 9651 section 4.2.2). `None` where it isn't
/// valid: what `member` got is then worth nothing.
fn dictionary<'a>(field: &'a [u8], mut member: impl FnMut(&'a [u8], Value<'a>)) -> Option<()> {
    let mut rest = Rest(field);
    rest.skip(|byte| byte == b' ');
    while !rest.0.is_empty() {
        let name = rest.key()?;
        let value = match rest.eat(b'=') {
            true if rest.eat(b'(') => rest.inner_list()?,
            true => rest.bare_item()?,
            false => Value::Boolean(true),
        };
        rest.parameters()?;
        member(name, value);
        rest.skip(is_ows);
        if rest.0.is_empty() {
            break;
        }
        if !rest.eat(b',') {
            return None;
        }
        rest.skip(is_ows);
        // A trailing comma.
        if rest.0.is_empty() {
            return None;
        }
    }
    Some(())
}

/// What is still to be parsed.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.next();
        }
        found
    }

    /// The leading bytes that are `wanted`.
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !wanted(*byte));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) {
        self.take(unwanted);
    }

    /// RFC 9651 section 4.2.3.3.
    fn key(&mut self) -> Option<&'a [u8]> {
        let key =
            self.take(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
        matches!(key.first()?, b'a'..=b'z' | b'*').then_some(key)
    }

    /// RFC 9651 section 4.2.3.2. They are checked only.
    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(|byte| byte == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// RFC 9651 section 4.2.1.2, behind the `(`. Its items are none of them lists.
    fn inner_list(&mut self) -> Option<Value<'a>> {
        loop {
            self.skip(|byte| byte == b' ');
            if self.eat(b')') {
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.0.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    /// RFC 9651 section 4.2.3.1.
    fn bare_item(&mut self) -> Option<Value<'a>> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.skip(is_token);
                Some(Value::Other)
            }
            b':' => self.byte_sequence(),
            b'?' => {
                self.next();
                match self.next()? {
                    b'0' => Some(Value::Boolean(false)),
                    b'1' => Some(Value::Boolean(true)),
                    _ => None,
                }
            }
            b'@' => {
                self.next();
                matches!(self.number()?, Value::Integer(_)).then_some(Value::Other)
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    /// An Integer or a Decimal (RFC 9651 section 4.2.4).
    fn number(&mut self) -> Option<Value<'a>> {
        let negative = self.eat(b'-');
        let digits = self.take(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return None;
        }
        if self.eat(b'.') {
            let fraction = self.take(|byte| byte.is_ascii_digit());
            let valid = digits.len() <= 12 && matches!(fraction.len(), 1..=3);
            return valid.then_some(Value::Other);
        }
        if digits.len() > 15 {
            return None;
        }
        let number = digits
            .iter()
            .fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some(Value::Integer(if negative { -number } else { number }))
    }

    /// RFC 9651 section 4.2.5.
    fn string(&mut self) -> Option<Value<'a>> {
        self.next();
        let mut plain = Cow::Borrowed(self.take(is_string));
        loop {
            match self.next()? {
                b'"' => return Some(Value::String(plain)),
                b'\\' => match self.next()? {
                    escaped @ (b'"' | b'\\') => {
                        let plain = plain.to_mut();
                        plain.push(escaped);
                        plain.extend_from_slice(self.take(is_string));
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// RFC 9651 section 4.2.7. Padding may be left out, and its bits aren't looked at.
    fn byte_sequence(&mut self) -> Option<Value<'a>> {
        self.next();
        let base64 = self.take(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        let padding = self.take(|byte| byte == b'=');
        let most = match base64.len() % 4 {
            0 => 0,
            2 => 2,
            3 => 1,
            _ => return None,
        };
        (padding.len() <= most && self.eat(b':')).then_some(Value::Other)
    }

    /// RFC 9651 section 4.2.10.
    fn display_string(&mut self) -> Option<Value<'a>> {
        self.next();
        if !self.eat(b'"') {
            return None;
        }
        let mut decoded = Vec::new();
        loop {
            match self.next()? {
                b'"' => {
                    let valid = std::str::from_utf8(&decoded).is_ok();
                    return valid.then_some(Value::Other);
                }
                b'%' => {
                    let high = lower_hex(self.next()?)?;
                    let low = lower_hex(self.next()?)?;
                    decoded.push(high << 4 | low);
                }
                byte @ b' '..=b'~' => decoded.push(byte),
                _ => return None,
            }
        }
    }
}

fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What a String holds without escapes.
fn is_string(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// What a Token goes on with.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header::CDN_CACHE_CONTROL};
    use proptest::prelude::*;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn targeted(value: &str) -> Option<ResponseDirectives> {
        let headers = map(&[("cdn-cache-control", value)]);
        ResponseDirectives::of_targeted(&headers, &CDN_CACHE_CONTROL)
    }

    #[test]
    fn what_is_no_dictionary_is_ignored_whole() {
        for value in [
            "",
            "  ",
            "\tmax-age=1",
            "max-age=1,",
            "max-age=1,, no-store",
            "max-age=1 no-store",
            ", max-age=1",
            "max-age=1; no-store;",
            "Max-Age=1",
            "max-age =1",
            "max-age= 1",
            "max-age=",
            "max-age=+1",
            "max-age=-",
            "max-age=1.",
            "max-age=1.1234",
            "max-age=1234567890123.1",
            "max-age=1234567890123456",
            "max-age=1, &&&&&",
            "a=?2",
            "a=?",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"\u{e9}\"",
            "a=:YQ",
            "a=:Y:",
            "a=:YQ===:",
            "a=:Y=Q:",
            "a=@1.5",
            "a=@x",
            "a=%\"%C3%A9\"",
            "a=%\"%c3\"",
            "a=%x",
            "a=%\"%c",
            "a=(1",
            "a=(1\"b\")",
            "a=(1 (2))",
            "a=(1\t2)",
            "1=a",
            "a;=1",
            "a;b=(1)",
            "a; ;b",
        ] {
            assert_eq!(targeted(value), None, "{value}");
        }
        assert_eq!(
            ResponseDirectives::of_targeted(&HeaderMap::new(), &CDN_CACHE_CONTROL),
            None
        );
    }

    #[test]
    fn members_of_every_type_may_stand_beside_a_directive() {
        for other in [
            "a",
            "*",
            "a=1",
            "a=-1",
            "a=1.125",
            "a=?0",
            "a=\"\\\"x\\\\\"",
            "a=Token/1:2",
            "a=*",
            "a=:YQ==:",
            "a=:YQ:",
            "a=::",
            "a=@-1659578233",
            "a=%\"%c3%a9 x\"",
            "a=()",
            "a=( 1  \"b\";c=?1 )",
            "a;b;c=1; d=\"x\"",
        ] {
            for value in [
                format!("max-age=60,{other}"),
                format!("{other}\t ,\tmax-age=60\t"),
                format!("  max-age=60, {other}  "),
            ] {
                let found = targeted(&value).map(|found| found.max_age);
                assert_eq!(found, Some(DeltaSeconds::Seconds(60)), "{value}");
            }
        }
    }

    #[test]
    fn numbers_are_integers_from_0_up() {
        for (value, expected) in [
            ("max-age=0", DeltaSeconds::Seconds(0)),
            ("max-age=-0", DeltaSeconds::Seconds(0)),
            ("max-age=0060", DeltaSeconds::Seconds(60)),
            ("max-age=60;x=1", DeltaSeconds::Seconds(60)),
            ("max-age=60, max-age=61", DeltaSeconds::Seconds(61)),
            ("max-age=x, max-age=61", DeltaSeconds::Seconds(61)),
            (
                "max-age=999999999999999",
                DeltaSeconds::Seconds(3_153_600_000),
            ),
            ("max-age=-1", DeltaSeconds::Invalid),
            ("max-age=60.0", DeltaSeconds::Invalid),
            ("max-age=\"60\"", DeltaSeconds::Invalid),
            ("max-age", DeltaSeconds::Invalid),
            ("max-age=?0", DeltaSeconds::Invalid),
            ("max-age=(60)", DeltaSeconds::Invalid),
            ("max-age=@60", DeltaSeconds::Invalid),
            ("max-age=61, max-age=x", DeltaSeconds::Invalid),
            ("none", DeltaSeconds::Absent),
        ] {
            assert_eq!(targeted(value).unwrap().max_age, expected, "{value}");
        }
        let all = "max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4";
        let found = targeted(all).unwrap();
        assert_eq!(found.s_maxage, DeltaSeconds::Seconds(2));
        assert_eq!(found.stale_while_revalidate, DeltaSeconds::Seconds(3));
        assert_eq!(found.stale_if_error, DeltaSeconds::Seconds(4));
    }

    #[test]
    fn what_forbids_is_there_unless_it_is_false_and_what_allows_only_if_it_is_true() {
        let forbidding = |found: &ResponseDirectives| {
            [
                found.no_store,
                found.no_cache.is_whole(),
                found.private.is_whole(),
                found.must_revalidate,
                found.proxy_revalidate,
            ]
        };
        let allowing =
            |found: &ResponseDirectives| [found.public, found.must_understand, found.immutable];
        for (value, forbids, allows) in [
            ("", true, true),
            ("=?1", true, true),
            ("=?0", false, false),
            ("=0", true, false),
            ("=x", true, false),
            ("=\"\"", true, false),
            ("=()", true, false),
        ] {
            let field = "no-store_, no-cache_, private_, must-revalidate_, proxy-revalidate_, \
                public_, must-understand_, immutable_";
            let found = targeted(&field.replace('_', value)).unwrap();
            assert_eq!(forbidding(&found), [forbids; 5], "{value}");
            assert_eq!(allowing(&found), [allows; 3], "{value}");
        }
        let taken_back = targeted("no-store, private=\"a\", no-store=?0, private=?0").unwrap();
        assert!(!taken_back.no_store && taken_back.private == Qualified::Absent);
    }

    #[test]
    fn a_string_names_fields() {
        let found = targeted(r#"no-cache="Set-Cookie,, x-a", private="a \"b""#).unwrap();
        assert_eq!(found.no_cache.fields(), ["set-cookie", "x-a"]);
        assert!(found.private.is_whole());
        assert!(targeted(r#"private="\"a\"""#).unwrap().private.is_whole());
    }

    #[test]
    fn lines_are_one_dictionary() {
        let headers = map(&[("x", "max-age=1, a=\"b"), ("x", "c\", max-age=2")]);
        let found = ResponseDirectives::of_targeted(&headers, &HeaderName::from_static("x"));
        assert_eq!(found.unwrap().max_age, DeltaSeconds::Seconds(2));
        let headers = map(&[("x", "max-age=1"), ("x", "")]);
        let found = ResponseDirectives::of_targeted(&headers, &HeaderName::from_static("x"));
        assert_eq!(found, None);
    }

    #[test]
    fn the_first_valid_target_rules() {
        let targets = [
            HeaderName::from_static("own-cache-control"),
            CDN_CACHE_CONTROL,
        ];
        for (own, cdn, expected) in [
            ("max-age=1", "max-age=2", (1, true)),
            ("none", "max-age=2", (0, true)),
            ("", "max-age=2", (2, true)),
            ("&", "max-age=2", (2, true)),
            ("&", "&", (3, false)),
        ] {
            let headers = map(&[
                ("own-cache-control", own),
                ("cdn-cache-control", cdn),
                ("cache-control", "max-age=3"),
            ]);
            let (found, targeted) = ResponseDirectives::selected(&headers, &targets);
            let seconds = found.max_age.seconds().unwrap_or_default();
            assert_eq!((seconds, targeted), expected, "{own} / {cdn}");
        }
        let headers = map(&[("cdn-cache-control", "no-store")]);
        let (found, targeted) = ResponseDirectives::selected(&headers, &[]);
        assert!(!found.present && !targeted);
    }

    /// What `sfv` makes of a dictionary, in our terms; names in order.
    fn by_sfv(field: &[u8]) -> Option<Vec<(String, Value<'static>)>> {
        let parsed: sfv::Dictionary = sfv::Parser::new(field).parse().ok()?;
        let mut members: Vec<_> = parsed
            .into_iter()
            .map(|(key, entry)| {
                let value = match entry {
                    sfv::ListEntry::InnerList(_) => Value::Other,
                    sfv::ListEntry::Item(item) => match item.bare_item {
                        sfv::BareItem::Boolean(value) => Value::Boolean(value),
                        sfv::BareItem::Integer(value) => Value::Integer(value.into()),
                        sfv::BareItem::String(value) => {
                            Value::String(value.as_str().as_bytes().to_vec().into())
                        }
                        _ => Value::Other,
                    },
                };
                (key.as_str().to_owned(), value)
            })
            .collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        Some(members)
    }

    fn by_us(field: &[u8]) -> Option<Vec<(String, Value<'_>)>> {
        let mut members = std::collections::BTreeMap::new();
        dictionary(field, |name, value| {
            members.insert(String::from_utf8(name.to_vec()).unwrap(), value);
        })?;
        Some(members.into_iter().collect())
    }

    /// Pieces that a dictionary is made of, and others; put together they are valid often enough.
    fn field() -> impl Strategy<Value = String> {
        let item = prop_oneof![
            "-?[0-9]{1,16}",
            "-?[0-9]{1,13}\\.[0-9]{0,4}",
            "\"([ -~]|\\\\\"|\\\\\\\\){0,4}\"",
            "[*A-Za-z!0-9][a-zA-Z0-9:/!#%]{0,3}",
            ":[A-Za-z0-9+/]{0,5}={0,3}:",
            "\\?[012]",
            "@-?[0-9]{1,3}(\\.5)?",
            "%\"([ -~]|%c3%a9|%[0-9a-f]{2}){0,3}\"",
            "é|\\PC{0,3}",
        ]
        .boxed();
        let parameters =
            proptest::collection::vec(("; {0,2}[a-z]", proptest::option::of(item.clone())), 0..3)
                .prop_map(|parameters| {
                    let text = parameters.into_iter().map(|(key, value)| match value {
                        Some(value) => format!("{key}={value}"),
                        None => key,
                    });
                    text.collect::<String>()
                })
                .boxed();
        let plain = (item, parameters.clone()).prop_map(|(item, parameters)| item + &parameters);
        let inner = (
            proptest::collection::vec((plain.clone(), " {1,2}"), 0..3),
            " {0,1}",
            parameters.clone(),
        )
            .prop_map(|(items, space, parameters)| {
                let items: Vec<String> = items.into_iter().map(|(item, sp)| item + &sp).collect();
                format!("({space}{}){parameters}", items.concat())
            });
        let value = prop_oneof![3 => plain, 1 => inner];
        let member = (
            "[a-c*][a-z0-9_.*-]{0,1}",
            proptest::option::of(value),
            parameters,
        )
            .prop_map(|(key, value, parameters)| match value {
                Some(value) => format!("{key}={value}"),
                None => key + &parameters,
            });
        let separated = (
            member,
            prop_oneof![8 => ", ?", 1 => "[ \t]{0,2},[ \t]{0,2}", 1 => "[ ;,=]"],
        );
        let ends = prop_oneof![8 => "", 1 => "[ \t]{1,2}"];
        (
            ends.clone(),
            proptest::collection::vec(separated, 0..4),
            ends,
        )
            .prop_map(|(before, members, after)| {
                let mut text = before;
                let count = members.len();
                for (at, (member, separator)) in members.into_iter().enumerate() {
                    text.push_str(&member);
                    if at + 1 < count || separator == ";" {
                        text.push_str(&separator);
                    }
                }
                text + &after
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn a_dictionary_is_what_another_parser_takes_for_one(field in field(), at: prop::sample::Index, byte: Option<u8>) {
            let mut field = field.into_bytes();
            if let Some(byte) = byte && !field.is_empty() {
                let at = at.index(field.len());
                match byte & 0x80 {
                    0 => field[at] = byte,
                    _ => drop(field.remove(at)),
                }
            }
            prop_assert_eq!(by_us(&field), by_sfv(&field), "{}", field.escape_ascii());
        }
    }
}
