//! Edges in blocks, over an origin shield in blocks.

use super::{
    origin::{Answer, BLOCK, LENGTH, Origin, asking, block},
    support::{until, within},
};
use frontage::{BlockLayer, CacheLayer, MemoryStore, blocks::Blocks, origin::OriginShieldLayer};
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt};

type Shield = Blocks<Origin>;

fn shield(origin: &Origin) -> Shield {
    let layer = OriginShieldLayer::new(MemoryStore::new(4 << 20)).in_blocks();
    layer.block_size(BLOCK).unwrap().layer(origin.clone())
}

fn edge(shield: &Shield) -> Blocks<Shield> {
    let cache = CacheLayer::new(MemoryStore::new(4 << 20));
    let layer = BlockLayer::new(cache).block_size(BLOCK).unwrap();
    layer.layer(shield.clone())
}

async fn ask(edge: &Blocks<Shield>, range: &str) -> Answer {
    let fields = [("range", range)];
    let fields = if range.is_empty() {
        &fields[..0]
    } else {
        &fields[..]
    };
    let response = within(edge.clone().oneshot(asking(fields))).await.unwrap();
    Answer::of(response).await
}

#[tokio::test]
async fn eight_edges_that_miss_a_block_are_one_request_to_the_origin() {
    let permits = Arc::new(Semaphore::new(0));
    let origin = Origin::new(LENGTH).held_by(&permits);
    let shield = shield(&origin);
    let edges: Vec<_> = (0..8).map(|_| edge(&shield)).collect();
    let asked = tokio::spawn({
        let edges = edges.clone();
        async move { join_all(edges.iter().map(|edge| ask(edge, "bytes=4100-4200"))).await }
    });
    until(|| origin.waiting.get() > 0).await;
    permits.add_permits(100);
    for answer in asked.await.unwrap() {
        answer.assert_part(1, 4100..4201, LENGTH);
    }
    assert_eq!(origin.ranges(), [block(1)]);
}

#[tokio::test]
async fn what_one_edge_has_fetched_the_others_get_of_the_shield() {
    let origin = Origin::new(LENGTH);
    let shield = shield(&origin);
    let first = ask(&edge(&shield), "").await;
    first.assert_whole(1, LENGTH);
    assert!(!first.cache.is_origin_shield_hit());
    assert_eq!(origin.asked().len(), 11);

    let other = edge(&shield);
    let second = ask(&other, "").await;
    second.assert_whole(1, LENGTH);
    assert!(second.cache.is_origin_shield_hit() && !second.cache.is_hit());
    let third = ask(&other, "").await;
    third.assert_whole(1, LENGTH);
    assert!(third.cache.is_hit());
    assert_eq!(origin.asked().len(), 11);
}

#[tokio::test]
async fn an_object_that_changes_is_never_mixed() {
    let origin = Origin::new(LENGTH);
    origin.field("cache-control", "public, max-age=0");
    let shield = shield(&origin);
    let edge = edge(&shield);
    ask(&edge, "").await.assert_whole(1, LENGTH);
    origin.change(2, LENGTH);
    // Both forget the old blocks while they are confirmed.
    let answer = ask(&edge, "").await;
    match answer.error {
        Some(error) => assert!(error.is_changed(), "{error}"),
        None => answer.assert_whole(2, LENGTH),
    }
    ask(&edge, "").await.assert_whole(2, LENGTH);
}

#[tokio::test]
async fn a_shield_that_holds_old_blocks_is_whole_again_after_the_first_reader_that_finds_out() {
    let origin = Origin::new(LENGTH);
    let shield = shield(&origin);
    ask(&edge(&shield), &format!("bytes=0-{}", 5 * BLOCK - 1)).await;
    origin.change(2, LENGTH);
    let edge = edge(&shield);
    let first = ask(&edge, "").await;
    assert!(first.error.is_some_and(|error| error.is_changed()));
    ask(&edge, "").await.assert_whole(2, LENGTH);
}
