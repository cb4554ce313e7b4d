//! The same over HTTP/2, whose fields may hold what would be framing in HTTP/1.1 (RFC 9113 section 8.2.1).

use crate::{
    On, Stack, Trial,
    cases::Then::{self, Cut, Passed, Refused},
    try_all, within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A stream: its fields, data and trailers.
struct Case {
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    data: Option<&'static str>,
    trailers: &'static [(&'static str, &'static str)],
    then: Then,
}

const fn case(
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    data: Option<&'static str>,
    then: Then,
) -> Case {
    Case {
        name,
        fields,
        data,
        trailers: &[],
        then,
    }
}

const GET: (&str, &str) = (":method", "GET");
const POST: (&str, &str) = (":method", "POST");
const HTTP: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/attack");
const H: (&str, &str) = (":authority", "h");
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
const BEHIND_CHUNKS: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

const LENGTHS: &[Case] = &[
    case("none", &[GET, HTTP, PATH, H], None, Passed("")),
    case(
        "data without",
        &[POST, HTTP, PATH, H],
        Some(SMUGGLED),
        Passed(SMUGGLED),
    ),
    case(
        "data of a GET",
        &[GET, HTTP, PATH, H],
        Some(SMUGGLED),
        Passed(SMUGGLED),
    ),
    case(
        "the data's",
        &[POST, HTTP, PATH, H, ("content-length", "3")],
        Some("abc"),
        Passed("abc"),
    ),
    case(
        "more than the data",
        &[POST, HTTP, PATH, H, ("content-length", "5")],
        Some("abc"),
        Cut,
    ),
    case(
        "less than the data",
        &[POST, HTTP, PATH, H, ("content-length", "2")],
        Some("abc"),
        Cut,
    ),
    case(
        "0 before data",
        &[POST, HTTP, PATH, H, ("content-length", "0")],
        Some(SMUGGLED),
        Cut,
    ),
    case(
        "0 before data of a GET",
        &[GET, HTTP, PATH, H, ("content-length", "0")],
        Some(SMUGGLED),
        Cut,
    ),
    case(
        "without data",
        &[POST, HTTP, PATH, H, ("content-length", "3")],
        None,
        Refused,
    ),
    case(
        "two",
        &[
            POST,
            HTTP,
            PATH,
            H,
            ("content-length", "3"),
            ("content-length", "0"),
        ],
        Some("abc"),
        Refused,
    ),
    case(
        "a list",
        &[POST, HTTP, PATH, H, ("content-length", "3, 3")],
        Some("abc"),
        Refused,
    ),
    case(
        "a sign",
        &[POST, HTTP, PATH, H, ("content-length", "+3")],
        Some("abc"),
        Refused,
    ),
    case(
        "hexadecimal",
        &[POST, HTTP, PATH, H, ("content-length", "0x3")],
        Some("abc"),
        Refused,
    ),
    case(
        "empty",
        &[POST, HTTP, PATH, H, ("content-length", "")],
        Some("abc"),
        Refused,
    ),
    case(
        "beyond 64 bits",
        &[
            POST,
            HTTP,
            PATH,
            H,
            ("content-length", "18446744073709551619"),
        ],
        Some("abc"),
        Refused,
    ),
];

const CONNECTION: &[Case] = &[
    case(
        "chunked",
        &[POST, HTTP, PATH, H, ("transfer-encoding", "chunked")],
        Some(BEHIND_CHUNKS),
        Refused,
    ),
    case(
        "identity",
        &[POST, HTTP, PATH, H, ("transfer-encoding", "identity")],
        Some("abc"),
        Refused,
    ),
    case(
        "chunked of a GET",
        &[GET, HTTP, PATH, H, ("transfer-encoding", "chunked")],
        Some(BEHIND_CHUNKS),
        Refused,
    ),
    case(
        "Connection",
        &[
            POST,
            HTTP,
            PATH,
            H,
            ("connection", "content-length"),
            ("content-length", "3"),
        ],
        Some("abc"),
        Refused,
    ),
    case(
        "Proxy-Connection",
        &[POST, HTTP, PATH, H, ("proxy-connection", "keep-alive")],
        Some("abc"),
        Refused,
    ),
    case(
        "Upgrade",
        &[GET, HTTP, PATH, H, ("upgrade", "websocket")],
        None,
        Refused,
    ),
    case(
        "TE: chunked",
        &[POST, HTTP, PATH, H, ("te", "chunked")],
        Some("abc"),
        Refused,
    ),
    case(
        "TE: trailers",
        &[POST, HTTP, PATH, H, ("te", "trailers")],
        Some("abc"),
        Passed("abc"),
    ),
    case(
        "Expect",
        &[POST, HTTP, PATH, H, ("expect", "100-continue")],
        Some("abc"),
        Passed("abc"),
    ),
];

const HOSTS: &[Case] = &[
    case(
        "Host alone",
        &[GET, HTTP, PATH, ("host", "h")],
        None,
        Passed(""),
    ),
    case("none", &[GET, HTTP, PATH], None, Refused),
    case(
        "both",
        &[GET, HTTP, PATH, H, ("host", "h")],
        None,
        Passed(""),
    ),
    case(
        "Host contradicts",
        &[GET, HTTP, PATH, H, ("host", "evil")],
        None,
        Passed(""),
    ),
    case(
        "Host contradicts, of a POST",
        &[POST, HTTP, PATH, H, ("host", "evil")],
        Some("abc"),
        Passed("abc"),
    ),
    case(
        "two",
        &[GET, HTTP, PATH, ("host", "h"), ("host", "evil")],
        None,
        Refused,
    ),
    case(
        "two beside an authority",
        &[GET, HTTP, PATH, H, ("host", "h"), ("host", "evil")],
        None,
        Refused,
    ),
    case(
        "two authorities",
        &[GET, HTTP, PATH, H, (":authority", "evil")],
        None,
        Refused,
    ),
    case(
        "empty",
        &[GET, HTTP, PATH, (":authority", "")],
        None,
        Refused,
    ),
    case(
        "a user",
        &[GET, HTTP, PATH, (":authority", "evil@h")],
        None,
        Refused,
    ),
    case(
        "a path",
        &[GET, HTTP, PATH, (":authority", "h/evil")],
        None,
        Refused,
    ),
    case(
        "a space",
        &[GET, HTTP, PATH, (":authority", "h evil")],
        None,
        Refused,
    ),
    case(
        "a list",
        &[GET, HTTP, PATH, (":authority", "h,evil")],
        None,
        Refused,
    ),
    case(
        "lines",
        &[GET, HTTP, PATH, (":authority", "h\r\nx: y")],
        None,
        Refused,
    ),
    case(
        "lines in Host",
        &[GET, HTTP, PATH, ("host", "h\r\nx: y")],
        None,
        Refused,
    ),
];

const LINES: &[Case] = &[
    case(
        "a value of lines",
        &[GET, HTTP, PATH, H, ("x", "y\r\nContent-Length: 35")],
        None,
        Refused,
    ),
    case(
        "a value of requests",
        &[
            GET,
            HTTP,
            PATH,
            H,
            ("x", "y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h"),
        ],
        None,
        Refused,
    ),
    case(
        "a value with an LF",
        &[GET, HTTP, PATH, H, ("x", "y\nz: a")],
        None,
        Refused,
    ),
    case(
        "a value with a CR",
        &[GET, HTTP, PATH, H, ("x", "y\rz: a")],
        None,
        Refused,
    ),
    case(
        "a value with a NUL",
        &[GET, HTTP, PATH, H, ("x", "y\0z")],
        None,
        Refused,
    ),
    case(
        "a name of lines",
        &[GET, HTTP, PATH, H, ("x: y\r\nz", "a")],
        None,
        Refused,
    ),
    case(
        "a name with a colon",
        &[GET, HTTP, PATH, H, ("x:", "y")],
        None,
        Refused,
    ),
    case(
        "a name with a space",
        &[GET, HTTP, PATH, H, ("transfer-encoding ", "chunked")],
        None,
        Refused,
    ),
    case(
        "a name in capitals",
        &[GET, HTTP, PATH, H, ("Transfer-Encoding", "chunked")],
        None,
        Refused,
    ),
    case("no name", &[GET, HTTP, PATH, H, ("", "y")], None, Refused),
    case(
        "a path with a space",
        &[GET, HTTP, H, (":path", "/attack HTTP/1.1")],
        None,
        Refused,
    ),
    case(
        "a path of lines",
        &[
            GET,
            HTTP,
            H,
            (":path", "/attack HTTP/1.1\r\nHost: h\r\n\r\nGET /smuggled"),
        ],
        None,
        Refused,
    ),
    case(
        "a path with a NUL",
        &[GET, HTTP, H, (":path", "/attack\0")],
        None,
        Refused,
    ),
    case(
        "a path with a tab",
        &[GET, HTTP, H, (":path", "/attack\t")],
        None,
        Refused,
    ),
    case(
        "an empty path",
        &[GET, HTTP, H, (":path", "")],
        None,
        Refused,
    ),
    case(
        "a path without a slash",
        &[GET, HTTP, H, (":path", "attack")],
        None,
        Refused,
    ),
    case(
        "a URL for a path",
        &[GET, HTTP, H, (":path", "http://evil/attack")],
        None,
        Refused,
    ),
    case(
        "two paths",
        &[GET, HTTP, PATH, H, (":path", "/smuggled")],
        None,
        Refused,
    ),
    case(
        "a method of lines",
        &[
            HTTP,
            PATH,
            H,
            (":method", "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\nGET"),
        ],
        None,
        Refused,
    ),
    case(
        "a method with a space",
        &[HTTP, PATH, H, (":method", "GET /smuggled")],
        None,
        Refused,
    ),
    case(
        "a scheme with more",
        &[GET, PATH, H, (":scheme", "http://evil/?")],
        None,
        Refused,
    ),
    case(
        "HTTPS",
        &[GET, PATH, H, (":scheme", "https")],
        None,
        Passed(""),
    ),
    case(
        "pseudo-fields at the end",
        &[GET, HTTP, ("x", "y"), PATH, H],
        None,
        Refused,
    ),
    case(
        "a pseudo-field of one's own",
        &[GET, HTTP, PATH, H, (":x", "y")],
        None,
        Refused,
    ),
    case(
        "a status",
        &[GET, HTTP, PATH, H, (":status", "200")],
        None,
        Refused,
    ),
    case(
        "CONNECT",
        &[(":method", "CONNECT"), (":authority", "h:80")],
        Some(SMUGGLED),
        Refused,
    ),
    case(
        "CONNECT for a WebSocket",
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            HTTP,
            PATH,
            H,
        ],
        None,
        Refused,
    ),
];

const TRAILERS: &[Case] = &[
    Case {
        trailers: &[("content-length", "35"), ("host", "evil"), ("x", "y")],
        ..case(
            "framing",
            &[POST, HTTP, PATH, H],
            Some("abc"),
            Passed("abc"),
        )
    },
    Case {
        trailers: &[("transfer-encoding", "chunked")],
        ..case("chunked", &[POST, HTTP, PATH, H], Some("abc"), Cut)
    },
    Case {
        trailers: &[(":path", "/smuggled")],
        ..case("a path", &[POST, HTTP, PATH, H], Some("abc"), Passed("abc"))
    },
    Case {
        trailers: &[("x", "y\r\n\r\nGET /smuggled HTTP/1.1")],
        ..case("lines", &[POST, HTTP, PATH, H], Some("abc"), Cut)
    },
];

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What becomes of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// 200, and the body.
    Found(String),
    /// Another status.
    Failed,
    /// The stream was reset, or the connection closed.
    Reset,
}

struct Viewer(TcpStream);

impl Viewer {
    async fn connect(stack: &Stack) -> Self {
        let stream = TcpStream::connect(stack.address).await.unwrap();
        let mut viewer = Self(stream);
        viewer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        viewer.frame(SETTINGS, 0, 0, b"").await;
        viewer
    }

    /// The server may have closed the connection by now.
    async fn write(&mut self, bytes: &[u8]) {
        let _sent = self.0.write_all(bytes).await;
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [
            length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
        ];
        self.write(&[&head, payload].concat()).await;
    }

    async fn ask(&mut self, stream: u8, case: &Case) -> Answer {
        let ends = |is_last: bool| if is_last { END_STREAM } else { 0 };
        let has_trailers = !case.trailers.is_empty();
        let flags = END_HEADERS | ends(case.data.is_none());
        self.frame(HEADERS, flags, stream, &block(case.fields))
            .await;
        if let Some(data) = case.data {
            let flags = ends(!has_trailers);
            self.frame(DATA, flags, stream, data.as_bytes()).await;
        }
        if has_trailers {
            let flags = END_HEADERS | END_STREAM;
            self.frame(HEADERS, flags, stream, &block(case.trailers))
                .await;
        }
        self.answer(stream).await.unwrap_or(Answer::Reset)
    }

    /// Reads to the end of a stream.
    async fn answer(&mut self, stream: u8) -> std::io::Result<Answer> {
        let (mut is_found, mut body) = (false, Vec::new());
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, _, _, _, of] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await?;
            match kind {
                GO_AWAY => return Ok(Answer::Reset),
                RESET if of == stream => return Ok(Answer::Reset),
                // An indexed `:status: 200` (RFC 7541 appendix A).
                HEADERS if of == stream => is_found |= payload[0] == 0x88,
                DATA if of == stream => body.extend(payload),
                _ => continue,
            }
            if flags & END_STREAM != 0 {
                return Ok(match is_found {
                    true => Answer::Found(String::from_utf8(body).unwrap()),
                    false => Answer::Failed,
                });
            }
        }
    }
}

/// Fields as HPACK writes them without tables (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 127, "{text}: too long");
            block.push(length);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

const AFTER: Case = case(
    "after",
    &[GET, HTTP, (":path", "/after"), H],
    None,
    Passed(""),
);

async fn try_case(case: &Case, on: On) {
    let trial = Trial::begin(case.name, on).await;
    let (stack, name) = (&trial.stack, &trial.name);
    let mut viewer = Viewer::connect(stack).await;
    let answer = within(name, viewer.ask(1, case)).await;
    if let Passed(body) = case.then {
        let named = case.fields.iter().find(|(name, _)| *name == ":method");
        let (_, method) = named.unwrap();
        let expected = format!("{method} /attack {}", stack.host);
        assert_eq!(answer, Answer::Found(expected), "{name}");
        let expected = format!("GET /after {}", stack.host);
        let answer = within(name, viewer.ask(3, &AFTER)).await;
        assert_eq!(answer, Answer::Found(expected), "{name}");
        trial.assert_reached(method, body, &["GET /after"]);
    } else {
        let is_refused = matches!(answer, Answer::Failed | Answer::Reset);
        assert!(is_refused, "{name}: {answer:?}");
        trial.assert_refused(case.then == Cut);
    }
    trial.end(case.then == Cut).await;
}

#[tokio::test]
async fn over_http_2_a_length_is_that_of_the_data() {
    try_all(LENGTHS, try_case).await;
}

#[tokio::test]
async fn over_http_2_there_is_no_framing_by_fields() {
    try_all(CONNECTION, try_case).await;
}

#[tokio::test]
async fn over_http_2_a_request_has_one_host() {
    try_all(HOSTS, try_case).await;
}

#[tokio::test]
async fn over_http_2_no_field_holds_a_line() {
    try_all(LINES, try_case).await;
}

#[tokio::test]
async fn over_http_2_trailers_go_no_further() {
    try_all(TRAILERS, try_case).await;
}
