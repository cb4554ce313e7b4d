//! Who is let in: by `X-Forwarded-For`, against the members as they were before they were written down, and by a secret.
#![no_main]

use arbitrary::Arbitrary;
use frontage::{
    OptionalBody, ViewerAddress,
    guard::{
        AdmittedAddress, MatchedSecret, PrefixRefusal, RequirePrefixLayer, RequireSecretHeaderLayer,
    },
};
use frontage_fuzz::{Value, block_on, value};
use http::{Request, Response};
use libfuzzer_sys::fuzz_target;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::LazyLock,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

const SECRETS: [&str; 2] = ["0123456789abcdef", "the second of these secrets"];

/// An address, of which every second is a trusted proxy's.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Address {
    Proxy(u8),
    Proxy6(u16),
    Viewer(u32),
    Viewer6(u128),
    /// IPv4 in IPv6.
    Mapped(u32),
}

impl Address {
    fn ip(self) -> IpAddr {
        match self {
            Self::Proxy(last) => Ipv4Addr::new(10, 0, 0, last).into(),
            Self::Proxy6(last) => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into(),
            Self::Viewer(bits) => Ipv4Addr::from_bits(bits).into(),
            Self::Viewer6(bits) => Ipv6Addr::from_bits(bits).into(),
            Self::Mapped(bits) => Ipv4Addr::from_bits(bits).to_ipv6_mapped().into(),
        }
    }
}

/// Told from the octets.
fn is_trusted(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[0] == 0xfd00,
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Member {
    Bare(Address),
    WithPort(Address, u16),
    InBrackets(Address),
    /// What is no address, whatever it is.
    Text(Value),
}

impl Member {
    fn text(&self) -> Vec<u8> {
        match self {
            Self::Bare(address) => address.ip().to_string().into_bytes(),
            Self::WithPort(address, port) => SocketAddr::new(address.ip(), *port)
                .to_string()
                .into_bytes(),
            Self::InBrackets(address) => match address.ip() {
                IpAddr::V4(address) => address.to_string().into_bytes(),
                IpAddr::V6(address) => format!("[{address}]").into_bytes(),
            },
            Self::Text(text) => [b"?", text.0.as_bytes()].concat(),
        }
    }

    fn said(&self) -> Option<IpAddr> {
        match self {
            Self::Bare(address) | Self::WithPort(address, _) | Self::InBrackets(address) => {
                Some(address.ip().to_canonical())
            }
            Self::Text(_) => None,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    peer: Option<Address>,
    lines: Vec<Vec<Member>>,
    /// What somebody further away adds.
    further: Value,
    spaces: bool,
    secrets: Vec<Secret>,
}

#[derive(Arbitrary, Debug)]
enum Secret {
    Right(bool),
    Cut(bool, u8),
    Text(Value),
}

impl Secret {
    fn text(&self) -> Vec<u8> {
        let of = |second: bool| SECRETS[usize::from(second)].as_bytes();
        match self {
            Self::Right(second) => of(*second).to_vec(),
            Self::Cut(second, at) => of(*second)[..usize::from(*at) % of(*second).len()].to_vec(),
            Self::Text(text) => text.0.as_bytes().to_vec(),
        }
    }
}

/// Answers with the extensions of the request.
#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let mut response = Response::new(String::new());
        *response.extensions_mut() = request.into_parts().0.extensions;
        ready(Ok(response))
    }
}

fn ask<L>(layer: &L, request: Request<()>) -> Response<OptionalBody<String>>
where
    L: Layer<Inner>,
    L::Service: Service<Request<()>, Response = Response<OptionalBody<String>>, Error = Infallible>,
{
    let Ok(response) = block_on(layer.layer(Inner).call(request));
    response
}

fn admitted(
    peer: Option<Address>,
    lines: impl Iterator<Item = Vec<u8>>,
) -> Result<IpAddr, PrefixRefusal> {
    static GUARD: LazyLock<RequirePrefixLayer> = LazyLock::new(|| {
        let guard = RequirePrefixLayer::new(["0.0.0.0/0", "::/0"]).expect("prefixes");
        guard
            .trusted_proxies(["10.0.0.0/8", "fd00::/16"])
            .expect("prefixes")
    });
    let mut request = Request::new(());
    if let Some(peer) = peer {
        let peer = SocketAddr::new(peer.ip(), 1);
        request.extensions_mut().insert(ViewerAddress(peer));
    }
    for line in lines {
        request
            .headers_mut()
            .append("x-forwarded-for", value(&line));
    }
    let response = ask(&*GUARD, request);
    match response.extensions().get() {
        Some(AdmittedAddress(address)) => {
            assert_eq!(response.status(), 200);
            Ok(*address)
        }
        None => {
            assert_eq!(response.status(), 403);
            let refusal = response.extensions().get().copied();
            Err(refusal.expect("a reason"))
        }
    }
}

/// From the right: the first that is none of the trusted ones, or the last that they name.
fn expected(peer: Option<Address>, lines: &[Vec<Member>]) -> Result<IpAddr, PrefixRefusal> {
    let mut address = peer.ok_or(PrefixRefusal::NoAddress)?.ip().to_canonical();
    // A line without members is an empty one.
    let empty = [Member::Text(Value(value(b"")))];
    let members = lines.iter().map(|line| match line.is_empty() {
        true => &empty[..],
        false => line,
    });
    let mut members: Vec<&Member> = members.flatten().collect();
    while is_trusted(address) {
        let Some(member) = members.pop() else { break };
        address = member.said().ok_or(PrefixRefusal::Forwarded)?;
    }
    Ok(address)
}

/// A text may hold commas, and so be several members.
fn is_one_member(member: &Member) -> bool {
    !member.text().contains(&b',')
}

fuzz_target!(|input: Input| {
    let between: &[u8] = if input.spaces { b" \t, " } else { b"," };
    let lines: Vec<Vec<u8>> = input
        .lines
        .iter()
        .map(|line| {
            let members: Vec<Vec<u8>> = line.iter().map(Member::text).collect();
            members.join(between)
        })
        .collect();
    let found = admitted(input.peer, lines.iter().cloned());
    if input.lines.iter().flatten().all(is_one_member) {
        assert_eq!(found, expected(input.peer, &input.lines));
    }
    // What isn't said by a trusted proxy counts for nothing.
    if let Ok(address) = found
        && !is_trusted(address)
    {
        let further = [input.further.0.as_bytes().to_vec()];
        let spoofed = admitted(input.peer, further.into_iter().chain(lines));
        assert_eq!(spoofed, Ok(address));
    }

    static SECRET: LazyLock<RequireSecretHeaderLayer> =
        LazyLock::new(|| RequireSecretHeaderLayer::new("x-secret", SECRETS).expect("long enough"));
    let mut request = Request::new(());
    for secret in &input.secrets {
        request
            .headers_mut()
            .append("x-secret", value(&secret.text()));
    }
    let response = ask(&*SECRET, request);
    let matched = response.extensions().get().map(|MatchedSecret(at)| *at);
    let right = match &input.secrets[..] {
        [secret] => SECRETS
            .iter()
            .position(|right| value(&secret.text()) == *right),
        _ => None,
    };
    assert_eq!(matched.map(|at| at as usize), right);
    assert_eq!(response.status() == 200, matched.is_some());
});
