//! The files in which runtimes keep a container's names.
//!
//! The caller reads them, none larger than 1 MiB. Nothing is asked of a runtime over its socket: that would need its rights.

use super::path::is_id;
use serde::Deserialize;
use std::{collections::HashMap, path::PathBuf};

/// A name is cut here, in bytes.
pub const MAX_NAME: usize = 256;

/// The shape of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Docker's `config.v2.json`.
    Docker,
    /// `config.json` as the OCI runtime specification has it, with the annotations of containerd, CRI-O or nerdctl.
    Oci,
    /// `containers.json` of the storage that Podman and CRI-O share: a list of all containers.
    Storage,
}

/// What people call a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Its name; in a pod the one from the pod's specification, and `POD` for the container that only holds the pod.
    pub name: Option<String>,
    /// Its image, as it was asked for.
    pub image: Option<String>,
    /// Namespace and name of its pod, with a slash between.
    pub pod: Option<String>,
}

/// The files that may name a container, the most telling first; none if `id` is not a container's.
#[must_use]
pub fn candidates(id: &str) -> Vec<(Kind, PathBuf)> {
    // The id becomes part of a path: it must be one.
    if !is_id(id) {
        return Vec::new();
    }
    let task = |namespace| format!("/run/containerd/io.containerd.runtime.v2.task/{namespace}/{id}/config.json");
    [
        (Kind::Docker, format!("/var/lib/docker/containers/{id}/config.v2.json")),
        (Kind::Oci, task("k8s.io")),
        (Kind::Oci, task("default")),
        (Kind::Oci, task("moby")),
        (Kind::Oci, format!("/run/containers/storage/overlay-containers/{id}/userdata/config.json")),
        (Kind::Storage, "/var/lib/containers/storage/overlay-containers/containers.json".to_owned()),
        // Those started with --rm.
        (Kind::Storage, "/var/lib/containers/storage/overlay-containers/volatile-containers.json".to_owned()),
    ]
    .map(|(kind, path)| (kind, path.into()))
    .into()
}

/// The names of the container `id` in a file of a kind, if it says any.
#[must_use]
pub fn names(kind: Kind, file: &[u8], id: &str) -> Option<Names> {
    let names = match kind {
        Kind::Docker => docker(file),
        Kind::Oci => oci(file),
        Kind::Storage => storage(file, id),
    }?;
    (names != Names::default()).then_some(names)
}

type Labels = HashMap<String, String>;

fn docker(file: &[u8]) -> Option<Names> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Container {
        name: Option<String>,
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        image: Option<String>,
        labels: Option<Labels>,
    }
    let container: Container = serde_json::from_slice(file).ok()?;
    let config = container.config.unwrap_or(Config { image: None, labels: None });
    let labels = config.labels.unwrap_or_default();
    let own = container.name.as_deref().map(|name| name.strip_prefix('/').unwrap_or(name));
    Some(Names {
        name: first(&labels, &[CONTAINER]).or_else(|| text(own?)),
        image: text(&config.image.unwrap_or_default()),
        pod: pod(&labels),
    })
}

/// Written by the kubelet, and by each runtime under keys of its own.
const CONTAINER: &str = "io.kubernetes.container.name";
const CONTAINER_KEYS: &[&str] = &["io.kubernetes.cri.container-name", CONTAINER, "nerdctl/name"];
const IMAGE_KEYS: &[&str] =
    &["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"];
const TYPE_KEYS: &[&str] = &["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];
const POD_KEYS: &[&str] = &["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name", "io.kubernetes.cri-o.KubeName"];
const NAMESPACE_KEYS: &[&str] =
    &["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace", "io.kubernetes.cri-o.Namespace"];
/// CRI-O keeps the kubelet's labels as one annotation, in JSON.
const LABELS: &str = "io.kubernetes.cri-o.Labels";

fn oci(file: &[u8]) -> Option<Names> {
    #[derive(Deserialize)]
    struct Spec {
        annotations: Option<Labels>,
    }
    let spec: Spec = serde_json::from_slice(file).ok()?;
    let own = spec.annotations.unwrap_or_default();
    let kubelet: Labels = own.get(LABELS).and_then(|labels| serde_json::from_str(labels).ok()).unwrap_or_default();
    let holds_pod = first(&own, TYPE_KEYS).is_some_and(|kind| kind == "sandbox");
    let name = if holds_pod {
        Some("POD".to_owned())
    } else {
        first(&own, CONTAINER_KEYS).or_else(|| first(&kubelet, &[CONTAINER]))
    };
    Some(Names { name, image: first(&own, IMAGE_KEYS), pod: pod(&own).or_else(|| pod(&kubelet)) })
}

fn storage(file: &[u8], id: &str) -> Option<Names> {
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        names: Option<Vec<String>>,
        image: Option<String>,
        metadata: Option<String>,
    }
    /// JSON in a text.
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "kebab-case")]
    struct Metadata {
        image_name: Option<String>,
        name: Option<String>,
        /// CRI-O: the name in the pod's specification, and the pod's namespace.
        metadata_name: Option<String>,
    }
    let entries: Vec<Entry> = serde_json::from_slice(file).ok()?;
    let entry = entries.into_iter().find(|entry| entry.id == id)?;
    let metadata: Metadata = entry.metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let known = entry.names.unwrap_or_default().into_iter().next();
    let name = [metadata.metadata_name, metadata.name, known].into_iter().flatten().find_map(|name| text(&name));
    let image = [metadata.image_name, entry.image].into_iter().flatten().find_map(|image| text(&image));
    Some(Names { name, image, pod: None })
}

fn pod(labels: &Labels) -> Option<String> {
    Some(format!("{}/{}", first(labels, NAMESPACE_KEYS)?, first(labels, POD_KEYS)?))
}

fn first(labels: &Labels, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| text(labels.get(*key)?))
}

/// A name of bounded length; an empty one is none.
fn text(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name[..name.floor_char_boundary(MAX_NAME)].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn some(name: &str, image: &str, pod: &str) -> Option<Names> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Names { name: text(name), image: text(image), pod: text(pod) })
    }

    fn read(kind: Kind, file: &str) -> Option<Names> {
        names(kind, file.as_bytes(), ID)
    }

    #[test]
    fn docker_names_are_read() {
        let plain = r#"{"StreamConfig":{},"State":{"Running":true,"Pid":811},"ID":"x","Created":"2026-01-02T03:04:05.6Z",
            "Config":{"Hostname":"0123","Env":["A=b"],"Image":"nginx:1.27","Labels":{}},"Name":"/web","Driver":"overlay2"}"#;
        assert_eq!(read(Kind::Docker, plain), some("web", "nginx:1.27", ""));
        let pod = r#"{"Config":{"Image":"sha256:12ab","Labels":{"io.kubernetes.container.name":"app",
            "io.kubernetes.pod.name":"app-0","io.kubernetes.pod.namespace":"shop"}},"Name":"/k8s_app_app-0_shop_1_0"}"#;
        assert_eq!(read(Kind::Docker, pod), some("app", "sha256:12ab", "shop/app-0"));
        assert_eq!(read(Kind::Docker, r#"{"Name":"/x","Config":{"Labels":null}}"#), some("x", "", ""));
    }

    #[test]
    fn annotations_of_each_runtime_are_read() {
        let containerd = r#"{"ociVersion":"1.2.0","process":{"args":["/app"]},"root":{"path":"rootfs"},"annotations":{
            "io.kubernetes.cri.container-name":"app","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.image-name":"registry.example/app:v1","io.kubernetes.cri.sandbox-id":"77",
            "io.kubernetes.cri.sandbox-name":"app-0","io.kubernetes.cri.sandbox-namespace":"shop"},"linux":{}}"#;
        assert_eq!(read(Kind::Oci, containerd), some("app", "registry.example/app:v1", "shop/app-0"));
        let pause = r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox",
            "io.kubernetes.cri.sandbox-name":"app-0","io.kubernetes.cri.sandbox-namespace":"shop"}}"#;
        assert_eq!(read(Kind::Oci, pause), some("POD", "", "shop/app-0"));
        let crio = r#"{"annotations":{"io.kubernetes.cri-o.ContainerType":"container","io.kubernetes.cri-o.ImageName":"quay.example/app:1",
            "io.kubernetes.cri-o.Image":"12ab","io.kubernetes.cri-o.Labels":"{\"io.kubernetes.container.name\":\"app\",
            \"io.kubernetes.pod.name\":\"app-0\",\"io.kubernetes.pod.namespace\":\"shop\"}"}}"#;
        assert_eq!(read(Kind::Oci, &crio.replace('\n', " ")), some("app", "quay.example/app:1", "shop/app-0"));
        assert_eq!(read(Kind::Oci, r#"{"annotations":{"nerdctl/name":"web"}}"#), some("web", "", ""));
    }

    #[test]
    fn the_list_is_searched_by_id() {
        let list = r#"[{"id":"77","names":["other"]},{"id":"ID","names":["web"],"image":"12ab","layer":"34cd",
            "metadata":"{\"image-name\":\"docker.io/library/nginx:1.27\",\"image-id\":\"12ab\",\"name\":\"web\",\"created-at\":17}",
            "created":"2026-01-02T03:04:05Z","flags":{"MountLabel":""}}]"#
            .replace("ID", ID);
        assert_eq!(read(Kind::Storage, &list), some("web", "docker.io/library/nginx:1.27", ""));
        assert_eq!(names(Kind::Storage, list.as_bytes(), "78"), None);
        let bare = format!(r#"[{{"id":"{ID}","names":["web"],"image":"12ab","metadata":"not JSON"}}]"#);
        assert_eq!(read(Kind::Storage, &bare), some("web", "12ab", ""));
    }

    #[test]
    fn a_file_that_names_nothing_is_none() {
        for kind in [Kind::Docker, Kind::Oci, Kind::Storage] {
            for file in ["", "{}", "[]", "null", "{\"annotations\":{}}", "{\"Name\":\"/\"}", &"[".repeat(100_000)] {
                assert_eq!(read(kind, file), None);
            }
        }
    }

    #[test]
    fn only_an_id_becomes_a_path() {
        assert_eq!(candidates(ID).len(), 7);
        assert!(candidates("../../etc").is_empty());
        assert!(candidates("").is_empty());
    }

    proptest! {
        #[test]
        fn never_panics_and_is_bounded(name in "\\PC{0,400}", noise: Vec<u8>) {
            let quoted = serde_json::to_string(&name).unwrap();
            let file = format!(r#"{{"Name":{quoted},"Config":{{"Image":{quoted}}}}}"#);
            for read in [names(Kind::Docker, file.as_bytes(), ID), names(Kind::Docker, &noise, ID)].into_iter().flatten() {
                prop_assert!([read.name, read.image].into_iter().flatten().all(|text| text.len() <= MAX_NAME));
            }
            let _ = (names(Kind::Oci, &noise, ID), names(Kind::Storage, &noise, ID));
        }
    }
}
