//! Whether a response was a hit in the cache that sent it.

use super::{CACHE_STATUS, X_CACHE, list::pieces, members};
use http::HeaderMap;

/// Whether the cache that sent a response had it stored: by the last member of `Cache-Status` (RFC 9211 section 2), or by
/// `X-Cache` where there is none.
pub(crate) fn says_hit(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_STATUS).iter();
    let last = lines.flat_map(|line| members(line.as_bytes())).last();
    match (last, headers.get(X_CACHE)) {
        (Some(last), _) => pieces(last, b';').skip(1).any(is_hit),
        (None, Some(said)) => said
            .as_bytes()
            .first_chunk()
            .is_some_and(|first: &[u8; 3]| first.eq_ignore_ascii_case(b"hit")),
        (None, None) => false,
    }
}

fn is_hit(parameter: &[u8]) -> bool {
    matches!(parameter, b"hit" | b"hit=?1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cache_says_it() {
        for (lines, hit) in [
            (&["a; hit"][..], true),
            (&["a;hit=?1;ttl=3"], true),
            (&["a; ttl=1 ; hit"], true),
            (&["a; fwd=uri-miss, b; hit"], true),
            (&["a; fwd=uri-miss", "b; hit"], true),
            (&["a; hit, b; fwd=uri-miss"], false),
            (&["a; hit", "b; fwd=stale; fwd-status=304"], false),
            (&["a; hit=?0"], false),
            (&["hit"], false),
            (&["a; key=\"x; hit, b; hit\""], false),
            (&["a; key=\"x;\\\"; hit\"; hit"], true),
            (&["a; detail=hit"], false),
            (&[], false),
            (&["", " , "], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_STATUS, line.parse().unwrap());
            }
            assert_eq!(says_hit(&headers), hit, "{lines:?}");
            if !lines.concat().trim().trim_matches(',').trim().is_empty() {
                headers.insert(X_CACHE, "Hit from a".parse().unwrap());
                assert_eq!(says_hit(&headers), hit, "{lines:?}");
            }
        }
    }

    #[test]
    fn without_it_x_cache_does() {
        for (said, hit) in [
            ("Hit from cloudfront", true),
            ("HIT", true),
            ("Miss from cloudfront", false),
            ("RefreshHit from cloudfront", false),
            ("hi", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(X_CACHE, said.parse().unwrap());
            assert_eq!(says_hit(&headers), hit, "{said}");
        }
    }
}
