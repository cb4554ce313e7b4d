//! Large objects, fetched and stored in aligned blocks: a range of a video of 10 GiB costs the blocks that it touches.
//!
//! [`BlockLayer`] wraps a [`CacheLayer`](crate::CacheLayer). A `GET` of the whole or of one range is put together from blocks,
//! each of which the cache is asked for as for a thing of its own: looked up, collapsed, confirmed, evicted and invalidated
//! (by path, by tag, by an unsafe method) by what is there already. The inner service sees requests for one block each,
//! `Range: bytes=1048576-2097151`, without a body.
//!
//! ```
//! # #[cfg(not(feature = "origin"))]
//! # fn main() {}
//! # #[cfg(feature = "origin")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, body::Body};
//! use frontage::{BlockLayer, CacheLayer, MemoryStore, origin::Origin};
//! # use axum::{http::HeaderMap, response::Response, routing::get};
//! use http::Request;
//! use http_body_util::BodyExt;
//! use tower::{Layer, ServiceExt};
//!
//! # // Of a file of 100,000 bytes, an origin sends the range that it is asked for.
//! # async fn film(request: HeaderMap) -> Response {
//! #     let range = request["range"].to_str().unwrap().trim_start_matches("bytes=");
//! #     let (first, last) = range.split_once('-').unwrap();
//! #     let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
//! #     assert_eq!((first, last), (32768, 49151));
//! #     let response = Response::builder()
//! #         .status(206)
//! #         .header("content-range", format!("bytes {first}-{last}/100000"))
//! #         .header("etag", "\"v1\"")
//! #         .header("cache-control", "max-age=60");
//! #     response.body(Body::from(vec![b'x'; last + 1 - first])).unwrap()
//! # }
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("http://{}", listener.local_addr()?);
//! # tokio::spawn(async { axum::serve(listener, Router::new().route("/film", get(film))).await });
//! let cache = CacheLayer::new(MemoryStore::new(64 << 20));
//! let origin = Origin::url(&url)?.build()?;
//! let films = BlockLayer::new(cache).block_size(16 << 10)?.layer(origin);
//! let app = Router::new().fallback_service(films);
//!
//! let request = Request::get("http://www.example.com/film").header("range", "bytes=40000-40009").body(Body::empty())?;
//! let response = app.oneshot(request).await?;
//! assert_eq!(response.headers()["content-range"], "bytes 40000-40009/100000");
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "xxxxxxxxxx");
//! # Ok(()) }
//! ```
//!
//! Over handlers of one's own, it is `Router::layer(BlockLayer::new(cache))`. What is below must know ranges and give each version a
//! strong validator.
//!
//! # What goes in blocks
//!
//! A `GET` without a body and without `Range`, or with one range of bytes. Its `If-None-Match`, `If-Modified-Since` and `If-Range`
//! are answered here, in the CloudFront profiles, too. A `HEAD` without conditions that the cache has no answer for is answered by
//! the first block, where that is stored and may be used; it asks for none. Everything else goes to the cache as it is: other
//! methods, several ranges, upgrades, `If-Match` and `If-Unmodified-Since`, and what the cache lets pass. A key policy that counts
//! `Range` counts it for these only: all blocks of an object have one key, and their number.
//!
//! What is stored answers first: the block in which the range begins, else the whole, or a part of it, that the cache has under the
//! object's own key (by an origin that ignores ranges, say). Where both the block and the whole are stale, the origin is asked
//! whether the one that came later is still good. Where there is neither, it is asked for the block. So what is stored as a whole
//! stays that until it changes, or is evicted.
//!
//! Of an object whose length isn't known, the last bytes are asked for as such (`bytes=-500`): they cost no more than themselves. Where they
//! are more than a block, the very last one is asked for first, which tells where they begin. Once the first block is stored, its
//! length answers, for what lies behind the end, too; so after a 416 to another block, the first one is asked for.
//!
//! # Who gets stored blocks only
//!
//! Requests whose answers may not be stored because of what they say (`Cookie` or `Authorization` under the policy, `no-store`) would
//! cost a request for each block that nobody else can use. They are put together from blocks where all that they want are stored, and
//! may be used for them; else they go to the cache as if there were no blocks: one request, as they came. Once an answer
//! to a request with `Cookie` or `Authorization` says that all may have it (`public`, `s-maxage`), such requests fetch blocks of this
//! object as any other, for ten minutes. `only-if-cached` is a 504 unless all is stored.
//!
//! # One version
//!
//! The head, which goes out first, says which version a reader gets: by the strong validator and the length of the whole that came
//! with the block in which its range begins. Each further block must have both. One that has others was stored before the object
//! changed, or came after: all blocks of the object are forgotten at once, and that one is asked for anew. If it is still of another version,
//! the body is aborted ([`BodyError::is_changed`](crate::BodyError::is_changed)); who asks again gets the new one. So no answer
//! mixes two versions, and nobody reads old blocks beside new ones for long. A block of another version than the one that came
//! last says so as well, whoever it is for (below other caches, as an origin shield, nobody reads two of them in one answer), unless
//! a `Vary` gives each variant its own. What changes twice within 30 seconds (or differs between the servers of one name) isn't
//! fetched in blocks for ten minutes.
//!
//! Requests for blocks carry no `If-Match` and no `If-Range`: readers of different versions share an answer, an origin that doesn't know the
//! first would send no 412, and one that knows the second would send all of the new version in place of a block of it. A block
//! that is stored and stale is confirmed by its own validator, as all that is stored.
//!
//! # What doesn't go in blocks after all
//!
//! An origin that answers with a 200 in place of a block ignores ranges. That answer is stored as the whole, and shared with those who
//! wait for the same block; for ten minutes a range is cut from the whole, fetched once. (So a hundred cold readers of
//! one block cause one fetch of the whole, those of different blocks at most one for each of these.) Where such an answer can't be
//! stored or shared (it has no lifetime, or says `no-cache`), each reader causes a fetch of its own, and its range is cut from that.
//!
//! A 206 that isn't just the block, says no length, or has no strong validator, and a 416 to the first block (some servers send it
//! for an empty file) are not stored, and for ten minutes the object goes to the cache as if there were no blocks; but a range that
//! lies in such a block, and lacks a validator only, is cut from it for those who wait. Where a block's response says that it isn't
//! to be stored, requests that begin in this block go to the cache for two minutes, others don't.
//!
//! Other answers to the first block, errors among them, reach the viewer as they come. That there is no such thing (404, 410) is
//! stored as the answer for the whole, and so for all blocks; other errors are stored by block, since a range may have caused them.
//!
//! What is remembered so of the last 4,096 objects is a hint: it keeps from asking for blocks, never from using those that are stored and
//! suffice. So one odd answer, which a stranger may have provoked, takes nothing out of use, and what is forgotten costs one more question.
//!
//! # Bodies
//!
//! One block is read after the other, as fast as the viewer reads. The second is asked for when the first has been read; from then
//! on one is asked for ahead: when a block begins to come, the one behind it, if the viewer wants any of that. A viewer that leaves
//! leaves no more behind than blocks that are being stored.
//!
//! A block whose body fails is asked for once more, and goes on where it stopped. So is one for which there is a
//! status of 500 or more, or no answer: the head is gone, and the body can't become an error any more. Where that doesn't help, or
//! something else came (a 403, say), the body is cut off, and a WARN tells the key, the block, the status and the reason.
//! Trailers are left out.
//!
//! # What is said of an answer
//!
//! `Cache-Status`, `X-Cache` and [`CacheStatus`](crate::CacheStatus) are those of the block in which the answer begins: they go out before
//! it is known what comes of the others. So a `hit` may cost requests for further blocks, and `collapsed` may cost none, where
//! a reader before had asked for the block ahead. What became of each block is an event at DEBUG, with its key.
//!
//! # What blocks cost
//!
//! Each block is looked up, fetched and confirmed for itself. To read five blocks that are stale, or say `no-cache`, takes five
//! conditional requests; a viewer's reload (`Cache-Control: no-cache`) fetches each block that it reads anew: 10,240 requests for 10 GiB.
//! A request for several ranges fetches what it wants once more, where it is stored in blocks only: the whole, if the origin answers
//! such requests with that. [`block_size`](BlockLayer::block_size) says how fast a cold reader can be.
//!
//! # Order of layers
//!
//! The block layer stands in the cache's place. Compression belongs above it, never below: ranges are of the bytes as the origin has them.

mod body;
mod future;
mod layer;
mod reader;
mod service;
mod version;

pub use future::BlocksFuture;
pub use layer::BlockLayer;
pub use service::Blocks;
