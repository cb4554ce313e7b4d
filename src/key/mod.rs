//! The cache key: what names a response.
//!
//! [`KeyPolicy`] says which parts of a request count, and [`KeyPolicy::key`] writes them into a
//! [`CacheKey`]. The encoding is injective (each part is tagged and carries its length), so two requests that
//! differ in a part that counts never share a key; keys are compared in full, the hash only finds them.

mod normalize;
mod policy;
mod vary;

pub use policy::{AcceptEncoding, Cookies, KeyPolicy, Query};
pub use vary::{ListOrder, VariantKey, Vary};

pub(crate) use normalize::{canonical_host, comparable, corrected_host};

use foldhash::quality::RandomState;
use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes that a key holds without the heap; longer keys are rare (the namespace, a host name and a path of
/// some 150 bytes fit).
const INLINE: usize = 184;
const _: () = assert!(INLINE < 256);

/// Seeded anew in each process: which keys collide can't be known from outside.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// A hash for tables of this process.
pub(crate) fn hash_of(value: &impl Hash) -> u64 {
    SEED.hash_one(value)
}

/// The name under which a response is stored, fetched once and invalidated.
///
/// Built by [`KeyPolicy::key`], or read back with [`from_bytes`](Self::from_bytes) by a store that persists.
/// `Display` prints it for logs, one line, with anything unprintable escaped.
#[derive(Clone)]
pub struct CacheKey {
    hash: u64,
    /// Of the bytes in `inline`; over `INLINE` once they are in `heap`. Not an enum: each write would match on it.
    len: usize,
    inline: [u8; INLINE],
    heap: Vec<u8>,
}

impl CacheKey {
    /// Takes the bytes that [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub fn from_bytes(encoded: &[u8]) -> Self {
        let mut key = Self::empty();
        key.bytes(encoded);
        key.finish();
        key
    }

    /// The encoding: the same in every process and version that names the parts alike.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.inline.get(..self.len).unwrap_or(&self.heap)
    }

    /// A hash of the encoding, seeded in this process: for tables, not for names.
    #[must_use]
    pub fn hash64(&self) -> u64 {
        self.hash
    }
}

impl CacheKey {
    /// The authority, path and query that an encoding holds, as they are: mostly the address by which it is invalidated.
    pub(crate) fn address_in(encoded: &[u8]) -> Option<String> {
        let mut address = Vec::new();
        let mut rest = encoded;
        while let Some((tag, value, behind)) = read_part(rest) {
            rest = behind;
            match tag {
                Part::AUTHORITY | Part::PATH => address.extend_from_slice(value),
                Part::QUERY => {
                    address.push(b'?');
                    address.extend_from_slice(value);
                }
                _ => {}
            }
        }
        String::from_utf8(address).ok()
    }
}

/// Blocks of what a key names, as things of their own.
impl CacheKey {
    /// The key of one block of what this names; with a size of 0, of so many of its last bytes.
    pub(crate) fn of_block(&self, size: u64, number: u64) -> Self {
        let mut key = self.clone();
        let value = [size.to_be_bytes(), number.to_be_bytes()].concat();
        key.part(Part::BLOCK, &value);
        key.finish();
        key
    }

    /// Size and number, where this is the key of a block.
    pub(crate) fn block(&self) -> Option<(u64, u64)> {
        let mut rest = self.as_bytes();
        loop {
            let (tag, value, behind) = read_part(rest)?;
            if behind.is_empty() {
                return (tag == Part::BLOCK).then(|| read_block(value))?;
            }
            rest = behind;
        }
    }

    /// The key of what this is a block of.
    pub(crate) fn without_block(&self) -> Option<Self> {
        self.block()?;
        let bytes = self.as_bytes();
        let whole = bytes.get(..bytes.len().checked_sub(BLOCK_PART)?)?;
        Some(Self::from_bytes(whole))
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for CacheKey {}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.as_bytes();
        let mut first = true;
        while let Some((tag, value, behind)) = read_part(rest) {
            rest = behind;
            let separator = match tag {
                Part::AUTHORITY
                | Part::HEADER
                | Part::COOKIE
                | Part::ACCEPT_ENCODING
                | Part::METHOD
                | Part::BLOCK
                    if !first =>
                {
                    " "
                }
                Part::QUERY => "?",
                _ => "",
            };
            let label = match tag {
                Part::ACCEPT_ENCODING => "accept-encoding:",
                Part::COOKIE => "cookie:",
                Part::BLOCK => "block:",
                _ => "",
            };
            write!(f, "{separator}{label}")?;
            match tag {
                Part::COOKIE => write_secret(f, value, b'=')?,
                Part::HEADER if !is_printed(value) => write_secret(f, value, b':')?,
                Part::BLOCK => {
                    let (size, number) = read_block(value).unwrap_or_default();
                    match size {
                        0 => write!(f, "-{number}")?,
                        size => write!(f, "{number}/{size}")?,
                    }
                }
                _ => write!(f, "{}", value.escape_ascii())?,
            }
            first = false;
        }
        Ok(())
    }
}

/// Fields of a key that hold no secret; the values of others are printed as hashes.
fn is_printed(field: &[u8]) -> bool {
    [
        &b"accept"[..],
        b"host:",
        b"origin:",
        b"x-http-method",
        b"x-method-override:",
    ]
    .iter()
    .any(|known| field.starts_with(known))
}

/// A name, and in place of its value a hash: equal ones can be told, and nothing else.
fn write_secret(f: &mut fmt::Formatter<'_>, pair: &[u8], separator: u8) -> fmt::Result {
    let at = pair
        .iter()
        .position(|byte| *byte == separator)
        .unwrap_or(pair.len());
    let (name, value) = pair.split_at(at);
    // 16 bits say whether two differ, and too little to guess by.
    let hash = SEED.hash_one(value) & 0xffff;
    write!(
        f,
        "{}{}#{hash:04x}",
        name.escape_ascii(),
        char::from(separator)
    )
}

/// The tags of the parts of a key. Their order in a key is fixed by [`KeyPolicy::key`].
struct Part;

impl Part {
    const NAMESPACE: u8 = 1;
    const METHOD: u8 = 2;
    const AUTHORITY: u8 = 3;
    const PATH: u8 = 4;
    const QUERY: u8 = 5;
    const HEADER: u8 = 6;
    const COOKIE: u8 = 7;
    const ACCEPT_ENCODING: u8 = 8;
    /// Size and number of a block, always the last one.
    const BLOCK: u8 = 9;
}

/// How many bytes the last part of a block's key has.
const BLOCK_PART: usize = 5 + 16;

fn read_part(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    Some((*tag, value, rest))
}

fn read_block(value: &[u8]) -> Option<(u64, u64)> {
    let (size, number) = value.split_first_chunk::<8>()?;
    let number = number.try_into().ok()?;
    Some((u64::from_be_bytes(*size), u64::from_be_bytes(number)))
}

/// Writing, into the array and onto the heap once that is full.
impl CacheKey {
    #[inline(always)]
    pub(crate) fn empty() -> Self {
        Self {
            hash: 0,
            len: 0,
            inline: [0; INLINE],
            heap: Vec::new(),
        }
    }

    /// The next `length` bytes, to be written.
    #[inline(always)]
    fn room(&mut self, length: usize) -> &mut [u8] {
        let start = self.len;
        let end = start.saturating_add(length);
        if end > INLINE {
            return self.heap_room(length);
        }
        self.len = end;
        &mut self.inline[start..end]
    }

    #[cold]
    fn heap_room(&mut self, length: usize) -> &mut [u8] {
        if self.len <= INLINE {
            self.heap.reserve(2 * INLINE + length);
            self.heap.extend_from_slice(&self.inline[..self.len]);
            self.len = usize::MAX;
        }
        let start = self.heap.len();
        self.heap.resize(start + length, 0);
        &mut self.heap[start..]
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Opens a part; what is written until [`end`](Self::end) is its value.
    fn begin(&mut self, tag: u8) -> usize {
        self.bytes(&[tag, 0, 0, 0, 0]);
        self.as_bytes().len()
    }

    fn end(&mut self, start: usize) {
        // hyper takes no URI over 64 KiB and no header block near 4 GiB.
        let length = u32::try_from(self.as_bytes().len() - start)
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        let written = match self.len <= INLINE {
            true => &mut self.inline[..],
            false => &mut self.heap,
        };
        written[start - 4..start].copy_from_slice(&length);
    }

    #[inline(always)]
    fn part(&mut self, tag: u8, value: &[u8]) {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes();
        let room = self.room(5 + value.len());
        let Some((head, rest)) = room.split_first_chunk_mut::<5>() else {
            return;
        };
        *head = [tag, length[0], length[1], length[2], length[3]];
        rest.copy_from_slice(value);
    }

    /// All that a plain key has, where it fits in the array: one check of the room in place of one for each part.
    #[inline(always)]
    fn plain(
        &mut self,
        prefix: &[u8],
        authority: &[u8],
        path: &[u8],
        query: Option<&[u8]>,
    ) -> bool {
        let length = prefix.len()
            + (5 + authority.len())
            + (5 + path.len())
            + query.map_or(0, |query| 5 + query.len());
        let Some(room) = self.inline.get_mut(..length) else {
            return false;
        };
        // None of the splits panics: `room` is as long as its parts together.
        let (start, room) = room.split_at_mut(prefix.len());
        start.copy_from_slice(prefix);
        let room = put(room, Part::AUTHORITY, authority);
        let room = put(room, Part::PATH, path);
        if let Some(query) = query {
            put(room, Part::QUERY, query);
        }
        self.len = length;
        true
    }

    #[inline]
    fn finish(&mut self) {
        let mut hasher = SEED.build_hasher();
        hasher.write(self.as_bytes());
        self.hash = hasher.finish();
    }
}

/// Writes a part into the front of `room`, which has room for it and is not larger than the array; gives the rest.
#[inline(always)]
fn put<'a>(room: &'a mut [u8], tag: u8, value: &[u8]) -> &'a mut [u8] {
    let (part, rest) = room.split_at_mut(5 + value.len());
    let (head, bytes) = part.split_at_mut(5);
    // The array has fewer than 256 bytes.
    head.copy_from_slice(&[tag, 0, 0, 0, value.len() as u8]);
    bytes.copy_from_slice(value);
    rest
}

/// Keeps the keys of one cache apart from those of others in the same store.
///
/// [`unique`](Self::unique) is for stores that end with the process; a store that persists needs a
/// [`named`](Self::named) one, so that the next process finds what this one stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace {
    name: Arc<str>,
    /// Its part of a key, and that of `GET`.
    get: Arc<[u8]>,
}

impl Namespace {
    /// A name that no other namespace of this process has.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // `#` keeps it apart from names given by hand, which may not start with one.
        Self::new(&format!("#{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// A name given by the application.
    ///
    /// # Errors
    ///
    /// When it is empty, longer than 64 bytes or starts with `#`.
    pub fn named(name: &str) -> Result<Self, crate::error::ConfigError> {
        if name.is_empty() || name.len() > 64 || name.starts_with('#') {
            return Err(crate::error::ConfigError::new(
                "namespace",
                name,
                "1 to 64 bytes, not starting with '#'",
            ));
        }
        Ok(Self::new(name))
    }

    fn as_bytes(&self) -> &[u8] {
        self.name.as_bytes()
    }

    fn new(name: &str) -> Self {
        let mut get = CacheKey::empty();
        get.part(Part::NAMESPACE, name.as_bytes());
        get.part(Part::METHOD, b"GET");
        Self {
            name: name.into(),
            get: get.as_bytes().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_move_to_the_heap_and_stay_the_same_key() {
        for length in [0, 1, INLINE - 1, INLINE, INLINE + 1, 5000] {
            let bytes = vec![b'x'; length];
            let key = CacheKey::from_bytes(&bytes);
            assert_eq!(key.as_bytes(), bytes);
            assert_eq!(key, CacheKey::from_bytes(&bytes));
        }
    }

    #[test]
    fn a_part_may_grow_over_the_edge() {
        let mut writer = CacheKey::empty();
        let start = writer.begin(Part::PATH);
        for _ in 0..INLINE {
            writer.bytes(b"ab");
        }
        writer.end(start);
        writer.finish();
        let key = writer;
        let (tag, value, rest) = read_part(key.as_bytes()).unwrap();
        assert_eq!((tag, value.len(), rest.len()), (Part::PATH, 2 * INLINE, 0));
    }

    #[test]
    fn parts_around_the_edge_are_read_back() {
        for length in INLINE - 30..INLINE + 5 {
            let path = vec![b'p'; length];
            let mut key = CacheKey::empty();
            key.part(Part::PATH, &path);
            key.part(Part::QUERY, b"");
            let start = key.begin(Part::COOKIE);
            key.bytes(b"a=");
            key.bytes(b"b");
            key.end(start);
            key.part(Part::ACCEPT_ENCODING, b"gzip");
            key.finish();
            let (tag, value, rest) = read_part(key.as_bytes()).unwrap();
            assert_eq!((tag, value), (Part::PATH, &path[..]), "{length}");
            let (tag, value, rest) = read_part(rest).unwrap();
            assert_eq!((tag, value), (Part::QUERY, &b""[..]), "{length}");
            let (tag, value, rest) = read_part(rest).unwrap();
            assert_eq!((tag, value), (Part::COOKIE, &b"a=b"[..]), "{length}");
            let (tag, value, rest) = read_part(rest).unwrap();
            assert_eq!((tag, value), (Part::ACCEPT_ENCODING, &b"gzip"[..]));
            assert!(rest.is_empty());
            assert_eq!(CacheKey::from_bytes(key.as_bytes()), key);
            assert_eq!(key.clone(), key);
        }
    }

    #[test]
    fn the_key_of_a_block_is_that_of_the_whole_and_one_part_more() {
        let whole = |path: &[u8]| {
            let mut key = CacheKey::empty();
            key.part(Part::PATH, path);
            key.finish();
            key
        };
        for length in [0, 100, INLINE - 30, INLINE - 5, INLINE, 3000] {
            let key = whole(&vec![b'p'; length]);
            assert_eq!((key.block(), key.without_block()), (None, None));
            let block = key.of_block(1 << 20, 7);
            assert_eq!(block.as_bytes().len(), key.as_bytes().len() + BLOCK_PART);
            assert_eq!(block.block(), Some((1 << 20, 7)));
            assert_eq!(block.without_block(), Some(key.clone()));
            assert_eq!(CacheKey::from_bytes(block.as_bytes()), block);
            assert!(block.to_string().ends_with(" block:7/1048576"), "{block}");
            for other in [key.of_block(1 << 20, 8), key.of_block(2 << 20, 7), key] {
                assert_ne!(block, other);
            }
        }
        // A path that ends as a block's key does is no block.
        let like = whole(whole(b"/a").of_block(4096, 1).as_bytes());
        assert_eq!(like.block(), None);
        assert_eq!(CacheKey::empty().block(), None);
    }

    #[test]
    fn namespaces_are_checked_and_unique() {
        assert_ne!(Namespace::unique(), Namespace::unique());
        assert!(Namespace::named("edge").is_ok());
        let error = Namespace::named("#1").unwrap_err().to_string();
        assert!(
            error.contains("namespace") && error.contains("#1"),
            "{error}"
        );
    }
}
