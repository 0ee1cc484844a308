//! The files in which runtimes keep a container's names.
//!
//! The caller reads them, none larger than 1 MiB. Nothing is asked of a runtime over its socket: that would need its
//! rights.

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
    /// An OCI `config.json` with the annotations of containerd or nerdctl.
    Containerd,
    /// An OCI `config.json` with the annotations of CRI-O.
    CriO,
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
        (Kind::Containerd, task("k8s.io")),
        (Kind::Containerd, task("default")),
        (Kind::Containerd, task("moby")),
        (Kind::CriO, format!("/run/containers/storage/overlay-containers/{id}/userdata/config.json")),
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
        Kind::Containerd => containerd(&annotations(file)?),
        Kind::CriO => crio(&annotations(file)?),
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
    let image = text(&config.image.unwrap_or_default());
    let own = container.name.unwrap_or_default();
    let own = own.strip_prefix('/').unwrap_or(&own);
    // Labels come from the image too. Only the kubelet's containers are named like this, and its labels win.
    let labels = config.labels.filter(|_| own.starts_with("k8s_")).unwrap_or_default();
    Some(Names { name: first(&labels, &[CONTAINER]).or_else(|| text(own)), image, pod: kubelet_pod(&labels) })
}

/// Keys of the kubelet.
const CONTAINER: &str = "io.kubernetes.container.name";
const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD: &str = "io.kubernetes.pod.name";

fn annotations(file: &[u8]) -> Option<Labels> {
    #[derive(Deserialize)]
    struct Spec {
        annotations: Option<Labels>,
    }
    serde_json::from_slice::<Spec>(file).ok()?.annotations
}

fn containerd(own: &Labels) -> Option<Names> {
    let pod = pod(own, "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name");
    let holds_pod = own.get("io.kubernetes.cri.container-type").is_some_and(|kind| kind == "sandbox");
    let name = first(own, &["io.kubernetes.cri.container-name", "nerdctl/name"]);
    let name = if holds_pod { Some("POD".to_owned()) } else { name };
    Some(Names { name, image: first(own, &["io.kubernetes.cri.image-name"]), pod })
}

/// A pod's author may add annotations, but not change those under CRI-O's own keys: they come first.
fn crio(own: &Labels) -> Option<Names> {
    let labels = own.get("io.kubernetes.cri-o.Labels").and_then(|labels| serde_json::from_str(labels).ok());
    let kubelet: Labels = labels.unwrap_or_default();
    let named = pod(own, "io.kubernetes.cri-o.Namespace", "io.kubernetes.cri-o.KubeName");
    Some(Names {
        name: first(&kubelet, &[CONTAINER]).or_else(|| first(own, &[CONTAINER])),
        image: first(own, &["io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"]),
        pod: kubelet_pod(&kubelet).or(named).or_else(|| kubelet_pod(own)),
    })
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
        /// CRI-O: the name in the pod's specification.
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

fn kubelet_pod(labels: &Labels) -> Option<String> {
    pod(labels, NAMESPACE, POD)
}

fn pod(labels: &Labels, namespace: &str, name: &str) -> Option<String> {
    Some(format!("{}/{}", first(labels, &[namespace])?, first(labels, &[name])?))
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
        let image_labels = pod.replace("/k8s_app", "/web");
        assert_eq!(read(Kind::Docker, &image_labels), some("web_app-0_shop_1_0", "sha256:12ab", ""));
        assert_eq!(read(Kind::Docker, r#"{"Name":"/x","Config":{"Labels":null}}"#), some("x", "", ""));
    }

    #[test]
    fn annotations_of_each_runtime_are_read() {
        let containerd = r#"{"ociVersion":"1.2.0","process":{"args":["/app"]},"root":{"path":"rootfs"},"annotations":{
            "io.kubernetes.cri.container-name":"app","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.image-name":"registry.example/app:v1","io.kubernetes.cri.sandbox-id":"77",
            "io.kubernetes.cri.sandbox-name":"app-0","io.kubernetes.cri.sandbox-namespace":"shop"},"linux":{}}"#;
        assert_eq!(read(Kind::Containerd, containerd), some("app", "registry.example/app:v1", "shop/app-0"));
        let pause = r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox",
            "io.kubernetes.cri.sandbox-name":"app-0","io.kubernetes.cri.sandbox-namespace":"shop"}}"#;
        assert_eq!(read(Kind::Containerd, pause), some("POD", "", "shop/app-0"));
        assert_eq!(read(Kind::Containerd, r#"{"annotations":{"nerdctl/name":"web"}}"#), some("web", "", ""));
        let crio = r#"{"annotations":{"io.kubernetes.cri-o.ContainerType":"container","io.kubernetes.pod.name":"other",
            "io.kubernetes.cri-o.ImageName":"quay.example/app:1","io.kubernetes.cri-o.Image":"12ab",
            "io.kubernetes.cri-o.Labels":"{\"io.kubernetes.container.name\":\"app\",\"io.kubernetes.pod.name\":\"app-0\",\"io.kubernetes.pod.namespace\":\"shop\"}"}}"#;
        assert_eq!(read(Kind::CriO, crio), some("app", "quay.example/app:1", "shop/app-0"));
        let pause = r#"{"annotations":{"io.kubernetes.container.name":"POD","io.kubernetes.cri-o.KubeName":"app-0",
            "io.kubernetes.cri-o.Namespace":"shop"}}"#;
        assert_eq!(read(Kind::CriO, pause), some("POD", "", "shop/app-0"));
        let podman = r#"{"annotations":{"io.container.manager":"libpod","org.opencontainers.image.stopSignal":"15"}}"#;
        assert_eq!(read(Kind::CriO, podman), None);
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
        for kind in [Kind::Docker, Kind::Containerd, Kind::CriO, Kind::Storage] {
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
            let _ = [Kind::Containerd, Kind::CriO, Kind::Storage].map(|kind| names(kind, &noise, ID));
        }
    }
}
