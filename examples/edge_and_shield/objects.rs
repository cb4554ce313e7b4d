//! The site's objects: their names, what is in them, and who asked for each.

use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What each object is long, at least.
const SIZE: usize = 8 << 10;

/// The objects, by their numbers from 0; their names start with 1.
#[derive(Debug)]
pub(crate) struct Objects(Box<[Object]>);

#[derive(Debug)]
struct Object {
    /// By a viewer, of any edge.
    asked: AtomicBool,
    /// How often it was fetched from the origin: by an edge itself, by the first shield, by the second, and so on.
    fetches: Box<[AtomicU64]>,
}

impl Objects {
    pub(crate) fn new(many: usize, shields: usize) -> Self {
        let object = |_| Object {
            asked: AtomicBool::new(false),
            fetches: (0..=shields).map(|_| AtomicU64::new(0)).collect(),
        };
        Self((0..many).map(object).collect())
    }

    /// The number of the object of this path and query.
    pub(crate) fn named(&self, path_and_query: &str) -> Option<usize> {
        let digits = path_and_query.strip_prefix("/objects/")?;
        let number: usize = digits.parse().ok()?;
        // One object, one name.
        let is_plain = !digits.starts_with(['0', '+']);
        (is_plain && number <= self.0.len()).then(|| number.saturating_sub(1))
    }

    pub(crate) fn asked(&self, object: usize) {
        if let Some(object) = self.0.get(object) {
            object.asked.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn fetched(&self, object: usize, shield: usize) {
        let object = self.0.get(object);
        if let Some(count) = object.and_then(|object| object.fetches.get(shield)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were asked for.
    pub(crate) fn count_asked(&self) -> u64 {
        let asked = self.0.iter();
        let asked = asked.map(|object| u64::from(object.asked.load(Ordering::Relaxed)));
        asked.sum()
    }

    /// The fetches of each, by whom.
    pub(crate) fn fetches(&self) -> Vec<Vec<u64>> {
        let of_one = |object: &Object| {
            let counts = object.fetches.iter();
            counts.map(|count| count.load(Ordering::Relaxed)).collect()
        };
        self.0.iter().map(of_one).collect()
    }
}

/// The path of an object.
pub(crate) fn path(object: usize) -> String {
    format!("/objects/{}", object.saturating_add(1))
}

/// What is in it.
pub(crate) fn content(object: usize) -> Bytes {
    let line = format!("This is object {}.\n", object.saturating_add(1));
    line.repeat(SIZE.div_ceil(line.len())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_one_name() {
        let objects = Objects::new(12, 0);
        for object in 0..12 {
            assert_eq!(objects.named(&path(object)), Some(object));
        }
        for name in [
            "/",
            "/objects/",
            "/objects/0",
            "/objects/13",
            "/objects/01",
            "/objects/+1",
            "/objects/-1",
            "/objects/1?",
            "/objects/1?a",
            "/objects/1/",
            "/objects/99999999999999999999999",
        ] {
            assert_eq!(objects.named(name), None, "{name}");
        }
    }

    #[test]
    fn who_asked_for_what_is_counted() {
        let objects = Objects::new(3, 1);
        objects.asked(1);
        objects.asked(1);
        objects.asked(99);
        objects.fetched(1, 0);
        objects.fetched(1, 1);
        objects.fetched(2, 1);
        objects.fetched(2, 99);
        assert_eq!(objects.count_asked(), 1);
        assert_eq!(objects.fetches(), [[0, 0], [1, 1], [0, 1]]);
    }

    #[test]
    fn contents_differ() {
        assert!(content(0).starts_with(b"This is object 1.\nThis is object 1.\n"));
        assert_ne!(content(1), content(11));
        assert!(content(9_999).len() >= SIZE);
    }
}
