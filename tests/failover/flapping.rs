//! A primary that comes and goes while it is asked.

use crate::{
    answered_by, criteria,
    raw::{Peer, Seen, serve},
    support::within,
};
use bytes::Bytes;
use frontage::origin::{AnsweredBy, Origin, OriginGroup};
use http::Request;
use http_body_util::{BodyExt, Empty};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tower::ServiceExt;

const VIEWERS: usize = 20;
const REQUESTS: usize = 500;
const LENGTH: usize = 64 << 10;

/// What the primary does with a request, or with who wants to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Answers,
    Says(u16),
    /// Nobody listens, and connections that there are end, whatever they are at.
    Refuses,
}

const WAYS: [Way; 8] = [
    Way::Answers,
    Way::Says(502),
    Way::Answers,
    Way::Refuses,
    Way::Says(503),
    Way::Answers,
    Way::Says(504),
    Way::Refuses,
];

fn page(byte: u8) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
    let mut page = head.into_bytes();
    page.resize(page.len() + LENGTH, byte);
    page
}

/// One connection with the primary, as long as there is no reason to end it.
async fn converse(mut peer: Peer<tokio::net::TcpStream>, way: watch::Receiver<Way>) {
    while peer.head().await.is_some() {
        let now = *way.borrow();
        match now {
            // In pieces, so that it can end between them.
            Way::Answers => {
                for piece in page(b'p').chunks(8 << 10) {
                    peer.send(piece).await;
                    tokio::task::yield_now().await;
                }
            }
            Way::Says(status) => {
                let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 4\r\n\r\nfail");
                peer.send(answer).await;
            }
            Way::Refuses => return,
        }
    }
}

/// Runs the primary: while it refuses there is no socket.
async fn run(mut listener: Option<TcpListener>, mut way: watch::Receiver<Way>) {
    let Some(address) = listener.as_ref().map(|listener| listener.local_addr()) else {
        return;
    };
    let address = address.unwrap();
    let mut connections = JoinSet::new();
    loop {
        let now = *way.borrow_and_update();
        if now == Way::Refuses {
            listener = None;
            connections.shutdown().await;
            if way.changed().await.is_err() {
                return;
            }
            continue;
        }
        if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.unwrap());
        }
        tokio::select! {
            accepted = listener.as_ref().unwrap().accept() => {
                let peer = Peer::new(accepted.unwrap().0, Seen::default());
                connections.spawn(converse(peer, way.clone()));
            }
            changed = way.changed() => if changed.is_err() { return },
        }
    }
}

#[derive(Default)]
struct Counts {
    by_primary: AtomicUsize,
    by_secondary: AtomicUsize,
    aborted: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_primary_flaps_no_viewer_sees_an_error_but_a_body_cut_short() {
    // No connection of this process to another address can take its port meanwhile.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let primary = Origin::url(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (change, way) = watch::channel(Way::Answers);
    tokio::spawn(run(Some(listener), way));
    let secondary = serve(|_, mut peer| async move {
        let page = page(b's');
        while peer.head().await.is_some() {
            peer.send(&page).await;
        }
    })
    .await;
    let secondary = Origin::url(&secondary.url()).unwrap();
    let group = OriginGroup::new(primary, secondary, criteria([502, 503, 504]))
        .build()
        .unwrap();

    let counts = Arc::new(Counts::default());
    let done = Arc::new(AtomicBool::new(false));
    let flapping = tokio::spawn({
        let done = done.clone();
        async move {
            let mut seen = Vec::new();
            for way in WAYS.into_iter().cycle() {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                change.send_replace(way);
                seen.push(way);
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
            seen
        }
    });
    let mut viewers = JoinSet::new();
    for _ in 0..VIEWERS {
        let (group, counts) = (group.clone(), counts.clone());
        viewers.spawn(async move {
            for _ in 0..REQUESTS {
                let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
                let response = within(group.clone().oneshot(request)).await.unwrap();
                assert_eq!(response.status(), 200, "{:?}", response.extensions());
                let (count, byte) = match answered_by(&response) {
                    AnsweredBy::Primary => (&counts.by_primary, b'p'),
                    AnsweredBy::Secondary => (&counts.by_secondary, b's'),
                };
                count.fetch_add(1, Ordering::SeqCst);
                match within(response.into_body().collect()).await {
                    Ok(whole) => {
                        let whole = whole.to_bytes();
                        assert_eq!(whole.len(), LENGTH);
                        assert!(whole.iter().all(|got| *got == byte));
                    }
                    Err(_) => {
                        assert_eq!(byte, b'p', "the secondary doesn't flap");
                        counts.aborted.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
    }
    while let Some(viewer) = viewers.join_next().await {
        viewer.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let seen = flapping.await.unwrap();
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    let (primary, secondary) = (count(&counts.by_primary), count(&counts.by_secondary));
    println!(
        "primary {primary}, secondary {secondary}, aborted {}, changes {}",
        count(&counts.aborted),
        seen.len()
    );
    assert_eq!(primary + secondary, VIEWERS * REQUESTS);
    // It did flap: all ways were gone through, both were needed, and bodies were under way when it went.
    assert!(seen.len() >= 5 * WAYS.len(), "{}", seen.len());
    assert!(primary > 500 && secondary > 500);
    assert!(count(&counts.aborted) > 0);
}
