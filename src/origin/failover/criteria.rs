//! When the secondary is asked: pure.

use crate::{error::ConfigError, origin::OriginFailure};
use http::{Extensions, Method, StatusCode};
use std::fmt;

/// What may be listed.
const CODES: [u16; 9] = [400, 403, 404, 416, 429, 500, 502, 503, 504];
const EXPECTED: &str = "one or more of 400, 403, 404, 416, 429, 500, 502, 503 and 504";

/// For which status codes the secondary is asked (CloudFront's `FailoverCriteria`).
///
/// A status of the primary's own counts when it is listed. What got no answer counts as follows, whatever status its page has:
///
/// | the primary | counts when one of these is listed |
/// |---|---|
/// | [`Connect`](OriginFailure::Connect) | 503 |
/// | [`ConnectTimeout`](OriginFailure::ConnectTimeout) | 503, 504 |
/// | [`Dns`](OriginFailure::Dns), [`Tls`](OriginFailure::Tls) | 502, 503 |
/// | [`ResponseTimeout`](OriginFailure::ResponseTimeout), [`CompletionTimeout`](OriginFailure::CompletionTimeout) | 504 |
/// | [`Closed`](OriginFailure::Closed), [`InvalidResponse`](OriginFailure::InvalidResponse), [`HeaderTooBig`](OriginFailure::HeaderTooBig), [`Credentials`](OriginFailure::Credentials) | 502 |
/// | [`BadRequest`](OriginFailure::BadRequest), [`RequestBody`](OriginFailure::RequestBody), [`RequestTimeout`](OriginFailure::RequestTimeout) | never: another origin couldn't answer that either |
/// | an error of a service that isn't ours, which doesn't say why | 502, 503, 504 |
///
/// ```
/// use frontage::origin::FailoverCriteria;
///
/// let criteria = FailoverCriteria::new([500, 502, 503, 504])?;
/// assert!(criteria.lists(http::StatusCode::BAD_GATEWAY));
/// assert!(!criteria.lists(http::StatusCode::NOT_FOUND));
///
/// let error = FailoverCriteria::new([500, 501]).unwrap_err();
/// assert!(error.to_string().contains("\"501\""));
/// # Ok::<(), frontage::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FailoverCriteria {
    /// Which of [`CODES`].
    listed: [bool; CODES.len()],
}

impl FailoverCriteria {
    /// These status codes, in any order.
    ///
    /// # Errors
    ///
    /// `status_codes`, for another than 400, 403, 404, 416, 429, 500, 502, 503 and 504, which it names; and for none at all.
    pub fn new(status_codes: impl IntoIterator<Item = u16>) -> Result<Self, ConfigError> {
        let mut listed = [false; CODES.len()];
        for code in status_codes {
            let of_code = CODES.iter().zip(&mut listed);
            match of_code.into_iter().find(|(known, _)| **known == code) {
                Some((_, listed)) => *listed = true,
                None => return Err(ConfigError::new("status_codes", code, EXPECTED)),
            }
        }
        if !listed.contains(&true) {
            return Err(ConfigError::new("status_codes", "", EXPECTED));
        }
        Ok(Self { listed })
    }

    /// Whether this status is listed.
    #[must_use]
    pub fn lists(self, status: StatusCode) -> bool {
        self.lists_any(&[status.as_u16()])
    }

    fn lists_any(self, codes: &[u16]) -> bool {
        let mut listed = CODES.iter().zip(self.listed);
        listed.any(|(code, is_listed)| is_listed && codes.contains(code))
    }

    /// Whether what the primary answered with is a failure that the secondary is asked for.
    pub(super) fn is_failure(self, status: StatusCode, extensions: &Extensions) -> bool {
        match extensions.get::<OriginFailure>() {
            Some(failure) => self.lists_any(counts_as(*failure)),
            None => self.lists(status),
        }
    }

    /// The same for a service that gave no answer, and doesn't say why.
    pub(super) fn is_error_a_failure(self) -> bool {
        self.lists_any(&[502, 503, 504])
    }
}

impl fmt::Debug for FailoverCriteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = CODES.iter().zip(self.listed);
        let listed = codes.filter_map(|(code, is_listed)| is_listed.then_some(code));
        f.write_str("FailoverCriteria")?;
        f.debug_list().entries(listed).finish()
    }
}

/// The status codes any of which has to be listed.
fn counts_as(failure: OriginFailure) -> &'static [u16] {
    match failure {
        OriginFailure::BadRequest | OriginFailure::RequestBody | OriginFailure::RequestTimeout => {
            &[]
        }
        OriginFailure::Connect => &[503],
        OriginFailure::ConnectTimeout => &[503, 504],
        OriginFailure::Dns | OriginFailure::Tls => &[502, 503],
        OriginFailure::ResponseTimeout | OriginFailure::CompletionTimeout => &[504],
        OriginFailure::Credentials
        | OriginFailure::Closed
        | OriginFailure::InvalidResponse
        | OriginFailure::HeaderTooBig => &[502],
    }
}

/// Whether a request of this method may be sent once more.
pub(super) fn may_fail_over(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The spec's sections 7 and 9, as a table of their own.
    const TABLE: [(OriginFailure, &[u16]); 13] = [
        (OriginFailure::BadRequest, &[]),
        (OriginFailure::RequestBody, &[]),
        (OriginFailure::RequestTimeout, &[]),
        (OriginFailure::Credentials, &[502]),
        (OriginFailure::Dns, &[502, 503]),
        (OriginFailure::Connect, &[503]),
        (OriginFailure::ConnectTimeout, &[503, 504]),
        (OriginFailure::Tls, &[502, 503]),
        (OriginFailure::Closed, &[502]),
        (OriginFailure::InvalidResponse, &[502]),
        (OriginFailure::HeaderTooBig, &[502]),
        (OriginFailure::ResponseTimeout, &[504]),
        (OriginFailure::CompletionTimeout, &[504]),
    ];

    const NINE: [u16; 9] = [400, 403, 404, 416, 429, 500, 502, 503, 504];

    fn extensions(failure: OriginFailure) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(failure);
        extensions
    }

    #[test]
    fn every_choice_of_codes_decides_every_failure_and_every_status_by_the_table() {
        for chosen in 1_u32..1 << NINE.len() {
            let chosen: Vec<u16> = (0..NINE.len())
                .filter(|bit| chosen & 1 << bit != 0)
                .map(|bit| NINE[bit])
                .collect();
            let criteria = FailoverCriteria::new(chosen.clone()).unwrap();
            for (failure, codes) in TABLE {
                let is_failure = criteria.is_failure(failure.status(), &extensions(failure));
                let expected = codes.iter().any(|code| chosen.contains(code));
                assert_eq!(is_failure, expected, "{failure:?} with {criteria:?}");
            }
            for status in 100..=999 {
                let is_listed = chosen.contains(&status);
                let status = StatusCode::from_u16(status).unwrap();
                assert_eq!(criteria.lists(status), is_listed);
                assert_eq!(criteria.is_failure(status, &Extensions::new()), is_listed);
            }
            let gateway = [502, 503, 504].iter().any(|code| chosen.contains(code));
            assert_eq!(criteria.is_error_a_failure(), gateway);
        }
    }

    #[test]
    fn each_other_code_is_named_and_none_at_all_is_an_error_too() {
        for code in 0..=u16::MAX {
            match FailoverCriteria::new([500, code]) {
                Ok(_) => assert!(NINE.contains(&code), "{code}"),
                Err(error) => {
                    assert!(!NINE.contains(&code), "{code}");
                    assert_eq!(error.setting(), "status_codes");
                    assert!(error.to_string().contains(&format!("is \"{code}\",")));
                }
            }
        }
        let none = FailoverCriteria::new([]).unwrap_err();
        assert_eq!(none.setting(), "status_codes");
        assert!(none.to_string().contains("is \"\","));
    }

    #[test]
    fn only_methods_that_read_fail_over() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(may_fail_over(&method.parse().unwrap()), "{method}");
        }
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY", "get",
        ] {
            assert!(!may_fail_over(&method.parse().unwrap()), "{method}");
        }
    }

    #[test]
    fn it_prints_what_is_listed() {
        let criteria = FailoverCriteria::new([504, 404]).unwrap();
        assert_eq!(format!("{criteria:?}"), "FailoverCriteria[404, 504]");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn neither_order_nor_repetition_counts(
            codes in prop::collection::vec(prop::sample::select(&NINE[..]), 1..30),
            status in 100_u16..=999,
        ) {
            let criteria = FailoverCriteria::new(codes.clone()).unwrap();
            let sorted = codes.iter().copied().collect::<std::collections::BTreeSet<_>>();
            prop_assert_eq!(criteria, FailoverCriteria::new(sorted).unwrap());
            let of_status = StatusCode::from_u16(status).unwrap();
            prop_assert_eq!(criteria.lists(of_status), codes.contains(&status));
        }
    }
}
