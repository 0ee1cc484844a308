//! A POST for each message.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::runtime::Runtime;

use super::{Again, Failure, Sink};
use crate::message::Parcel;
use crate::retry::retry_after;
use crate::settings::{Header, Settings};
use crate::words::hex;

/// A connection may take this long.
const CONNECT: Duration = Duration::from_secs(10);
/// Of an answer so much is read: it may be the reason, and a connection can be used again when it is read whole.
const ANSWER_BYTES: usize = 16 << 10;
/// So much of it is told.
const TOLD: usize = 160;

/// A receiver that speaks HTTP.
pub(super) struct Webhook {
    url: Url,
    client: Client,
    runtime: Runtime,
    key: Option<ring::hmac::Key>,
}

impl Webhook {
    pub(super) fn new(url: Url, settings: &Settings) -> Result<Self, String> {
        // Nobody else may have chosen; if somebody has, that is well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let client = Client::builder()
            .user_agent(concat!("ebbline/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(&settings.headers)?)
            // Who may redirect could have incidents, and their secrets, sent elsewhere.
            .redirect(Policy::none())
            .connect_timeout(CONNECT.min(settings.timeout))
            .timeout(settings.timeout)
            .build();
        let key = settings.key.as_ref().map(|key| ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key));
        let client = client.map_err(|error| chain(&error))?;
        Ok(Self { url, client, runtime: runtime.map_err(|error| error.to_string())?, key })
    }

    fn request(&self, parcel: &Parcel) -> RequestBuilder {
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let request = request.header("Idempotency-Key", &parcel.delivery);
        let request = match &self.key {
            Some(key) => {
                let tag = ring::hmac::sign(key, parcel.body.as_bytes());
                request.header("Ebbline-Signature", format!("sha256={}", hex(tag.as_ref())))
            }
            None => request,
        };
        request.body(parcel.body.clone())
    }
}

impl Sink for Webhook {
    fn send(&mut self, parcels: &[Parcel]) -> Result<(), Failure> {
        let send = async |parcel: &Parcel| match self.request(parcel).send().await {
            Ok(answer) => judge(answer).await,
            Err(error) => Err(unreached(error)),
        };
        parcels.iter().try_for_each(|parcel| self.runtime.block_on(send(parcel)))
    }
}

fn headers(given: &[Header]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for Header { name, value } in given {
        let wrong = || format!("the header {name} cannot be sent");
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(HeaderName::try_from(name).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}

/// Whether an answer says that the message is there.
async fn judge(answer: Response) -> Result<(), Failure> {
    let status = answer.status();
    let (asked, location) = (text(&answer, &RETRY_AFTER), text(&answer, &LOCATION));
    let said = beginning(answer).await;
    // What was lost after such a line of status does not matter.
    if status.is_success() {
        return Ok(());
    }
    let after = asked.and_then(|value| retry_after(&value, SystemTime::now()));
    let mut why = format!("it answered {status}");
    if let Some(location) = location.filter(|_| status.is_redirection()) {
        why += &format!(" to {}", without_query(&location));
    }
    if !said.is_empty() {
        why += &format!(" ({said})");
    }
    if let Some(step) = next_step(status) {
        why += &format!("; {step}");
    }
    Err(Failure { after, ..Failure::new(again(status), &why) })
}

fn again(status: StatusCode) -> Again {
    match status.as_u16() {
        408 | 425 | 429 | 502..=504 => Again::Later,
        400..=499 => Again::Never,
        _ => Again::Refused,
    }
}

fn next_step(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        300..=399 => Some("redirects are not followed: name that address itself if it is the receiver's"),
        401 | 403 => Some("check --header-file, then --retry-dead"),
        404 | 405 | 410 => Some("check the URL, then --retry-dead"),
        400..=499 if again(status) == Again::Never => Some("ask who runs it, then --retry-dead"),
        _ => None,
    }
}

fn text(answer: &Response, name: &HeaderName) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

fn without_query(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or_default()
}

/// How an answer begins; it is read to its end if that is near.
async fn beginning(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend(chunk),
            _ => break,
        }
    }
    bytes.truncate(TOLD);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Without the URL, in which there may be secrets.
fn unreached(error: reqwest::Error) -> Failure {
    let (late, connecting) = (error.is_timeout(), error.is_connect());
    let all = chain(&error.without_url());
    let mut why = match all.rsplit_once(": ") {
        _ if late => "it took longer than --timeout".to_owned(),
        Some((_, last)) if connecting => format!("cannot connect: {last}"),
        _ => all,
    };
    if why.contains("ertificate") {
        why += "; for an authority of your own name its certificates in SSL_CERT_FILE";
    }
    Failure::later(&why)
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text += &format!(": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        for (status, expected) in [
            (302, Again::Refused),
            (400, Again::Never),
            (401, Again::Never),
            (408, Again::Later),
            (413, Again::Never),
            (425, Again::Later),
            (429, Again::Later),
            (500, Again::Refused),
            (501, Again::Refused),
            (503, Again::Later),
        ] {
            assert_eq!(again(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"Jefe");
        let tag = ring::hmac::sign(&key, b"what do ya want for nothing?");
        assert_eq!(hex(tag.as_ref()), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
