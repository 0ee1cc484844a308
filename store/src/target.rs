//! The store at a URL.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig};
use reqwest::Url;
use sha2::{Digest, Sha256};

use crate::error::{StoreError, one_line};
use crate::whole::hex;

/// A request, a part of 8 MiB among them, may take this long; the setting `timeout` says otherwise.
const REQUEST: &str = "120 seconds";
/// A connection may take this long.
const CONNECT: &str = "10 seconds";

/// A store, and where in it.
pub(crate) struct Target {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    parts: bool,
    id: String,
    secrets: Vec<String>,
}

impl Target {
    /// [`Target::connect`] for an upload.
    pub(crate) fn open(to: &str, settings: &[(String, String)]) -> Result<Self, StoreError> {
        Self::connect(to, settings).map_err(|why| StoreError::Upload { to: shown(to), why })
    }

    /// Makes it of a URL and settings; nothing is sent. Credentials come from the environment. An error is one line without
    /// secrets.
    pub(crate) fn connect(to: &str, settings: &[(String, String)]) -> Result<Self, String> {
        // Nobody else may have chosen; if somebody has, that is well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secrets = secrets(to, settings);
        let fail = |why: String| one_line(&hidden(&why, &secrets));
        let url = Url::parse(to).map_err(|error| fail(error.to_string()))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|error| fail(error.to_string()))?;
        let parts = scheme != ObjectStoreScheme::Http;
        let store = build(&scheme, &url, settings).map_err(fail)?;
        Ok(Self { store, prefix, parts, id: id(to, settings), secrets })
    }

    /// A text, perhaps of somebody else, without the secrets of this place.
    pub(crate) fn hide(&self, text: &str) -> String {
        hidden(text, &self.secrets)
    }

    /// The path in the store that the URL names.
    pub(crate) fn prefix(&self) -> &ObjectPath {
        &self.prefix
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Whether large files can go up in parts.
    pub(crate) fn takes_parts(&self) -> bool {
        self.parts
    }

    /// Names this place in the record.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where a file of the archive goes.
    pub(crate) fn place(&self, relative: &str) -> Result<ObjectPath, String> {
        let path = match self.prefix.as_ref() {
            "" => relative.to_owned(),
            prefix => format!("{prefix}/{relative}"),
        };
        ObjectPath::parse(path).map_err(|error| one_line(&error.to_string()))
    }
}

/// Names a place: URL and endpoint.
fn id(to: &str, settings: &[(String, String)]) -> String {
    let mut hash = Sha256::new();
    hash.update(shown(to).trim_end_matches('/'));
    for (key, value) in settings.iter().filter(|(key, _)| key.contains("endpoint")) {
        hash.update(format!("\n{key}={value}"));
    }
    hex(&hash.finalize())[..16].to_owned()
}

/// A URL without what may be secret in it.
#[must_use]
pub fn shown(to: &str) -> String {
    let Ok(mut url) = Url::parse(to) else {
        // Somebody and a password may stand before the host all the same.
        return one_line(to.rsplit_once('@').map_or(to, |(_, host)| host));
    };
    let _ = url.set_password(None); // of a URL that can have none
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Words in the names of options whose values are secret.
const SECRET: [&str; 5] = ["key", "secret", "token", "password", "credential"];

/// What must not be said of a place: passwords as they stand and as they are meant, whatever follows `?` and `#`, and options
/// by their names.
fn secrets(to: &str, settings: &[(String, String)]) -> Vec<String> {
    let url = Url::parse(to).ok();
    let of_url = url.iter().flat_map(|url| [url.password(), url.query(), url.fragment()]).flatten().map(str::to_owned);
    let query = url.iter().flat_map(|url| url.query().unwrap_or_default().split('&'));
    let values = query.filter_map(|pair| pair.split_once('=')).map(|(_, value)| value.to_owned());
    let is_secret = |key: &str| SECRET.iter().any(|word| key.to_ascii_lowercase().contains(word));
    let options = settings.iter().filter(|(key, _)| is_secret(key)).map(|(_, value)| value.clone());
    let mut secrets: Vec<String> = of_url.chain(values).chain(options).collect();
    let meant: Vec<String> = secrets.iter().filter_map(|text| decoded(text)).collect();
    secrets.extend(meant);
    secrets.retain(|text| !text.is_empty());
    // The longest first: one may hold another.
    secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
    secrets
}

/// Without the escapes of a URL, if it has any.
fn decoded(text: &str) -> Option<String> {
    let pairs = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    let url = Url::parse(&format!("x://x/?{pairs}")).ok()?;
    let value = url.query_pairs().next()?.1.into_owned();
    (value != text).then_some(value)
}

fn hidden(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// Short: what takes longer is tried again by us, with longer pauses.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 2, retry_timeout: Duration::from_secs(30) }
}

/// A builder with our bounds and the settings. One that the store does not know is an error: a typing mistake must not go
/// unseen.
macro_rules! build {
    ($builder:expr, $client:path, $settings:expr) => {{
        let mut builder = $builder.with_retry(retry());
        for (key, value) in [(ClientConfigKey::Timeout, REQUEST), (ClientConfigKey::ConnectTimeout, CONNECT)] {
            builder = builder.with_config($client(key), value);
        }
        for (key, value) in $settings {
            let known = key.to_ascii_lowercase().parse();
            builder = builder.with_config(known.map_err(|_| format!("unknown option {key}"))?, value);
        }
        Arc::new(builder.build().map_err(|error| error.to_string())?)
    }};
}

fn build(scheme: &ObjectStoreScheme, url: &Url, settings: &[(String, String)]) -> Result<Arc<dyn ObjectStore>, String> {
    let whole = url.to_string();
    Ok(match scheme {
        ObjectStoreScheme::Local if settings.is_empty() => Arc::new(LocalFileSystem::new().with_fsync(true)),
        ObjectStoreScheme::Local => return Err("a folder takes no options".into()),
        ObjectStoreScheme::AmazonS3 => {
            build!(AmazonS3Builder::from_env().with_url(whole), AmazonS3ConfigKey::Client, settings)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            build!(GoogleCloudStorageBuilder::from_env().with_url(whole), GoogleConfigKey::Client, settings)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            build!(MicrosoftAzureBuilder::from_env().with_url(whole), AzureConfigKey::Client, settings)
        }
        ObjectStoreScheme::Http => {
            let mut host = url.clone();
            host.set_path("");
            host.set_query(None);
            // Who spells out http wants it.
            let plain = (url.scheme() == "http").to_string();
            let builder = HttpBuilder::new().with_url(host).with_config(ClientConfigKey::AllowHttp, plain);
            build!(builder, std::convert::identity, settings)
        }
        _ => return Err("a scheme that is not known; use s3, gs, az, http, https or file".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_said_again() {
        let settings = [("secret_access_key".to_owned(), "hunter2".to_owned()), ("region".to_owned(), "eu".to_owned())];
        let secrets = secrets("https://me:p%40ss@host/x?sig=a%2Bb#frag", &settings);
        let said = hidden("PUT https://me:p%40ss@host: p@ss, sig a+b, a%2Bb, hunter2, #frag, region eu", &secrets);
        for secret in ["p%40ss", "p@ss", "a+b", "a%2Bb", "hunter2", "frag"] {
            assert!(!said.contains(secret), "{said}");
        }
        assert!(said.contains("https://me:***@host") && said.ends_with("region eu"), "{said}");
        assert_eq!(shown("https://me:x@h/y?z#w"), "https://me@h/y");
        assert_eq!(shown("//me:x@h/y"), "h/y");
    }

    fn open(to: &str, settings: &[(&str, &str)]) -> Result<Target, String> {
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Target::open(to, &settings).map_err(|error| error.to_string())
    }

    #[test]
    fn every_scheme_is_there() {
        let keys = [("access_key_id", "a"), ("secret_access_key", "b"), ("region", "c")];
        let s3 = open("s3://bucket/some/where/", &keys).unwrap();
        assert_eq!(
            s3.place("process/day=2026-01-01/host=a/x.parquet").unwrap().as_ref(),
            "some/where/process/day=2026-01-01/host=a/x.parquet"
        );
        open("az://container/x", &[("account_name", "a"), ("account_key", "YQ==")]).unwrap();
        let dav = open("http://127.0.0.1:1/dav", &[]).unwrap();
        assert!(s3.takes_parts() && !dav.takes_parts() && s3.id() != dav.id());
        assert_eq!(open("file:///tmp", &[]).unwrap().place("a").unwrap().as_ref(), "tmp/a");
    }

    #[test]
    fn what_cannot_be_is_one_line_without_secrets() {
        for (to, key) in [("ftp://x/y", ""), ("nothing", ""), ("s3://b/p", "acess_key"), ("file:///tmp", "region")] {
            let settings = if key.is_empty() { vec![] } else { vec![(key, "x")] };
            let error = open(to, &settings).err().unwrap();
            assert!(error.starts_with("cannot upload: ") && error.lines().count() == 1, "{error}");
        }
        let error = open("https://me:secret@host/x", &[("bad", "x")]).err().unwrap();
        assert!(error.contains("unknown option bad") && !error.contains("secret"), "{error}");
    }
}
