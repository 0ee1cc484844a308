//! The metrics page over HTTP.

use super::{metrics, serve::Latest};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, time::Duration};
use tokio::net::TcpStream;

/// A client has this long to ask.
const ASK: Duration = Duration::from_secs(5);
/// A connection, from its start to the end of the answer.
const WHOLE: Duration = Duration::from_secs(10);
/// Bytes held of a request.
const REQUEST: usize = 8192;
/// Headers of a request.
const HEADERS: usize = 64;

/// Answers one request, then closes.
pub(crate) async fn answer(client: TcpStream, latest: Latest) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = response(request.method(), request.uri().path(), &latest);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASK)
        .max_buf_size(REQUEST)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(client), service);
    // What goes wrong here is the client's affair.
    let _ = tokio::time::timeout(WHOLE, connection).await;
}

fn response(method: &Method, path: &str, latest: &Latest) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/" => text(StatusCode::OK, "ebbline-agent: metrics are at /metrics\n".into()),
        "/metrics" => {
            let published = latest.borrow().clone();
            let page = metrics::page(&published.status, published.at.elapsed().as_secs_f64());
            let mut response = text(StatusCode::OK, page);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
            response
        }
        _ => text(StatusCode::NOT_FOUND, "nothing here; metrics are at /metrics\n".into()),
    }
}

fn text(code: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use crate::status::{
        Status,
        serve::{Listeners, Published, READERS, Server},
    };
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpStream},
    };

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        // A refused request may be answered before all of it is sent.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn one_page_is_served_and_nothing_else() {
        let listeners = Listeners::open(None, Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listeners.metrics().unwrap();
        let status = Status { agent_version: "1.2.3".into(), ..Status::default() };
        let server = Server::start(listeners, Published::now(status)).unwrap().unwrap();
        let get = |path: &str| ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let page = get("/metrics");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("version=0.0.4"), "{page}");
        assert!(page.contains("\nebbline_build_info{version=\"1.2.3\"} 1\n"), "{page}");
        assert!(get("/").contains("/metrics"));
        assert!(get("/else").starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(address, "hello\r\n\r\n").starts_with("HTTP/1.1 400 "));
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
        assert!(!ask(address, &long).starts_with("HTTP/1.1 200 "));
        // Clients that ask nothing take all places; one more is closed, and later there is room again.
        let silent: Vec<TcpStream> = (0..READERS).map(|_| TcpStream::connect(address).unwrap()).collect();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(get("/metrics"), "");
        drop(silent);
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(get("/metrics").starts_with("HTTP/1.1 200 OK\r\n"));
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
