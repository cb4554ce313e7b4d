//! What is tried over HTTP/1.1, and what becomes of it. What would be smuggled in is a `GET /smuggled`.

/// What a viewer sends, and what becomes of it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) sent: &'static [u8],
    pub(crate) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Answered with an error, and the connection closed; nothing reaches the origin.
    Refused,
    /// So late that the origin may see the beginning of a request, but no end.
    Cut,
    /// One request with this body reaches the origin, and its answer the viewer, whose next one is answered, too.
    Passed(&'static str),
    /// The same, but the connection is closed behind the answer.
    Last(&'static str),
}
use Then::{Cut, Last, Passed, Refused};

impl Case {
    pub(crate) fn method(&self) -> &'static str {
        let sent = self.sent.trim_ascii_start();
        let end = sent.iter().position(|byte| !byte.is_ascii_alphabetic());
        std::str::from_utf8(&sent[..end.unwrap()]).unwrap()
    }
}

const fn case(name: &'static str, sent: &'static [u8], then: Then) -> Case {
    Case { name, sent, then }
}

/// `Content-Length` and `Transfer-Encoding` together: one of both counts, and nothing is read behind it.
pub(crate) const BOTH: &[Case] = &[
    case(
        "CL.TE",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 49\r\nTransfer-Encoding: chunked\r\n\r\n\
          0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n         ",
        Last(""),
    ),
    case(
        "TE.CL",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n\
          24\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\nx\r\n0\r\n\r\n",
        Last("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\nx"),
    ),
    case(
        "CL.TE with a GET",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n\
          0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Last(""),
    ),
    case(
        "TE with a Content-Length of 0",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Last("abc"),
    ),
    case(
        "TE with two Content-Lengths",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "TE before a Content-Length that is none",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Last("abc"),
    ),
];

/// `Transfer-Encoding` in disguise: what isn't `chunked`, once, is refused.
pub(crate) const CODINGS: &[Case] = &[
    case(
        "chunked",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "in capitals",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "space behind",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked \t\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "much space in front",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \t  chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "none in front",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "xchunked",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: xchunked\r\n\r\nabc",
        Refused,
    ),
    case(
        "chunkedx",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunkedx\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "a space within",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chun ked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "quoted",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "with a parameter",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;q=1\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "identity",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: identity\r\n\r\nabc",
        Refused,
    ),
    case(
        "empty",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding:\r\n\r\nabc",
        Refused,
    ),
    case(
        "identity, chunked",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "chunked, identity",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "chunked, chunked",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "an empty member",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: , chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "gzip, chunked",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "two fields",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "two fields, chunked first",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "two fields, chunked last",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "refused, with a request in the body",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Refused,
    ),
    case(
        "a line in front",
        b"POST /attack HTTP/1.1\r\nHost: h\r\n Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "a space before the colon",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding : chunked\r\n\r\nabc",
        Refused,
    ),
    case(
        "a tab before the colon",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding\t: chunked\r\n\r\nabc",
        Refused,
    ),
    case(
        "a vertical tab",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "a form feed",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\x0c\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "a NUL",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\0\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "a space of Latin-1",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \xa0chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "behind a bare CR",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX: y\rTransfer-Encoding: chunked\r\n\r\nabc",
        Refused,
    ),
    case(
        "folded",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "folded behind",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\t, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "by an underscore",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer_Encoding: chunked\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "of HTTP/1.0",
        b"POST /attack HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    case(
        "of HTTP/1.0, with a length and kept alive",
        b"POST /attack HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        Refused,
    ),
];

/// `Content-Length`.
pub(crate) const LENGTHS: &[Case] = &[
    case(
        "one",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "spaces around",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length:   3 \t\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "zeros in front",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 0003\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "twice the same",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "two",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\nabc",
        Refused,
    ),
    case(
        "two, in disguise",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\ncontent-length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Refused,
    ),
    case(
        "a list of equals",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc",
        Refused,
    ),
    case(
        "a list",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 0\r\n\r\nabc",
        Refused,
    ),
    case(
        "a sign",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
        Refused,
    ),
    case(
        "negative",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc",
        Refused,
    ),
    case(
        "hexadecimal",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc",
        Refused,
    ),
    case(
        "a fraction",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3.0\r\n\r\nabc",
        Refused,
    ),
    case(
        "a space within",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3 0\r\n\r\nabc",
        Refused,
    ),
    case(
        "empty",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nabc",
        Refused,
    ),
    case(
        "beyond 64 bits",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551619\r\n\r\nabc",
        Refused,
    ),
    case(
        "the last of 64 bits",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\nabc",
        Refused,
    ),
    case(
        "a space before the colon",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc",
        Refused,
    ),
    case(
        "folded",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n 3\r\n\r\nabc",
        Refused,
    ),
    case(
        "folded behind",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n 5\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Refused,
    ),
    case(
        "none for a POST",
        b"POST /attack HTTP/1.1\r\nHost: h\r\n\r\n",
        Passed(""),
    ),
    case(
        "with a GET",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Passed("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"),
    ),
    case(
        "of 0 with a GET",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        Passed(""),
    ),
    case(
        "chunks with a GET",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "with a DELETE",
        b"DELETE /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Passed("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"),
    ),
    case(
        "with a method of one's own",
        b"FETCH /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
];

/// Fields that `Connection` names go no further, and take nothing along.
pub(crate) const NOMINATED: &[Case] = &[
    case(
        "Content-Length",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nConnection: Content-Length\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Passed("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"),
    ),
    case(
        "Content-Length of a GET",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, content-length\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Passed("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"),
    ),
    case(
        "Transfer-Encoding",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "Host",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nConnection: host\r\n\r\n",
        Passed(""),
    ),
    case(
        "Host of a POST",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nConnection: Host, close\r\n\r\n",
        Last(""),
    ),
    case(
        "Connection",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nConnection: connection, upgrade\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "what is no name",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nConnection: a b, \"content-length\", \xff\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "Proxy-Connection and Keep-Alive",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nProxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: chunked\r\nTrailer: content-length\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "an upgrade to h2c",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        Passed(""),
    ),
    case(
        "an upgrade to h2c with a body",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "a WebSocket with a body",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Passed("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"),
    ),
    case(
        "a WebSocket that the origin refuses",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n",
        Passed(""),
    ),
];

/// The host: there is one, and the target's comes first.
pub(crate) const HOSTS: &[Case] = &[
    case("none", b"GET /attack HTTP/1.1\r\n\r\n", Refused),
    case("none, with a POST", b"POST /attack HTTP/1.1\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("empty", b"GET /attack HTTP/1.1\r\nHost:\r\n\r\n", Refused),
    case("two", b"GET /attack HTTP/1.1\r\nHost: h\r\nHost: evil\r\n\r\n", Refused),
    case("two, the other way round", b"GET /attack HTTP/1.1\r\nHost: evil\r\nX: y\r\nhost: h\r\n\r\n", Refused),
    case("twice the same", b"GET /attack HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", Refused),
    case("two of HTTP/1.0", b"GET /attack HTTP/1.0\r\nHost: h\r\nHost: evil\r\n\r\n", Refused),
    case("two, beside an absolute target", b"GET http://h/attack HTTP/1.1\r\nHost: h\r\nHost: evil\r\n\r\n", Refused),
    case("a list", b"GET /attack HTTP/1.1\r\nHost: h,evil\r\n\r\n", Refused),
    case("a list with a space", b"GET /attack HTTP/1.1\r\nHost: h, evil\r\n\r\n", Refused),
    case("a space", b"GET /attack HTTP/1.1\r\nHost: h evil\r\n\r\n", Refused),
    case("a user", b"GET /attack HTTP/1.1\r\nHost: h@evil\r\n\r\n", Refused),
    case("a user and a password", b"GET /attack HTTP/1.1\r\nHost: evil:evil@h\r\n\r\n", Refused),
    case("a path", b"GET /attack HTTP/1.1\r\nHost: h/evil\r\n\r\n", Refused),
    case("a query", b"GET /attack HTTP/1.1\r\nHost: h?evil\r\n\r\n", Refused),
    case("a fragment", b"GET /attack HTTP/1.1\r\nHost: h#evil\r\n\r\n", Refused),
    case("a scheme", b"GET /attack HTTP/1.1\r\nHost: http://h\r\n\r\n", Refused),
    case("a port that is none", b"GET /attack HTTP/1.1\r\nHost: h:evil\r\n\r\n", Refused),
    case("two ports", b"GET /attack HTTP/1.1\r\nHost: h:80:81\r\n\r\n", Refused),
    case("not ASCII", b"GET /attack HTTP/1.1\r\nHost: h\xff\r\n\r\n", Refused),
    case("folded", b"GET /attack HTTP/1.1\r\nHost: h\r\n evil\r\n\r\n", Refused),
    case("folded at its begin", b"GET /attack HTTP/1.1\r\nHost:\r\n h\r\n\r\n", Refused),
    case("before the first field", b"GET /attack HTTP/1.1\r\n Host: evil\r\nHost: h\r\n\r\n", Refused),
    case("a space before the colon", b"GET /attack HTTP/1.1\r\nHost : evil\r\nHost: h\r\n\r\n", Refused),
    case("an absolute target", b"GET http://h/attack HTTP/1.1\r\nHost: h\r\n\r\n", Passed("")),
    case("another than the target's", b"GET http://h/attack HTTP/1.1\r\nHost: evil\r\n\r\n", Passed("")),
    case("another than the target's, of a POST", b"POST http://h/attack HTTP/1.1\r\nHost: evil\r\nContent-Length: 3\r\n\r\nabc", Passed("abc")),
    case("another than the target's, by HTTPS", b"POST https://h/attack HTTP/1.1\r\nHost: evil\r\n\r\n", Passed("")),
    case("none beside an absolute target", b"GET http://h/attack HTTP/1.1\r\n\r\n", Refused),
    case("a user in the target", b"GET http://evil@h/attack HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("no host in the target", b"GET http:///attack HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("a target of a host alone", b"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("a target of a star", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("CONNECT", b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("CONNECT to a path", b"CONNECT /attack HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
];

/// How heads are written.
pub(crate) const HEADS: &[Case] = &[
    case("bare LFs", b"GET /attack HTTP/1.1\nHost: h\n\n", Passed("")),
    case("bare LFs around a length", b"POST /attack HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc", Passed("abc")),
    case("a bare LF at the end only", b"POST /attack HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\nabc", Passed("abc")),
    case("a field behind a bare LF", b"POST /attack HTTP/1.1\r\nHost: h\r\nX: y\nContent-Length: 3\r\n\r\nabc", Passed("abc")),
    case("bare CRs", b"GET /attack HTTP/1.1\rHost: h\r\r", Refused),
    case("a bare CR in a value", b"GET /attack HTTP/1.1\r\nHost: h\r\nX: y\rz\r\n\r\n", Refused),
    case("a bare CR in a name", b"GET /attack HTTP/1.1\r\nHost: h\r\nX\ry: z\r\n\r\n", Refused),
    case("a bare CR before the end", b"GET /attack HTTP/1.1\r\nHost: h\r\r\n\r\n", Refused),
    case("a folded line", b"GET /attack HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n\r\n", Refused),
    case("a line without a colon", b"GET /attack HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", Refused),
    case("a field without a name", b"GET /attack HTTP/1.1\r\nHost: h\r\n: y\r\n\r\n", Refused),
    case("a space before the colon", b"GET /attack HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", Refused),
    case("a space in a name", b"GET /attack HTTP/1.1\r\nHost: h\r\nX y: z\r\n\r\n", Refused),
    case("a NUL in a value", b"GET /attack HTTP/1.1\r\nHost: h\r\nX: y\0z\r\n\r\n", Refused),
    case("a NUL in a name", b"GET /attack HTTP/1.1\r\nHost: h\r\nX\0: y\r\n\r\n", Refused),
    case("a name that is not ASCII", b"GET /attack HTTP/1.1\r\nHost: h\r\nX\xff: y\r\n\r\n", Refused),
    case("empty lines in front", b"\r\n\r\nGET /attack HTTP/1.1\r\nHost: h\r\n\r\n", Passed("")),
    case("a space in the target", b"GET /attack /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("a tab in the target", b"GET /attack\t/smuggled HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("two versions", b"GET /attack HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("two spaces in front of the target", b"GET  /attack HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("two spaces behind the target", b"GET /attack  HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("a tab for a space", b"GET\t/attack HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("no version", b"GET /attack\r\nHost: h\r\n\r\n", Refused),
    case("HTTP/1.2", b"GET /attack HTTP/1.2\r\nHost: h\r\n\r\n", Refused),
    case("HTTP/2.0", b"GET /attack HTTP/2.0\r\nHost: h\r\n\r\n", Refused),
    case("a lower-case version", b"GET /attack http/1.1\r\nHost: h\r\n\r\n", Refused),
    case("a method of a wrong kind", b"GE(T /attack HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    case("HTTP/1.0", b"GET /attack HTTP/1.0\r\nHost: h\r\n\r\nGET /smuggled HTTP/1.0\r\nHost: h\r\n\r\n", Last("")),
    case("HTTP/1.0 with a body", b"POST /attack HTTP/1.0\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /smuggled HTTP/1.0\r\nHost: h\r\n\r\n", Last("abc")),
    case("a request behind the last", b"GET /attack HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", Last("")),
    case("close and keep-alive", b"GET /attack HTTP/1.1\r\nHost: h\r\nConnection: close\r\nConnection: keep-alive\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", Last("")),
];

/// How chunks are written.
pub(crate) const CHUNKS: &[Case] = &[
    case(
        "several",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n002\r\nbc\r\n000\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "extensions",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "an extension with a bare LF",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Cut,
    ),
    case(
        "an extension with a bare CR",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a\rabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "a size with space behind",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3 \t\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "a size with space in front",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "a size with a prefix",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "a size with a sign",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "a negative size",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "no size",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "a size beyond 64 bits",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "a bare LF behind the size",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "a bare CR behind the size",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\rabc\r\n0\r\n\r\n",
        Cut,
    ),
    case(
        "longer than its size",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Cut,
    ),
    case(
        "a bare LF behind the data",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        Cut,
    ),
    case(
        "two bytes of another kind behind the data",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
        Cut,
    ),
    case(
        "a bare LF at the end, behind which all is taken for trailers",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\n\
          GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "trailers that frame",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
          Content-Length: 35\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "a trailer that is a request",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n0\r\n\
          GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Cut,
    ),
    case(
        "a folded trailer",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
        Cut,
    ),
    case(
        "a trailer with a space before the colon",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        Cut,
    ),
];

/// What waits for a `100 Continue`, or doesn't.
pub(crate) const EXPECTED: &[Case] = &[
    case(
        "with its body",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "chunked",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Passed("abc"),
    ),
    case(
        "without a body",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
        Passed(""),
    ),
    case(
        "of 0 bytes",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        Passed(""),
    ),
    case(
        "with a GET",
        b"GET /attack HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Passed("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"),
    ),
    case(
        "something else",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nExpect: y 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "twice",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        Passed("abc"),
    ),
    case(
        "of HTTP/1.0",
        b"POST /attack HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        Last("abc"),
    ),
    case(
        "refused",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nHost: evil\r\nExpect: 100-continue\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Refused,
    ),
    case(
        "refused for its coding",
        b"POST /attack HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        Refused,
    ),
];
