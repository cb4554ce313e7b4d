//! What a miss is measured by: a proxy without a cache, of hyper's server and hyper-util's client, as one writes it in an
//! hour. It keeps connections, passes bodies on as they come, and leaves out what belongs to a connection.

use crate::{Failure, serve::accept};
use http::{HeaderMap, HeaderName, Request, StatusCode, Uri, header, uri};
use http_body_util::{Either, Empty};
use hyper::{Response, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// RFC 9110 section 7.6.1.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

pub(crate) async fn serve(listener: TcpListener, origin: SocketAddr) -> Result<(), Failure> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    let origin = uri::Authority::try_from(origin.to_string())?;
    let service = service_fn(move |request: Request<Incoming>| {
        let (client, origin) = (client.clone(), origin.clone());
        async move {
            let answered = match to_origin(request, origin) {
                Ok(request) => client.request(request).await.map_err(Failure::from),
                Err(error) => Err(error.into()),
            };
            Ok::<_, Failure>(match answered {
                Ok(mut response) => {
                    remove_hop_by_hop(response.headers_mut());
                    response.map(Either::Left)
                }
                Err(error) => {
                    eprintln!("{error}");
                    let mut response = Response::new(Either::Right(Empty::new()));
                    *response.status_mut() = StatusCode::BAD_GATEWAY;
                    response
                }
            })
        }
    });
    accept(listener, service).await
}

fn to_origin<B>(
    mut request: Request<B>,
    origin: uri::Authority,
) -> Result<Request<B>, http::uri::InvalidUriParts> {
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(uri::Scheme::HTTP);
    target.authority = Some(origin);
    *request.uri_mut() = Uri::from_parts(target)?;
    remove_hop_by_hop(request.headers_mut());
    Ok(request)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}
