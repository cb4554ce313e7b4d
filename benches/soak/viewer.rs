//! Viewers: they come and go, ask for this and that, and not all behave.

use crate::{
    Failure,
    ask::{Answer, Ask, Manner},
    chance::Chance,
    connection::{Connection, Kind},
    object::{OBJECTS, Object, VARIANTS},
    origin::{FAULTS, STALLS},
    tally::{Came, Tally},
};
use http::Method;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep},
};

/// In milliseconds.
const MAX_THINKING: u64 = 2000;
/// Between a slow reader's sips.
const PAUSE: Duration = Duration::from_millis(30);
const HTTP2_AT_A_TIME: usize = 4;

/// What a viewer is like for all its life.
#[derive(Clone, Copy)]
enum Habit {
    /// Asks and reads. By HTTP/2 several things at a time; by narrow connections large objects in sips.
    Asks(Kind),
    /// Never ends its requests.
    Half,
}

/// An object's variant that came, and its entity tag.
type Known = (Object, Option<&'static str>, String);

pub(crate) struct Viewer {
    chance: Chance,
    habit: Habit,
    proxy: SocketAddr,
    tally: Tally,
}

impl Viewer {
    pub(crate) fn new(seed: u64, number: u64, proxy: SocketAddr, tally: Tally) -> Self {
        let habit = match number % 50 {
            0 => Habit::Asks(Kind::Narrow),
            1 => Habit::Half,
            2..=4 => Habit::Asks(Kind::Http2),
            _ => Habit::Asks(Kind::Http1),
        };
        Self {
            chance: Chance::new(seed, number),
            habit,
            proxy,
            tally,
        }
    }

    /// Comes again and again, until then.
    pub(crate) async fn run(mut self, until: Instant) {
        self.think().await;
        while Instant::now() < until {
            let visit = match self.habit {
                Habit::Half => self.half_request().await,
                Habit::Asks(kind) => self.visit(kind, until).await,
            };
            if let Err(error) = visit {
                self.tally.wrong(&error.to_string());
            }
            self.think().await;
        }
    }

    async fn think(&mut self) {
        let thinking = self.chance.below(MAX_THINKING);
        sleep(Duration::from_millis(thinking)).await;
    }

    /// A connection, for one request or several.
    async fn visit(&mut self, kind: Kind, until: Instant) -> Result<(), Failure> {
        let mut connection = Connection::open(self.proxy, kind).await?;
        self.tally.add(|counts| counts.connections += 1);
        let rounds = match self.chance.percent(30) {
            true => 1,
            false => self.chance.below(20),
        };
        let at_a_time = match kind {
            Kind::Http2 => HTTP2_AT_A_TIME,
            Kind::Http1 | Kind::Narrow => 1,
        };
        let mut has = None;
        for _ in 0..rounds {
            if Instant::now() >= until {
                break;
            }
            let asks: Vec<Ask> = (0..at_a_time).map(|_| self.ask(kind, &mut has)).collect();
            let mut stays = true;
            for (ask, answer) in asks.iter().zip(connection.answers(&asks).await) {
                let Answer {
                    came,
                    bytes,
                    is_hit,
                    etag,
                } = answer?;
                self.tally.came(came, bytes, is_hit);
                stays &= came != Came::Left && came != Came::Aborted;
                if came == Came::Whole {
                    has = etag.map(|etag| (ask.object, ask.variant, etag));
                }
            }
            if !stays {
                // Dropped, whatever is still to come.
                return Ok(());
            }
            self.think().await;
        }
        Ok(())
    }

    fn ask(&mut self, kind: Kind, has: &mut Option<Known>) -> Ask {
        let chance = &mut self.chance;
        if chance.percent(20)
            && let Some((object, variant, etag)) = has.take()
        {
            return Ask {
                variant,
                has: Some(etag),
                ..Ask::simple(object)
            };
        }
        let is_slow = kind == Kind::Narrow;
        let object = match is_slow {
            true => any_large(chance),
            false => popular(chance),
        };
        let faults = match object.is_faulty() {
            true => &FAULTS[..],
            false => &STALLS[..],
        };
        let likely = if object.is_faulty() { 40 } else { 1 };
        let size = object.size();
        let range = (!is_slow && chance.percent(10)).then(|| {
            let (from, to) = (chance.below(size + 2), chance.below(size + 2));
            match chance.below(3) {
                0 => format!("bytes={}-{}", from.min(to), from.max(to)),
                1 => format!("bytes={from}-"),
                _ => format!("bytes=-{}", 1 + to),
            }
        });
        Ask {
            object,
            method: match chance.percent(2) && range.is_none() {
                true => Method::HEAD,
                false => Method::GET,
            },
            variant: object.varies().then(|| chance.pick(&VARIANTS)),
            range,
            has: None,
            fault: chance.seldom(likely, faults),
            manner: match chance.percent(3) {
                _ if is_slow => Manner::Slowly(PAUSE),
                true => Manner::InPart,
                false => Manner::AtOnce,
            },
        }
    }

    /// Part of a request, and then nothing more, or the end.
    async fn half_request(&mut self) -> Result<(), Failure> {
        let mut stream = TcpStream::connect(self.proxy).await?;
        self.tally.add(|counts| {
            counts.connections += 1;
            counts.half_requests += 1;
        });
        let path = popular(&mut self.chance).path();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nX-Long: ", self.proxy);
        let sent = self.chance.index(request.len());
        stream.write_all(&request.as_bytes()[..sent]).await?;
        self.think().await;
        Ok(())
    }
}

/// Few of the objects are asked for often.
fn popular(chance: &mut Chance) -> Object {
    let (one, two) = (chance.below(OBJECTS), chance.below(OBJECTS));
    Object::new(one * two / OBJECTS * chance.below(OBJECTS) / OBJECTS)
}

fn any_large(chance: &mut Chance) -> Object {
    loop {
        let object = Object::new(chance.below(OBJECTS));
        if object.size() >= 64 << 10 {
            return object;
        }
    }
}
