//! The traces: which object each request asks for, and how large the objects are. The same on each run.

/// A trace.
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    /// Object of each request.
    pub(crate) requests: Vec<u32>,
    /// Body of each object in bytes.
    pub(crate) sizes: Vec<u32>,
}

impl Trace {
    /// The bytes of all objects that are asked for, each with what it costs beside its body.
    pub(crate) fn footprint(&self, overhead: u64) -> u64 {
        let mut seen = vec![false; self.sizes.len()];
        for object in &self.requests {
            seen[*object as usize] = true;
        }
        let asked = self.sizes.iter().zip(seen).filter(|(_, seen)| *seen);
        asked.map(|(size, _)| u64::from(*size) + overhead).sum()
    }
}

const REQUESTS: usize = 500_000;
const OBJECTS: usize = 50_000;
const SMALLEST: f64 = 200.0;
const LARGEST: f64 = 8_388_608.0;

/// How an object's size goes with its rank.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sizes {
    Independent,
    /// The popular ones are small: ranked by size, then shuffled over a tenth of the ranks.
    PopularSmall,
}

pub(crate) fn all() -> Vec<Trace> {
    use Sizes::{Independent, PopularSmall};
    vec![
        zipf("zipf 0.8", 0.8, Independent),
        zipf("zipf 1.0", 1.0, Independent),
        zipf("zipf 1.2", 1.2, Independent),
        zipf("zipf 1.0, popular small", 1.0, PopularSmall),
        scans("zipf 1.0, 10 % scans", 0.1),
        scans("zipf 1.0, 30 % scans", 0.3),
        drift(),
        births(),
        looping(),
        loop_among_zipf(),
        cdn("cdn", Independent),
        cdn("cdn, popular small", PopularSmall),
    ]
}

fn zipf(name: &'static str, exponent: f64, kind: Sizes) -> Trace {
    let mut random = Random::new(name);
    let ranks = Zipf::new(OBJECTS, exponent);
    Trace {
        name,
        requests: (0..REQUESTS).map(|_| ranks.draw(&mut random)).collect(),
        sizes: sizes(OBJECTS, kind, &mut random),
    }
}

/// Runs of 500 to 5,000 objects that are never asked for again make up a share of the requests.
fn scans(name: &'static str, share: f64) -> Trace {
    let mut random = Random::new(name);
    let ranks = Zipf::new(OBJECTS, 1.0);
    let mut objects = OBJECTS;
    let mut requests = Vec::with_capacity(REQUESTS);
    let mut scanned = 0.0;
    while requests.len() < REQUESTS {
        if scanned < requests.len() as f64 * share {
            let run = 500 + random.below(4500);
            scanned += run as f64;
            requests.extend((objects..objects + run).map(|object| object as u32));
            objects += run;
        } else {
            requests.push(ranks.draw(&mut random));
        }
    }
    Trace {
        name,
        requests,
        sizes: sizes(objects, Sizes::Independent, &mut random),
    }
}

/// Each 100 requests, one of the 500 most popular objects changes places with any other: half of them are others after 35,000.
fn drift() -> Trace {
    let name = "zipf 1.0, drift";
    let mut random = Random::new(name);
    let ranks = Zipf::new(OBJECTS, 1.0);
    let mut objects: Vec<u32> = (0..OBJECTS as u32).collect();
    let mut requests = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        if number % 100 == 0 {
            objects.swap(random.below(500), random.below(OBJECTS));
        }
        requests.push(objects[ranks.draw(&mut random) as usize]);
    }
    Trace {
        name,
        requests,
        sizes: sizes(OBJECTS, Sizes::Independent, &mut random),
    }
}

/// News: every tenth request a new object is there, and an object is the less asked for the more came after it.
fn births() -> Trace {
    let name = "births";
    let mut random = Random::new(name);
    let ages = Zipf::new(20_000, 1.0);
    let requests =
        (0..REQUESTS).map(|number| (20_000 + number / 10) as u32 - ages.draw(&mut random));
    Trace {
        name,
        requests: requests.collect(),
        sizes: sizes(20_001 + REQUESTS / 10, Sizes::Independent, &mut random),
    }
}

/// 10,000 objects over and over, in the same order.
fn looping() -> Trace {
    let name = "loop";
    let mut random = Random::new(name);
    Trace {
        name,
        requests: (0..200_000).map(|number| number % 10_000).collect(),
        sizes: sizes(10_000, Sizes::Independent, &mut random),
    }
}

/// After ARC's workloads: every third request goes round a loop of 10,000, between draws from Zipf's curve.
fn loop_among_zipf() -> Trace {
    let name = "zipf 1.0 and a loop";
    let mut random = Random::new(name);
    let ranks = Zipf::new(OBJECTS, 1.0);
    let requests = (0..REQUESTS as u32).map(|number| {
        if number % 3 == 0 {
            OBJECTS as u32 + number / 3 % 10_000
        } else {
            ranks.draw(&mut random)
        }
    });
    Trace {
        name,
        requests: requests.collect(),
        sizes: sizes(OBJECTS + 10_000, Sizes::Independent, &mut random),
    }
}

/// A content delivery network's edge: of the objects, 70 % are asked for once; the others follow Zipf's curve with 0.9 and drift.
fn cdn(name: &'static str, kind: Sizes) -> Trace {
    let mut random = Random::new(name);
    let core = 30_000;
    let ranks = Zipf::new(core, 0.9);
    let mut objects: Vec<u32> = (0..core as u32).collect();
    let mut next = core as u32;
    let mut requests = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        if number % 200 == 0 {
            objects.swap(random.below(core / 100), random.below(core));
        }
        if random.unit() < 0.14 {
            requests.push(next);
            next += 1;
        } else {
            requests.push(objects[ranks.draw(&mut random) as usize]);
        }
    }
    let mut all = sizes(core, kind, &mut random);
    all.extend(sizes(next as usize - core, Sizes::Independent, &mut random));
    Trace {
        name,
        requests,
        sizes: all,
    }
}

/// After SURGE (Barford and Crovella, 1998): 93 % lognormal (mu 9.357, sigma 1.318), the tail Pareto's (alpha 1.1 from 133 kB).
fn sizes(count: usize, kind: Sizes, random: &mut Random) -> Vec<u32> {
    let draw = |random: &mut Random| {
        let size = if random.unit() < 0.93 {
            (9.357 + 1.318 * random.normal()).exp()
        } else {
            133_000.0 * random.unit().powf(-1.0 / 1.1)
        };
        size.clamp(SMALLEST, LARGEST) as u32
    };
    let mut sizes: Vec<u32> = (0..count).map(|_| draw(random)).collect();
    if kind == Sizes::PopularSmall {
        sizes.sort_unstable();
        for at in 0..count {
            let reach = count / 10;
            let low = at.saturating_sub(reach / 2);
            sizes.swap(at, (low + random.below(reach)).min(count - 1));
        }
    }
    sizes
}

/// Zipf's curve over ranks from 0.
struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self {
            sums: sums.collect(),
        }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let total = self.sums.last().copied().unwrap_or_default();
        let at = random.unit() * total;
        self.sums.partition_point(|sum| *sum < at) as u32
    }
}

/// SplitMix64, seeded by a name.
struct Random(u64);

impl Random {
    fn new(name: &str) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}
