//! What is kept of connections: one at a time, the newest first, none for too long, and none that has ended.

use super::{
    raw::{OK, Peer, serve},
    *,
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{io::DuplexStream, net::TcpStream, sync::Notify, task::JoinSet};

#[tokio::test]
async fn connections_are_kept_and_one_that_died_meanwhile_is_replaced_for_what_may_be_sent_twice() {
    for (method, status) in [("GET", 200), ("DELETE", 200), ("POST", 502)] {
        let server = serve(|number, mut peer| async move {
            peer.head().await;
            peer.send(OK).await;
            peer.head().await;
            if number > 0 {
                peer.send(OK).await;
                peer.head().await;
            }
        })
        .await;
        let service = origin(&server.url()).build().unwrap();
        let first = ask(&service, get("/")).await;
        assert_eq!(text(first).await.unwrap(), "ok");
        // The kept connection ends when it is asked.
        let second = ask(&service, request(method, "/", &[])).await;
        assert_eq!(second.status(), status, "{method}");
        let connections = if status == 200 { 2 } else { 1 };
        assert_eq!(server.seen.connections(), connections);
    }
}

#[tokio::test]
async fn what_was_answered_in_part_is_not_asked_again() {
    let server = serve(|number, mut peer| async move {
        peer.head().await;
        peer.send(OK).await;
        peer.head().await;
        if number == 0 {
            return peer.send("HTTP/1.1 200 OK\r\ncontent-le").await;
        }
        peer.send(OK).await;
        peer.head().await;
    })
    .await;
    let service = origin(&server.url()).build().unwrap();
    assert_eq!(text(ask(&service, get("/")).await).await.unwrap(), "ok");
    let cut = ask(&service, request("DELETE", "/", &[])).await;
    assert_eq!(failure(&cut), Some(OriginFailure::Closed));
    assert_eq!(server.seen.heads().len(), 2);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    let service = origin(&server.url()).build().unwrap();
    for _ in 0..100 {
        let response = ask(&service, get("/")).await;
        assert_eq!(text(response).await.unwrap(), "ok");
    }
    assert_eq!(server.seen.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    let service = origin(&server.url())
        .keep_alive_timeout(100 * MILLIS)
        .build()
        .unwrap();
    for connections in 1..=2 {
        let response = ask(&service, get("/")).await;
        assert_eq!(text(response).await.unwrap(), "ok");
        assert_eq!(server.seen.connections(), connections);
        tokio::time::sleep(400 * MILLIS).await;
    }
}

#[tokio::test]
async fn the_connection_of_an_answer_that_nobody_reads_serves_the_next_request() {
    let server = serve(|_, peer| peer.answer_all(OK)).await;
    let service = origin(&server.url()).build().unwrap();
    for _ in 0..20 {
        drop(ask(&service, get("/")).await);
        // The rest of it is on its way from hyper's task, or another connection is made.
        tokio::time::sleep(5 * MILLIS).await;
    }
    assert!(
        server.seen.connections() < 5,
        "{}",
        server.seen.connections()
    );
}

#[tokio::test]
async fn one_whose_request_was_given_up_serves_no_other() {
    let server = serve(|number, mut peer: Peer<TcpStream>| async move {
        peer.head().await;
        if number == 0 {
            // Too late, and not the next one's.
            tokio::time::sleep(300 * MILLIS).await;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate")
                .await;
        }
        peer.send(OK).await;
        peer.head().await;
    })
    .await;
    let service = origin(&server.url()).build().unwrap();
    let given_up = tokio::time::timeout(100 * MILLIS, ask(&service, get("/")));
    assert!(given_up.await.is_err());
    for _ in 0..2 {
        assert_eq!(text(ask(&service, get("/")).await).await.unwrap(), "ok");
    }
}

/// Pipes to a server; from the second on they are connected once allowed.
fn pipes(
    dialled: Arc<AtomicUsize>,
    allowed: Arc<Notify>,
) -> impl tower::Service<http::Uri, Response = TokioIo<DuplexStream>, Error = io::Error, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(move |_: http::Uri| {
        let (dialled, allowed) = (dialled.clone(), allowed.clone());
        async move {
            if dialled.fetch_add(1, Ordering::SeqCst) > 0 {
                allowed.notified().await;
            }
            let (near, far) = tokio::io::duplex(1024);
            tokio::spawn(Peer::new(far, raw::Seen::default()).answer_all(OK));
            Ok::<_, io::Error>(TokioIo::new(near))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_connect_takes_a_connection_that_is_free_before() {
    let (dialled, allowed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let connector = pipes(dialled.clone(), allowed.clone());
    let service = Origin::connector("www.example.com", connector)
        .build()
        .unwrap();
    let first = ask(&service, get("/")).await;
    let second = tokio::spawn({
        let service = service.clone();
        async move { text(ask(&service, get("/")).await).await.unwrap() }
    });
    while dialled.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(text(first).await.unwrap(), "ok");
    assert_eq!(second.await.unwrap(), "ok");

    // The one that was begun meanwhile serves another.
    allowed.notify_one();
    let held = ask(&service, get("/")).await;
    for _ in 0..3 {
        assert_eq!(text(ask(&service, get("/")).await).await.unwrap(), "ok");
    }
    drop(held);
    assert_eq!(dialled.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_so_long_after_its_last_use() {
    let (dialled, allowed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let service = Origin::connector("www.example.com", pipes(dialled.clone(), allowed.clone()))
        .keep_alive_timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    allowed.notify_one();
    for (idle, connections) in [(4_900, 1), (4_900, 1), (5_100, 1), (0, 2)] {
        assert_eq!(text(ask(&service, get("/")).await).await.unwrap(), "ok");
        assert_eq!(dialled.load(Ordering::SeqCst), connections);
        tokio::time::sleep(idle * MILLIS).await;
    }
}

/// One that was begun for another request, and ends before it served any, is replaced as those are that have served.
#[tokio::test]
async fn a_kept_connection_that_never_served_is_replaced_too() {
    let server = serve(|number, mut peer: Peer<TcpStream>| async move {
        if number == 1 {
            // When it is asked.
            peer.head().await;
            return;
        }
        peer.answer_all(OK).await;
    })
    .await;
    let (address, dialled) = (server.address, Arc::new(AtomicUsize::new(0)));
    let allowed = Arc::new(Notify::new());
    let connector = tower::service_fn({
        let (dialled, allowed) = (dialled.clone(), allowed.clone());
        move |_: http::Uri| {
            let (dialled, allowed) = (dialled.clone(), allowed.clone());
            async move {
                if dialled.fetch_add(1, Ordering::SeqCst) == 1 {
                    allowed.notified().await;
                }
                TcpStream::connect(address).await.map(TokioIo::new)
            }
        }
    });
    let service = Origin::connector("www.example.com", connector)
        .build()
        .unwrap();
    let first = ask(&service, get("/")).await;
    let second = tokio::spawn({
        let service = service.clone();
        async move { text(ask(&service, get("/")).await).await.unwrap() }
    });
    while dialled.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    text(first).await.unwrap();
    second.await.unwrap();
    allowed.notify_one();
    while server.seen.connections() < 2 {
        tokio::time::sleep(MILLIS).await;
    }
    tokio::time::sleep(50 * MILLIS).await;
    assert_eq!(text(ask(&service, get("/")).await).await.unwrap(), "ok");
    assert_eq!(server.seen.connections(), 3);
}

#[test]
fn idle_connections_are_closed_by_another_runtime_where_the_first_ended() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let servers = runtime();
    let server = servers.block_on(serve(|_, peer| peer.answer_all(OK)));
    let service = origin(&server.url())
        .keep_alive_timeout(200 * MILLIS)
        .build()
        .unwrap();
    for connections in 1..=2 {
        let mine = runtime();
        let answer = mine.block_on(async { text(ask(&service, get("/")).await).await });
        assert_eq!(answer.unwrap(), "ok");
        assert_eq!(server.seen.connections(), connections);
        if connections == 2 {
            mine.block_on(async {
                let closed = async {
                    while server.seen.open() > 0 {
                        tokio::time::sleep(10 * MILLIS).await;
                    }
                };
                let limit = Duration::from_secs(5);
                tokio::time::timeout(limit, closed)
                    .await
                    .expect("it stays open");
            });
        }
    }
}

#[test]
fn a_runtime_that_ends_with_answers_in_hand_ends() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let servers = runtime();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let server = servers.block_on(serve(move |_, peer| peer.answer_all(answer)));
    let (ended, has_ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..20 {
            let service = origin(&server.url()).build().unwrap();
            let mine = runtime();
            let (came, mut all) = tokio::sync::mpsc::channel(8);
            for _ in 0..8 {
                let (service, came) = (service.clone(), came.clone());
                mine.spawn(async move {
                    let _held = ask(&service, get("/")).await;
                    came.send(()).await.unwrap();
                    std::future::pending::<()>().await;
                });
            }
            mine.block_on(async {
                for _ in 0..8 {
                    all.recv().await.unwrap();
                }
            });
            drop(mine);
        }
        ended.send(()).unwrap();
    });
    let ended = has_ended.recv_timeout(Duration::from_secs(60));
    ended.expect("the runtime hangs");
}

/// A request that was handed to a connection just as it ended comes back: nobody waits for its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_on_a_connection_that_ends() {
    let server = serve(|number, mut peer: Peer<TcpStream>| async move {
        for _ in 0..=number % 3 {
            if peer.head().await.is_none() {
                return;
            }
            peer.send(OK).await;
        }
    })
    .await;
    let service = origin(&server.url()).build().unwrap();
    let mut viewers = JoinSet::new();
    for _ in 0..8 {
        let service = service.clone();
        viewers.spawn(async move {
            for _ in 0..1_000 {
                let response = ask(&service, get("/")).await;
                assert_eq!(text(response).await.unwrap(), "ok");
            }
        });
    }
    while let Some(viewer) = viewers.join_next().await {
        viewer.unwrap();
    }
}
