//! The container, its runtime and its pod, as the cgroup path tells them.

/// What runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, under Kubernetes or nerdctl.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// The task agent of Amazon ECS on Fargate.
    Ecs,
}

impl Runtime {
    /// Its usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Ecs => "ecs",
        }
    }
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerId {
    /// 64 hexadecimal digits, or 32 and a number under ECS.
    pub id: String,
    /// What runs it, if the path says so.
    pub runtime: Option<Runtime>,
    /// The Kubernetes pod's uid, with dashes, if it is in one.
    pub pod: Option<String>,
}

/// What stands before the id in the name of a container's scope. Others, `libpod-conmon-` among them, are no
/// containers.
const PREFIXES: &[(&str, Runtime)] = &[
    ("docker-", Runtime::Docker),
    ("cri-containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
    ("libpod-", Runtime::Podman),
    // With --cgroups=split, as units made by Quadlet have it.
    ("libpod-payload-", Runtime::Podman),
];

/// The container that a cgroup v2 path lies in: the innermost, where containers run in containers.
#[must_use]
pub fn of_path(cgroup_path: &str) -> Option<ContainerId> {
    let mut outer = cgroup_path;
    loop {
        let (parents, component) = outer.rsplit_once('/')?;
        if let Some((id, runtime)) = container(component, parents) {
            return Some(ContainerId { id: id.to_owned(), runtime, pod: pod(outer) });
        }
        outer = parents;
    }
}

/// The id in one component of a path.
fn container<'a>(component: &'a str, parents: &str) -> Option<(&'a str, Option<Runtime>)> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    if is_id(name) {
        return Some((name, if is_ecs(name) { Some(Runtime::Ecs) } else { of_parent(parents) }));
    }
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = name.strip_prefix(prefix).filter(|id| is_hex(id, 64)) {
            return Some((id, Some(*runtime)));
        }
    }
    // A systemd name that the runtime took for a cgroupfs one: kubepods-podUID.slice:cri-containerd:ID.
    let (head, id) = name.rsplit_once(':').filter(|(_, id)| is_hex(id, 64))?;
    let prefix = head.rsplit(':').next()?;
    let runtime = PREFIXES.iter().find(|(known, _)| known.strip_suffix('-') == Some(prefix));
    Some((id, runtime.map(|(_, runtime)| *runtime)))
}

/// With the cgroupfs driver the scope is the bare id; the folder above names some runtimes.
fn of_parent(parents: &str) -> Option<Runtime> {
    let (above, parent) = parents.rsplit_once('/')?;
    let grandparent = above.rsplit('/').next();
    match parent {
        "docker" => Some(Runtime::Docker),
        "libpod_parent" => Some(Runtime::Podman),
        // The ECS agent puts Docker's containers into a folder per task.
        _ => (grandparent == Some("ecs")).then_some(Runtime::Docker),
    }
}

/// The pod that the container lies in: `podUID`, or `kubepods-…-podUID.slice` with underscores.
fn pod(path: &str) -> Option<String> {
    path.rsplit('/').find_map(|component| {
        // The slice stands before the container where a systemd name was taken for a cgroupfs one.
        let name = component.split(':').next()?;
        let name = name.strip_suffix(".slice").unwrap_or(name);
        uid(&name.replace('_', "-")).map(str::to_owned)
    })
}

fn uid(name: &str) -> Option<&str> {
    let start = name.rfind("pod").filter(|start| *start == 0 || name[..*start].ends_with('-'))?;
    let uid = &name[start + 3..];
    // A static pod's uid is a digest without dashes.
    let digits = uid.bytes().filter(|byte| *byte != b'-').count();
    let plain = uid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    (plain && digits == 32 && matches!(uid.len(), 32 | 36)).then_some(uid)
}

/// A container id, which is safe as part of a file's path.
pub(super) fn is_id(text: &str) -> bool {
    is_hex(text, 64) || is_ecs(text)
}

fn is_ecs(text: &str) -> bool {
    let number = |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(task, rest)| is_hex(task, 32) && number(rest))
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const POD: &str = "6f1ac7c9-3a55-4c63-9d6e-0d4b1f0a7c11";

    /// Path with `A`, `B`, `POD` and `P_D` (underscores) filled in; then id, runtime and whether the pod is told.
    fn check(path: &str, id: &str, runtime: Option<Runtime>, pod: bool) {
        let path = path.replace("P_D", &POD.replace('-', "_")).replace("POD", POD).replace('A', A).replace('B', B);
        let expected = ContainerId { id: id.to_owned(), runtime, pod: pod.then(|| POD.to_owned()) };
        assert_eq!(of_path(&path), Some(expected), "{path}");
    }

    #[test]
    fn each_runtime_is_known_by_its_paths() {
        use Runtime::{Containerd, CriO, Docker, Podman};
        let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podP_D.slice";
        check("/system.slice/docker-A.scope", A, Some(Docker), false);
        check("/docker/A", A, Some(Docker), false);
        check("/ecs/0123456789abcdef0123456789abcdef/A", A, Some(Docker), false);
        check(&format!("{slice}/cri-containerd-A.scope"), A, Some(Containerd), true);
        check(&format!("{slice}/docker-A.scope"), A, Some(Docker), true);
        check(&format!("{slice}/crio-A.scope/container"), A, Some(CriO), true);
        check("/kubepods.slice/kubepods-podP_D.slice/crio-A.scope", A, Some(CriO), true);
        check("/kubepods/besteffort/podPOD/A", A, None, true);
        check("/kubepods/podPOD/crio-A", A, Some(CriO), true);
        check("/system.slice/kubepods-podP_D.slice:cri-containerd:A", A, Some(Containerd), true);
        check("/machine.slice/libpod-A.scope/container", A, Some(Podman), false);
        check("/system.slice/web.service/libpod-payload-A", A, Some(Podman), false);
        check("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-A.scope", A, Some(Podman), false);
        check("/system.slice/nerdctl-A.scope", A, Some(Containerd), false);
    }

    #[test]
    fn ecs_tasks_have_ids_of_their_own() {
        let id = "0123456789abcdef0123456789abcdef-1234567890";
        check(
            "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890",
            id,
            Some(Runtime::Ecs),
            false,
        );
    }

    #[test]
    fn the_innermost_container_wins() {
        check("/system.slice/docker-A.scope/docker/B/init.scope", B, Some(Runtime::Docker), false);
        check("/docker/A/kubepods/podPOD/B", B, None, true);
        check(
            "/docker-A.scope/kubelet/kubepods.slice/kubepods-podP_D.slice/cri-containerd-B.scope",
            B,
            Some(Runtime::Containerd),
            true,
        );
    }

    #[test]
    fn a_static_pod_has_a_digest_for_a_uid() {
        let path = format!("/kubepods/burstable/pod0123456789abcdef0123456789abcdef/{A}");
        assert_eq!(of_path(&path).unwrap().pod.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    }

    #[test]
    fn others_are_none() {
        let others = [
            "",
            "/",
            "A",
            "/user.slice/session-1.scope",
            "/machine.slice/libpod-conmon-A.scope",
            "/crio-conmon-A.scope",
            "/system.slice/docker.service",
            "/machine.slice/machine-web.scope",
            "/docker/A0",
            "/docker-A",
            "/kubepods/podPOD",
        ];
        for path in others {
            let path = path.replace("docker-A", "docker-A.service").replace("POD", POD).replace('A', A);
            assert_eq!(of_path(&path), None, "{path}");
        }
        assert_eq!(of_path(&format!("/docker/{}", A.to_uppercase())), None);
    }

    proptest! {
        #[test]
        fn never_panics_and_ids_are_ids(path in "(/(pod|docker-|crio-|é|:|[0-9a-f]{64}|[0-9a-f]{32}-[0-9]{1,3}|.{0,9}|\\.scope){0,3}){0,4}") {
            if let Some(found) = of_path(&path) {
                prop_assert!(is_id(&found.id) && path.contains(&found.id));
                prop_assert!(found.pod.is_none_or(|pod| pod.len() <= 36));
            }
        }
    }
}
