//! The load: plain HTTP/1.1 on connections that stay open, one request at a time on each, in one thread. It shares the
//! CPU with the server, so it does little: its requests are made before, and an answer's body is only counted.

use crate::{
    Failure,
    scenarios::{NewKeys, Scenario},
};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// More than the head and the body of 1 KiB and 32 KiB: one read takes them.
const READ: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked, and of whom.
pub(crate) struct Load<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) requests: Requests<'a>,
    /// The length that each answer must have.
    pub(crate) length: usize,
}

/// Where the requests come from.
pub(crate) enum Requests<'a> {
    /// These, in this order, over and over.
    Known {
        requests: &'a [Vec<u8>],
        order: &'a [u32],
    },
    /// Each for what nobody has asked for yet.
    New(&'a NewKeys),
}

impl<'a> Requests<'a> {
    pub(crate) fn of(scenario: &'a Scenario) -> Self {
        Self::Known {
            requests: &scenario.requests,
            order: &scenario.order,
        }
    }

    /// The request that comes after so many.
    fn write(&self, after: usize, to: &mut Vec<u8>) -> Result<(), Failure> {
        to.clear();
        match self {
            Self::Known { requests, order } => {
                let at = order.get(after % order.len().max(1)).copied();
                let request = requests.get(at.unwrap_or(0) as usize);
                to.extend_from_slice(request.ok_or("there is no such request")?);
            }
            Self::New(keys) => to.extend_from_slice(&keys.next()),
        }
        Ok(())
    }
}

/// What was seen between warming up and the end.
pub(crate) struct Seen<P> {
    pub(crate) time: Duration,
    /// The latency of each answer in nanoseconds, sorted.
    pub(crate) latencies: Vec<u32>,
    /// What the probe said at the beginning and at the end.
    pub(crate) probes: [P; 2],
}

impl<P> Seen<P> {
    /// Milliseconds that so great a share of the answers took at most.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share) as usize;
        let last = self.latencies.len().saturating_sub(1);
        f64::from(self.latencies.get(at.min(last)).copied().unwrap_or(0)) / 1e6
    }
}

/// When it ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Time {
        warm_up: Duration,
        measured: Duration,
    },
    Answers(usize),
}

struct Connection {
    stream: TcpStream,
    sent: Instant,
    state: State,
}

enum State {
    Idle,
    /// What came of the head.
    Head(Vec<u8>),
    Body {
        left: usize,
    },
}

impl Load<'_> {
    /// Loads the server, and looks at something (its CPU time) at the beginning and at the end.
    pub(crate) fn run<P>(
        &self,
        until: Until,
        mut probe: impl FnMut() -> Result<P, Failure>,
    ) -> Result<Seen<P>, Failure> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(self.connections);
        let mut next = (0, Vec::new());
        let mut buffer = vec![0; READ];
        let mut connections = Vec::with_capacity(self.connections);
        let start = Instant::now();
        for at in 0..self.connections {
            connections.push(self.open(&poll, at)?);
        }
        for connection in &mut connections {
            self.ask(connection, &mut next, start)?;
        }
        let (warm_up, measured) = match until {
            Until::Time { warm_up, measured } => (warm_up, measured),
            Until::Answers(_) => (Duration::ZERO, PATIENCE),
        };
        let mut began = None;
        let mut latencies: Vec<u32> = Vec::with_capacity(1 << 20);
        loop {
            poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                return Err("no answer comes any more".into());
            }
            for event in &events {
                let Some(connection) = connections.get_mut(event.token().0) else {
                    continue;
                };
                if self.read(connection, &mut buffer)? {
                    let now = Instant::now();
                    let took = now.duration_since(connection.sent).as_nanos();
                    latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
                    self.ask(connection, &mut next, now)?;
                }
            }
            let now = Instant::now();
            match &began {
                None if now.duration_since(start) >= warm_up => {
                    latencies.clear();
                    began = Some((Instant::now(), probe()?));
                }
                Some((since, _)) => {
                    let is_over = match until {
                        Until::Time { .. } => now.duration_since(*since) >= measured,
                        Until::Answers(count) => latencies.len() >= count,
                    };
                    if is_over {
                        break;
                    }
                }
                None => {}
            }
        }
        let (since, before) = began.ok_or("it never began")?;
        let after = probe()?;
        let time = since.elapsed();
        self.finish(&mut poll, &mut events, &mut connections, &mut buffer)?;
        latencies.sort_unstable();
        Ok(Seen {
            time,
            latencies,
            probes: [before, after],
        })
    }

    fn open(&self, poll: &Poll, at: usize) -> Result<Connection, Failure> {
        let stream = std::net::TcpStream::connect(self.server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry()
            .register(&mut stream, Token(at), Interest::READABLE)?;
        Ok(Connection {
            stream,
            sent: Instant::now(),
            state: State::Idle,
        })
    }

    fn ask(
        &self,
        connection: &mut Connection,
        (asked, request): &mut (usize, Vec<u8>),
        now: Instant,
    ) -> Result<(), Failure> {
        self.requests.write(*asked, request)?;
        *asked += 1;
        if connection.stream.write(request)? < request.len() {
            return Err("a request was taken in part only".into());
        }
        connection.sent = now;
        connection.state = State::Head(Vec::new());
        Ok(())
    }

    /// Takes what has come; whether that was the end of an answer.
    fn read(&self, connection: &mut Connection, buffer: &mut [u8]) -> Result<bool, Failure> {
        loop {
            let count = match connection.stream.read(buffer) {
                Ok(0) => return Err("a server closed its connection".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let data = buffer.get(..count).unwrap_or_default();
            match &mut connection.state {
                State::Idle => return Err("an answer came that nobody asked for".into()),
                State::Body { left } => *left = left.checked_sub(count).ok_or("too long a body")?,
                State::Head(seen) if seen.is_empty() => match self.after_head(data)? {
                    Some(left) => connection.state = State::Body { left },
                    None => seen.extend_from_slice(data),
                },
                State::Head(seen) => {
                    seen.extend_from_slice(data);
                    if let Some(left) = self.after_head(seen)? {
                        connection.state = State::Body { left };
                    }
                }
            }
            if let State::Body { left: 0 } = connection.state {
                connection.state = State::Idle;
                return Ok(true);
            }
            // What comes after a read that didn't fill the buffer is a new event.
            if count < READ {
                return Ok(false);
            }
        }
    }

    /// How many bytes of the body are still to come; `None` before the end of the head.
    fn after_head(&self, data: &[u8]) -> Result<Option<usize>, Failure> {
        let Some(end) = memchr::memmem::find(data, b"\r\n\r\n") else {
            return Ok(None);
        };
        let (head, rest) = data.split_at(end);
        if !head.starts_with(b"HTTP/1.1 200 ") || length_in(head) != Some(self.length) {
            let head = String::from_utf8_lossy(head);
            return Err(format!("not an answer of {} bytes: {head}", self.length).into());
        }
        let came = rest.len() - 4;
        let left = self.length.checked_sub(came).ok_or("too long a body")?;
        Ok(Some(left))
    }

    /// Waits for the answers that are still to come, so that no server sees its viewer vanish.
    fn finish(
        &self,
        poll: &mut Poll,
        events: &mut Events,
        connections: &mut [Connection],
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        let is_busy = |connection: &Connection| !matches!(connection.state, State::Idle);
        while connections.iter().any(is_busy) {
            poll.poll(events, Some(PATIENCE))?;
            if events.is_empty() {
                return Err("the last answers don't come".into());
            }
            for event in events.iter() {
                if let Some(connection) = connections.get_mut(event.token().0) {
                    self.read(connection, buffer)?;
                }
            }
        }
        Ok(())
    }
}

fn length_in(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    })?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
