use super::*;
use crate::store::{Extent, Partial, Version};
use http::{HeaderValue, header};
use std::time::Duration;
use tokio_test::{assert_ready, task::spawn};

const WINDOW: Window = Window {
    bytes: 1024,
    lag_timeout: Duration::from_secs(1),
};

fn head(announced: Option<u64>) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let Some(length) = announced {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Head::sample(headers)
}

fn key(number: usize) -> CacheKey {
    CacheKey::from_bytes(format!("key {number}").as_bytes())
}

fn write(writer: &mut MemoryWriter, chunk: &Bytes) -> Poll<Written> {
    spawn(())
        .enter(|cx, _| writer.poll_write(cx, chunk))
        .map(Result::unwrap)
}

fn commit(writer: MemoryWriter) -> Option<Object> {
    commit_with(writer, None)
}

fn commit_with(mut writer: MemoryWriter, trailers: Option<&HeaderMap>) -> Option<Object> {
    assert_ready!(spawn(()).enter(|cx, _| writer.poll_commit(cx, trailers))).unwrap()
}

fn get(store: &MemoryStore, key: &CacheKey) -> Option<Object> {
    match tokio_test::block_on(store.get(key, Part::Index)).unwrap() {
        Some(Record::Object(object)) => Some(object),
        _ => None,
    }
}

/// Stores `chunks`; whether they were kept.
fn put(store: &MemoryStore, number: usize, chunks: &[Bytes]) -> bool {
    let mut writer = store
        .writer(&key(number), Part::Index, head(None), WINDOW)
        .unwrap();
    for chunk in chunks {
        if write(&mut writer, chunk) != Poll::Ready(Written::Kept) {
            return false;
        }
    }
    commit(writer).is_some()
}

fn bytes_of(object: &Object) -> Vec<u8> {
    let BodySource::Memory(chunks) = object.body() else {
        panic!()
    };
    chunks.pieces().concat()
}

#[test]
fn what_is_committed_is_found_and_what_is_dropped_is_not() {
    let store = MemoryStore::new(1 << 20);
    assert!(put(
        &store,
        1,
        &[Bytes::from_static(b"hello"), Bytes::from_static(b" world")]
    ));
    assert_eq!(bytes_of(&get(&store, &key(1)).unwrap()), b"hello world");
    let mut writer = store
        .writer(&key(2), Part::Index, head(None), WINDOW)
        .unwrap();
    assert_eq!(
        write(&mut writer, &Bytes::from_static(b"x")),
        Poll::Ready(Written::Kept)
    );
    assert!(get(&store, &key(2)).is_none(), "not before its commit");
    drop(writer);
    assert!(get(&store, &key(2)).is_none());
    let usage = store.usage();
    assert_eq!((usage.entries, usage.hits, usage.misses), (1, 1, 2));
}

#[test]
fn a_body_that_dribbles_in_is_joined() {
    let store = MemoryStore::new(1 << 20);
    let whole: Vec<u8> = (0..200_u8).cycle().take(200_000).collect();
    let dribble: Vec<Bytes> = whole.chunks(7).map(Bytes::copy_from_slice).collect();
    let roomy = MemoryStore::builder(64 << 20).build().unwrap();
    assert!(put(&roomy, 1, &dribble));
    let object = get(&roomy, &key(1)).unwrap();
    assert_eq!(bytes_of(&object), whole);
    let BodySource::Memory(chunks) = object.body() else {
        panic!()
    };
    assert_eq!(chunks.pieces().len(), 1);
    assert!(roomy.usage().used < 210_000, "{:?}", roomy.usage());
    // A large one in pieces of a mebibyte, unless its own are large enough.
    let large: Vec<Bytes> = (0..5000).map(|_| Bytes::from(vec![7; 1000])).collect();
    assert!(put(&roomy, 2, &large));
    let pieces: Vec<Bytes> = (0..50).map(|_| Bytes::from(vec![7; 100_000])).collect();
    assert!(put(&roomy, 3, &pieces));
    let pieces_of = |number| match get(&roomy, &key(number)).unwrap().body() {
        BodySource::Memory(chunks) => (chunks.length(), chunks.pieces().len()),
        BodySource::Elsewhere(_) => panic!(),
    };
    assert_eq!(
        (pieces_of(2), pieces_of(3)),
        ((5_000_000, 5), (5_000_000, 50))
    );
    // Each tiny chunk costs more than its bytes while it comes: a small store refuses in time.
    assert!(!put(&store, 1, &dribble));
    assert_eq!(store.usage().used, 0);
}

#[test]
fn too_large_is_known_at_the_head_or_on_the_way() {
    let store = MemoryStore::new(1 << 20);
    assert_eq!(store.max_object(), 128 << 10);
    let refused = store
        .writer(&key(1), Part::Index, head(Some(200 << 10)), WINDOW)
        .err();
    assert_eq!(refused, Some(WriteRefused::TooLarge));
    let mut writer = store
        .writer(&key(1), Part::Index, head(None), WINDOW)
        .unwrap();
    let reader = writer.opener().unwrap().open().unwrap();
    let chunk = Bytes::from(vec![0; 100 << 10]);
    assert_eq!(write(&mut writer, &chunk), Poll::Ready(Written::Kept));
    assert!(
        write(&mut writer, &chunk).is_pending(),
        "passing, and the reader is behind"
    );
    drop(reader);
    assert_eq!(write(&mut writer, &chunk), Poll::Ready(Written::Gone));
    assert!(commit(writer).is_none());
    assert_eq!(store.usage().used, 0);
}

#[test]
fn the_largest_object_is_a_share_of_the_cap() {
    for capacity in [1 << 20, 64 << 20, 1 << 30, 16_u64 << 30] {
        let store = MemoryStore::new(capacity);
        assert_eq!(store.max_object(), (capacity / 8).min(64 << 20));
        let shards = store.0.shards.len() as u64;
        assert!(shards == 1 || capacity / shards >= 8 * store.max_object());
    }
    assert!(MemoryStore::builder(100).max_object(0).build().is_err());
    let error = MemoryStore::builder(100)
        .max_object(51)
        .build()
        .unwrap_err();
    assert!(
        error.to_string().contains("max_object is \"51\""),
        "{error}"
    );
}

#[test]
fn fifty_objects_of_one_mebibyte_all_stay_in_sixty_four() {
    let store = MemoryStore::new(64 << 20);
    let chunks: Vec<Bytes> = (0..16).map(|_| Bytes::from(vec![7; 64 << 10])).collect();
    for number in 0..50 {
        assert!(put(&store, number, &chunks));
    }
    assert!((0..50).all(|number| get(&store, &key(number)).is_some()));
    assert_eq!(store.usage().evictions, 0);
}

#[test]
fn a_full_store_keeps_a_large_object_at_its_second_fetch_and_one_with_room_at_its_first() {
    let store = MemoryStore::new(1 << 20);
    let fetch = |number: usize, length: usize| {
        let announced = Some(length as u64);
        let writer = store.writer(&key(number), Part::Index, head(announced), WINDOW);
        let mut writer = writer.unwrap();
        let kept = writer.keeps();
        if kept {
            let chunk = Bytes::from(vec![7; length]);
            assert_eq!(write(&mut writer, &chunk), Poll::Ready(Written::Kept));
            assert!(commit(writer).is_some());
        }
        kept
    };
    assert!(fetch(0, 100 << 10));
    let small = (1..).take_while(|number| fetch(*number, 2000) && store.usage().evictions == 0);
    assert!(small.count() > 100);
    assert!(!fetch(9001, 100 << 10));
    assert!(fetch(9002, 2000), "it is small");
    assert!(fetch(9001, 100 << 10));
    assert!(get(&store, &key(9001)).is_some());
    assert!(!fetch(9003, 100 << 10), "another");
    assert!(fetch(9001, 120 << 10), "it replaces one that is there");
}

#[test]
fn what_is_replaced_or_removed_was_not_evicted() {
    let store = MemoryStore::new(1 << 20);
    let chunk = [Bytes::from(vec![7; 100 << 10])];
    for _ in 0..3 {
        assert!(put(&store, 1, &chunk));
    }
    let object = get(&store, &key(1)).unwrap();
    let confirmed = object.with_head(head(None));
    for record in [Some(Record::Object(confirmed)), None] {
        let swap = store.swap(&key(1), Part::Index, Expected::Anything, record);
        assert!(tokio_test::block_on(swap).unwrap());
    }
    drop(object);
    assert_eq!(store.usage().evictions, 0);
    for number in 0..15 {
        assert!(put(&store, number, &chunk));
    }
    let usage = store.usage();
    assert_eq!(usage.evictions, 15 - usage.entries as u64, "{usage:?}");
}

#[test]
fn the_cap_is_never_exceeded_and_what_is_read_still_counts() {
    let store = MemoryStore::new(1 << 20);
    let chunk = [Bytes::from(vec![7; 50 << 10])];
    let mut held = Vec::new();
    for number in 0..200 {
        let kept = put(&store, number, &chunk);
        assert!(store.usage().used <= 1 << 20, "{:?}", store.usage());
        if number < 15 {
            assert!(kept);
            let BodySource::Memory(chunks) = get(&store, &key(number)).unwrap().body().clone()
            else {
                panic!()
            };
            held.extend(chunks.pieces().to_vec());
        }
    }
    assert!(store.usage().evictions > 0);
    assert!(store.usage().used > 15 * (50 << 10));
}

#[test]
fn readers_of_evicted_bodies_leave_no_room_for_others() {
    let store = MemoryStore::new(1 << 20);
    let chunk = [Bytes::from(vec![7; 100 << 10])];
    let mut held = Vec::new();
    for number in 0..100 {
        if put(&store, number, &chunk) {
            held.push(get(&store, &key(number)).unwrap().body().clone());
        }
    }
    assert!(held.len() < 11, "each held body is charged: {}", held.len());
    held.clear();
    assert!(put(&store, 1000, &chunk));
}

#[test]
fn many_threads_never_exceed_the_cap() {
    let store = MemoryStore::new(4 << 20);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let store = &store;
            scope.spawn(move || {
                for number in 0..2000_usize {
                    let size = 1 + (number * 7919 + thread * 104_729) % (60 << 10);
                    put(
                        store,
                        thread * 10_000 + number % 300,
                        &[Bytes::from(vec![1; size])],
                    );
                    let usage = store.usage();
                    assert!(usage.used <= usage.capacity, "{usage:?}");
                }
            });
        }
    });
    let usage = store.usage();
    assert!(usage.entries > 20 && usage.evictions > 0, "{usage:?}");
    assert!(
        usage.used > usage.capacity / 2,
        "evicts for need only: {usage:?}"
    );
}

#[test]
fn a_swap_happens_only_where_the_version_is_the_expected() {
    let store = MemoryStore::new(1 << 20);
    let swap = |expected, record| {
        tokio_test::block_on(store.swap(&key(1), Part::Index, expected, record)).unwrap()
    };
    assert!(put(&store, 1, &[Bytes::from_static(b"body")]));
    let object = get(&store, &key(1)).unwrap();
    let mut new = object.head().clone();
    new.freshness.fresh_until = 5000;
    let updated = object.with_head(new);
    assert!(!swap(
        Expected::Nothing,
        Some(Record::Object(updated.clone()))
    ));
    assert!(swap(
        Expected::Version(object.version()),
        Some(Record::Object(updated.clone()))
    ));
    assert!(
        !swap(Expected::Version(object.version()), None),
        "the version has moved on"
    );
    let found = get(&store, &key(1)).unwrap();
    assert_eq!(found.head().freshness.fresh_until, 5000);
    assert_eq!(bytes_of(&found), b"body");
    drop(object);
    assert!(swap(Expected::Version(updated.version()), None));
    assert!(get(&store, &key(1)).is_none());
    drop((found, updated));
    assert_eq!(store.usage().used, 0);
}

#[test]
fn parts_of_one_key_are_kept_apart() {
    let store = MemoryStore::new(1 << 20);
    for id in 0..10 {
        let mut writer = store
            .writer(&key(1), Part::Variant(id), head(None), WINDOW)
            .unwrap();
        let body = Bytes::from(vec![u8::try_from(id).unwrap()]);
        assert_eq!(write(&mut writer, &body), Poll::Ready(Written::Kept));
        assert!(commit(writer).is_some());
    }
    assert!(get(&store, &key(1)).is_none());
    for id in 0..10 {
        let Some(Record::Object(object)) =
            tokio_test::block_on(store.get(&key(1), Part::Variant(id))).unwrap()
        else {
            panic!()
        };
        assert_eq!(bytes_of(&object), [u8::try_from(id).unwrap()]);
    }
}

#[test]
fn a_store_without_room_for_a_head_passes_on() {
    let store = MemoryStore::new(100);
    let mut writer = store
        .writer(&key(1), Part::Index, head(None), WINDOW)
        .unwrap();
    let _reader = writer.opener().unwrap().open().unwrap();
    assert_eq!(
        write(&mut writer, &Bytes::from_static(b"x")),
        Poll::Ready(Written::Passed)
    );
    assert!(commit(writer).is_none());
}

/// A field whose value is a slice of a connection's buffer, and whether something still holds that.
fn sliced() -> (HeaderMap, impl Fn() -> bool) {
    struct Buffer {
        bytes: Vec<u8>,
        _token: Arc<()>,
    }
    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    let token = Arc::new(());
    let buffer = Bytes::from_owner(Buffer {
        bytes: vec![b'x'; 1 << 20],
        _token: token.clone(),
    });
    let mut fields = HeaderMap::new();
    let value = HeaderValue::from_maybe_shared(buffer.slice(0..3)).unwrap();
    fields.insert(header::ETAG, value);
    (fields, move || Arc::strong_count(&token) > 1)
}

#[test]
fn nothing_that_is_kept_holds_a_buffer_of_the_connection() {
    let store = MemoryStore::new(8 << 20);
    let (fields, is_held) = sliced();
    assert!(is_held());
    let partial = Partial {
        version: Version::random(),
        head: Head::sample(fields),
        length: 10,
        extents: vec![Extent { id: 1, bytes: 0..1 }],
    };
    let record = Some(Record::Partial(Arc::new(partial)));
    let swap = store.swap(&key(1), Part::Index, Expected::Anything, record);
    assert!(tokio_test::block_on(swap).unwrap());
    assert!(!is_held());

    let (fields, is_held) = sliced();
    let writer = store.writer(&key(2), Part::Index, Head::sample(fields), WINDOW);
    assert!(commit(writer.unwrap()).is_some());
    assert!(!is_held());

    // It might have been packed, but for its address.
    let (mut fields, is_held) = sliced();
    fields.insert("content-length", HeaderValue::from_static("0"));
    let mut unnamed = Head::sample(fields);
    unnamed.address = Box::default();
    let writer = store.writer(&key(4), Part::Index, unnamed, WINDOW);
    assert!(commit(writer.unwrap()).is_some());
    assert!(!is_held());

    let (fields, is_held) = sliced();
    let writer = store.writer(&key(3), Part::Index, head(None), WINDOW);
    assert!(commit_with(writer.unwrap(), Some(&fields)).is_some());
    drop(fields);
    assert!(!is_held());
    assert_eq!(store.usage().entries, 4);
}

#[test]
fn trailers_are_charged_and_so_is_what_upstream_caches_said() {
    const LONG: u64 = 10_000;
    let value = HeaderValue::try_from("x".repeat(10_000)).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", value.clone());
    let store = MemoryStore::new(1 << 20);
    let begin = |head| store.writer(&key(1), Part::Index, head, WINDOW).unwrap();
    assert!(commit(begin(head(None))).is_some());
    let plain = store.usage().used;
    let object = commit_with(begin(head(None)), Some(&trailers)).unwrap();
    let charged = store.usage().used;
    assert!(charged > plain + LONG);
    // Another head for the same body.
    let confirmed = Some(Record::Object(object.with_head(head(None))));
    let swap = store.swap(&key(1), Part::Index, Expected::Anything, confirmed);
    assert!(tokio_test::block_on(swap).unwrap());
    drop(object);
    assert_eq!(store.usage().used, charged);
    let said = Head {
        upstream_status: Some(value),
        ..head(None)
    };
    assert!(commit(begin(said)).is_some());
    assert!(store.usage().used >= plain + LONG);

    let small = MemoryStore::new(2 * plain);
    let writer = small.writer(&key(1), Part::Index, head(None), WINDOW);
    assert!(commit_with(writer.unwrap(), Some(&trailers)).is_none());
    assert_eq!(small.usage().used, 0);
}

/// So many bytes are charged for small objects, unpacked heads left out.
fn packed(store: &MemoryStore) -> u64 {
    store.usage().used - store.0.heads.bytes()
}

#[test]
fn a_small_object_is_packed_until_it_is_hit() {
    let store = MemoryStore::new(1 << 20);
    assert!(put(&store, 1, &[Bytes::from(vec![7; 1000])]));
    let cold = store.usage().used;
    assert!(cold < 1000 + 300, "{cold}");
    let peeked = tokio_test::block_on(store.peek(&key(1), Part::Index)).unwrap();
    assert!(matches!(peeked, Some(Record::Object(_))));
    drop(peeked);
    assert_eq!(
        store.usage().used,
        cold,
        "a look of the cache's own is no hit"
    );
    let first = get(&store, &key(1)).unwrap();
    let hot = store.usage().used;
    assert!(hot > cold + 500, "{hot}");
    let second = get(&store, &key(1)).unwrap();
    assert!(first.is(&second));
    assert_eq!(bytes_of(&first), [7; 1000]);
    assert_eq!(first.head().headers, head(None).headers);
    drop((first, second));
    assert_eq!(store.usage().used, hot);
    let swap = store.swap(&key(1), Part::Index, Expected::Anything, None);
    assert!(tokio_test::block_on(swap).unwrap());
    assert_eq!(store.usage().used, 0);
}

#[test]
fn unpacked_heads_give_way_before_anything_is_evicted() {
    let store = MemoryStore::new(1 << 20);
    let body = [Bytes::from(vec![7; 1000])];
    for number in 0..300 {
        assert!(put(&store, number, &body));
        assert!(get(&store, &key(number)).is_some());
    }
    assert!(store.0.heads.bytes() > 150_000, "{store:?}");
    let each = packed(&store) / 300;
    // What is being written takes more for a moment.
    let fit = usize::try_from((1 << 20) * 15 / 16 / each - 8).unwrap();
    for number in 300..fit {
        assert!(put(&store, number, &body));
        assert!(get(&store, &key(0)).is_some(), "often hit");
    }
    let usage = store.usage();
    assert_eq!((usage.evictions, usage.entries), (0, fit), "{usage:?}");
    let (heads, share) = (store.0.heads.bytes(), store.0.heads_share());
    assert!(
        heads <= share + 20_000 && heads > share / 2,
        "{heads} of {share}"
    );
    // Who is hit often keeps its own.
    let used = store.usage().used;
    let first = get(&store, &key(0)).unwrap();
    assert!(first.kept_unpacked().is_some() && store.usage().used == used);
    for number in fit..3 * fit {
        assert!(put(&store, number, &body));
    }
    assert!(store.usage().evictions > 0);
}

#[test]
fn in_a_full_store_heads_make_room_for_each_other() {
    let store = MemoryStore::new(1 << 20);
    let body = [Bytes::from(vec![7; 1000])];
    for number in 0..2000 {
        assert!(put(&store, number, &body));
    }
    assert_eq!(store.0.heads.bytes(), 0);
    for _ in 0..3 {
        for number in 0..2000 {
            if let Some(object) = get(&store, &key(number)) {
                assert_eq!(bytes_of(&object), [7; 1000]);
            }
            let usage = store.usage();
            assert!(usage.used <= usage.capacity);
        }
    }
    let (heads, share) = (store.0.heads.bytes(), store.0.heads_share());
    assert!(
        share / 2 < heads && heads <= share + 2000,
        "{heads} of {share}"
    );
    // What heads took of the entries' room is no more than their share.
    assert!(store.usage().entries * 1200 > (1 << 20) * 14 / 16);
}

#[test]
fn threads_that_hit_replace_and_evict_see_whole_objects_and_the_cap_holds() {
    let store = MemoryStore::new(1 << 17);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let store = &store;
            scope.spawn(move || {
                for round in 0..3000_usize {
                    let number = (round * 31 + thread * 7) % 150;
                    if round % 3 == 0 {
                        let fill = u8::try_from(number).unwrap();
                        put(store, number, &[Bytes::from(vec![fill; 800 + number])]);
                    } else if let Some(object) = get(store, &key(number)) {
                        let fill = u8::try_from(number).unwrap();
                        assert_eq!(bytes_of(&object), vec![fill; 800 + number]);
                        if round % 17 == 0 {
                            let expected = Expected::Version(object.version());
                            let swap = store.swap(&key(number), Part::Index, expected, None);
                            tokio_test::block_on(swap).unwrap();
                        }
                    }
                    let usage = store.usage();
                    assert!(usage.used <= usage.capacity, "{usage:?}");
                }
            });
        }
    });
    assert!(store.usage().evictions > 0);
    for number in 0..150 {
        let swap = store.swap(&key(number), Part::Index, Expected::Anything, None);
        tokio_test::block_on(swap).unwrap();
    }
    assert_eq!((store.usage().used, store.0.heads.bytes()), (0, 0));
}
