//! An origin that takes requests by the letter, and notes what it sees.

use crate::strict::{Message, Problem, Reader};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

/// What it saw, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Event>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request, to its end.
    Request(Message),
    /// A request without its end.
    Cut(String),
    /// What is no request.
    Fault(String),
}

impl Seen {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    fn add(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// Answers with method, target and `Host`, to be stored. What is asked for `/early` is answered before its body.
pub(crate) async fn start() -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let noted = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let seen = noted.clone();
            tokio::spawn(async move {
                let mut connection = Reader::new(stream);
                while exchange(&mut connection, &seen).await {}
            });
        }
    });
    (address, seen)
}

/// One request, and its answer; false at the end.
async fn exchange(connection: &mut Reader<TcpStream>, seen: &Seen) -> bool {
    let mut request = match connection.request().await {
        Ok(request) => request,
        Err(Problem::End) => return false,
        Err(Problem::Cut) => {
            seen.add(Event::Cut("a head".into()));
            return false;
        }
        Err(Problem::Fault(fault)) => {
            seen.add(Event::Fault(fault));
            return false;
        }
    };
    let is_early = request.start.contains(" /early ");
    if is_early && !answer(connection, &request).await {
        return false;
    }
    match connection.body(&mut request).await {
        Ok(()) => seen.add(Event::Request(request.clone())),
        Err(Problem::Fault(fault)) => {
            seen.add(Event::Fault(fault));
            return false;
        }
        Err(_) => {
            seen.add(Event::Cut(request.begin()));
            return false;
        }
    }
    is_early || answer(connection, &request).await
}

async fn answer(connection: &mut Reader<TcpStream>, request: &Message) -> bool {
    let body = format!("{} {}", request.begin(), request.all("host")[0]);
    let length = body.len();
    let sent = match request.start.starts_with("HEAD ") {
        true => "",
        false => &body,
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {length}\r\n\r\n{sent}"
    );
    connection.stream.write_all(answer.as_bytes()).await.is_ok()
}
