//! What a seed means: a stack of layers, resources, an origin's temper, viewers, and what else befalls them.

use super::chance::Chance;
use frontage::{CachePolicy, RangeMiss};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Cache,
    /// A cache below a `CdnLoopLayer`.
    Loop,
    Blocks,
    Coalesce,
    /// Two caches in one process.
    Shield,
    /// Two caches, each below a `CdnLoopLayer`, with connections between them.
    RemoteShield,
    /// Blocks over a cache.
    BlocksOverShield,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Rfc9111,
    Default,
    /// With a minimum TTL of 0.
    CloudFront,
    /// With a minimum TTL of a second, by which private answers are shared.
    CachingOptimized,
}

/// How the origin is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over connections, with its own bytes.
    Pipes,
    /// A service right below the layers.
    Service,
    /// A service below an `OriginService`.
    Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Public,
    Private,
    NoStore,
    SetCookie,
    /// `Vary: *`.
    VaryAny,
    /// To be confirmed at each use.
    NoCache,
}

/// What a resource is like.
#[derive(Clone, Debug)]
pub(crate) struct Nature {
    pub(crate) kind: Kind,
    /// Seconds.
    pub(crate) lifetime: u64,
    pub(crate) is_shared_age: bool,
    pub(crate) says_public: bool,
    pub(crate) while_revalidate: Option<u64>,
    pub(crate) if_error: Option<u64>,
    pub(crate) must_revalidate: bool,
    /// It varies by `Accept-Language`.
    pub(crate) varies: bool,
    pub(crate) etag: bool,
    pub(crate) last_modified: bool,
    pub(crate) ranges: bool,
    pub(crate) says_length: bool,
    pub(crate) age: Option<u64>,
    pub(crate) has_date: bool,
    pub(crate) length: usize,
}

/// Where a viewer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    Never,
    /// After half of the request.
    HalfAsked,
    /// It sends half of the request, and then nothing.
    Stuck,
    /// So many milliseconds after it asked.
    After(u64),
    /// After so many bytes, head and all.
    AtByte(usize),
}

/// How a viewer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Fast,
    /// So many bytes every so many milliseconds.
    Slowly(usize, u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Milliseconds after the one before.
    pub(crate) pause: u64,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) leaves: Leaves,
    pub(crate) reads: Reads,
}

#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    /// Milliseconds from the beginning.
    pub(crate) comes: u64,
    pub(crate) asks: Vec<Ask>,
}

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// The wall clock steps, by so many milliseconds.
    Step(i64),
    /// A resource has a new version.
    Change(String),
    /// `None`: everything.
    Invalidate(Option<String>),
    InvalidateSoftly(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Nothing goes wrong, and all may be shared for ever: once means once.
    pub(crate) is_calm: bool,
    pub(crate) stack: Stack,
    pub(crate) profile: Profile,
    pub(crate) range_miss: RangeMiss,
    pub(crate) way: Way,
    /// How often the origin does something odd, of a hundred requests.
    pub(crate) faults: u64,
    pub(crate) capacity: u64,
    pub(crate) max_object: u64,
    pub(crate) window: u64,
    pub(crate) max_fetches: usize,
    pub(crate) sheds: bool,
    pub(crate) buffer: usize,
    pub(crate) natures: Vec<Nature>,
    pub(crate) viewers: Vec<Viewer>,
    pub(crate) deeds: Vec<(u64, Deed)>,
}

pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const COLLAPSE_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const LAG_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(8);
pub(crate) const BLOCK: u64 = 4096;
/// How long a run goes on in which things still begin, in milliseconds.
const HORIZON: u64 = 400_000;

const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let chance = &mut Chance::new(seed, 1);
        let is_calm = chance.percent(12);
        let stack = chance.pick(&[
            Stack::Cache,
            Stack::Cache,
            Stack::Cache,
            Stack::Loop,
            Stack::Blocks,
            Stack::Blocks,
            Stack::Coalesce,
            Stack::Shield,
            Stack::RemoteShield,
            Stack::BlocksOverShield,
        ]);
        let profile = chance.pick(&[
            Profile::Rfc9111,
            Profile::Rfc9111,
            Profile::Default,
            Profile::Default,
            Profile::Default,
            Profile::CloudFront,
            Profile::CachingOptimized,
        ]);
        let profile = match stack {
            Stack::Coalesce => Profile::Default,
            _ => profile,
        };
        let way = chance.pick(&[Way::Pipes, Way::Pipes, Way::Service, Way::Origin]);
        let (capacity, max_object) = match is_calm {
            true => (4 << 20, 512 << 10),
            false => chance.pick(&[
                (24 << 10, 8 << 10),
                (64 << 10, 16 << 10),
                (4 << 20, 512 << 10),
                (4 << 20, 512 << 10),
            ]),
        };
        let resources = chance.pick(&[1, 1, 2, 3, 9]);
        let natures = (0..resources)
            .map(|_| Nature::of(chance, is_calm))
            .collect();
        let moments = 2 + chance.below(4);
        let moments: Vec<u64> = (0..moments).map(|_| chance.below(HORIZON)).collect();
        let viewers = 3 + chance.below(8);
        let ranges = match is_calm {
            true => 0,
            false => chance.pick(&[10, 10, 75]),
        };
        let viewers = (0..viewers)
            .map(|_| Viewer::of(chance, is_calm, ranges, resources, &moments))
            .collect();
        let deeds = match is_calm {
            true => Vec::new(),
            false => (0..chance.below(6))
                .map(|_| {
                    let at = chance.pick(&moments) + chance.pick(&[0, 0, 1, 2, 5, 50, 3000]);
                    (at, Deed::of(chance, resources))
                })
                .collect(),
        };
        let mut plan = Self {
            seed,
            is_calm,
            stack,
            profile,
            range_miss: chance.pick(&[
                RangeMiss::Forward,
                RangeMiss::Forward,
                RangeMiss::FetchWhole,
            ]),
            way,
            faults: chance.pick(&[0, 10, 30, 60]),
            capacity,
            max_object,
            window: chance.pick(&[64 << 10, 4 << 10, 1 << 10]),
            max_fetches: chance.pick(&[1024, 1024, 1024, 2, 1]),
            sheds: chance.percent(50),
            buffer: chance.pick(&[16 << 10, 4 << 10, 512]),
            natures,
            viewers,
            deeds,
        };
        if is_calm {
            (plan.faults, plan.max_fetches) = (0, 1024);
        }
        plan
    }

    /// One who asks for all that is stored, in the end.
    pub(crate) fn last(&self) -> Viewer {
        let ask = |path, language: Option<&str>| {
            let asks = ("cache-control", "only-if-cached, max-stale".to_owned());
            let language = language.map(|value| ("accept-language", value.to_owned()));
            Ask {
                pause: 0,
                method: "GET",
                path: format!("/{path}"),
                fields: language.into_iter().chain([asks]).collect(),
                leaves: Leaves::Never,
                reads: Reads::Fast,
            }
        };
        let paths = 0..self.natures.len();
        let asks = paths
            .flat_map(|path| [None, Some("en"), Some("de")].map(|language| ask(path, language)));
        Viewer {
            comes: 0,
            asks: asks.filter(|_| !self.is_calm).collect(),
        }
    }

    pub(crate) fn policy(&self) -> CachePolicy {
        let seconds = Duration::from_secs;
        let policy = match self.profile {
            Profile::Rfc9111 => CachePolicy::rfc9111(),
            Profile::Default => CachePolicy::default(),
            Profile::CachingOptimized => CachePolicy::caching_optimized(),
            Profile::CloudFront => CachePolicy::caching_optimized()
                .ttl(seconds(0), seconds(20), seconds(86_400))
                .unwrap(),
        };
        policy.on_range_miss(self.range_miss)
    }

    /// The resource of a path such as `/3`.
    pub(crate) fn nature(&self, path: &str) -> &Nature {
        let number: usize = path.trim_start_matches('/').parse().unwrap();
        &self.natures[number]
    }
}

impl Profile {
    /// Whether a request says who asks: its answer may be for that one alone, whatever it says.
    pub(crate) fn sees_credentials(self, request: &http::HeaderMap) -> bool {
        let has = |name| request.contains_key(name);
        match self {
            Self::Rfc9111 => has("authorization"),
            Self::Default => has("authorization") || has("cookie"),
            Self::CloudFront | Self::CachingOptimized => false,
        }
    }

    pub(crate) fn is_cloudfront(self) -> bool {
        matches!(self, Self::CloudFront | Self::CachingOptimized)
    }
}

impl Nature {
    fn of(chance: &mut Chance, is_calm: bool) -> Self {
        let length = match chance.below(6) {
            0 => chance.below(3),
            1..=3 => chance.below(3000),
            _ => chance.below(14_000),
        };
        let nature = Self {
            kind: chance.pick(&[
                Kind::Public,
                Kind::Public,
                Kind::Public,
                Kind::Public,
                Kind::Private,
                Kind::NoStore,
                Kind::SetCookie,
                Kind::VaryAny,
                Kind::NoCache,
            ]),
            lifetime: chance.pick(&[0, 1, 10, 60, 60, 3600]),
            is_shared_age: chance.percent(15),
            says_public: chance.percent(30),
            while_revalidate: chance.seldom(25, &[5, 60]),
            if_error: chance.seldom(25, &[5, 600]),
            must_revalidate: chance.percent(15),
            varies: chance.percent(25),
            etag: chance.percent(70),
            last_modified: chance.percent(30),
            ranges: chance.percent(80),
            says_length: chance.percent(70),
            age: chance.seldom(15, &[1, 30, 100]),
            has_date: chance.percent(80),
            length: usize::try_from(length).unwrap(),
        };
        match is_calm {
            true => Self {
                kind: Kind::Public,
                lifetime: 86_400,
                age: None,
                // Blocks have a version, or are none.
                etag: true,
                ranges: true,
                ..nature
            },
            false => nature,
        }
    }
}

impl Viewer {
    fn of(
        chance: &mut Chance,
        is_calm: bool,
        ranges: u64,
        resources: u64,
        moments: &[u64],
    ) -> Self {
        let asks = 1 + chance.below(4);
        Self {
            comes: chance.pick(moments) + chance.pick(&[0, 0, 0, 1, 2, 10, 500, 4000]),
            asks: (0..asks)
                .map(|_| Ask::of(chance, is_calm, ranges, resources))
                .collect(),
        }
    }
}

impl Ask {
    fn of(chance: &mut Chance, is_calm: bool, ranges: u64, resources: u64) -> Self {
        let mut fields = Vec::new();
        let mut add = |name, value: Option<&str>| {
            fields.extend(value.map(|value: &str| (name, value.to_owned())));
        };
        add(
            "accept-language",
            chance.pick(&[None, None, Some("en"), Some("de")]),
        );
        let mut method = "GET";
        if !is_calm {
            method = chance.pick(&[
                "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD",
                "POST",
            ]);
            add("cookie", chance.seldom(8, &["id=1"]));
            add("authorization", chance.seldom(8, &["Bearer x"]));
            add(
                "cache-control",
                chance.seldom(
                    12,
                    &[
                        "no-cache",
                        "no-store",
                        "max-age=0",
                        "max-age=5",
                        "max-stale",
                        "max-stale=20",
                        "min-fresh=5",
                        "only-if-cached",
                        "stale-if-error=30",
                    ],
                ),
            );
            add(
                "range",
                chance.seldom(
                    ranges,
                    &[
                        "bytes=0-99",
                        "bytes=0-",
                        "bytes=100-",
                        "bytes=-50",
                        "bytes=1000-6000",
                        "bytes=4096-8191",
                        "bytes=5000-5010",
                        "bytes=0-9,20-29",
                        "bytes=900000-",
                    ],
                ),
            );
            let tag = format!(
                "\"{}{}\"",
                chance.pick(&["-", "-", "en"]),
                chance.pick(&[1, 1, 2])
            );
            add("if-none-match", chance.percent(10).then_some(&*tag));
            add("if-range", chance.percent(8).then_some(&*tag));
            add(
                "if-modified-since",
                chance
                    .percent(5)
                    .then(|| super::origin::modified(1))
                    .as_deref(),
            );
            add("if-match", chance.percent(2).then_some(&*tag));
        }
        Self {
            pause: chance.pick(&[0, 0, 1, 20, 1000, 11_000, 70_000]),
            method,
            path: format!("/{}", chance.below(resources)),
            fields,
            leaves: match chance.below(14) {
                0 => Leaves::After(chance.pick(&[0, 1, 100, 3000])),
                1 => Leaves::AtByte(chance.pick(&[1, 100, 400, 2000])),
                2 if !is_calm => Leaves::HalfAsked,
                3 if !is_calm => Leaves::Stuck,
                _ => Leaves::Never,
            },
            reads: chance.pick(&[
                Reads::Fast,
                Reads::Fast,
                Reads::Fast,
                Reads::Fast,
                Reads::Slowly(1, 1000),
                Reads::Slowly(500, 10),
                Reads::Slowly(200, 2000),
            ]),
        }
    }
}

impl Deed {
    fn of(chance: &mut Chance, resources: u64) -> Self {
        let path = format!("/{}", chance.below(resources));
        match chance.below(10) {
            0..=3 => Self::Step(chance.pick(&[
                SECOND,
                30 * SECOND,
                3600 * SECOND,
                4 * DAY,
                -SECOND,
                -30 * SECOND,
                -3600 * SECOND,
                -4 * DAY,
            ])),
            4..=6 => Self::Change(path),
            7 => Self::InvalidateSoftly(path),
            8 => Self::Invalidate(None),
            _ => Self::Invalidate(Some(path)),
        }
    }
}
