//! What docs/cluster.md and the manifest for Kubernetes say is what the program takes.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Fixture, outputs};
use tests::ended;
use yaml_rust2::{Yaml, YamlLoader};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

#[test]
fn the_five_commands_of_the_page_learn_and_score() {
    let page = fs::read_to_string(root().join("docs/cluster.md")).unwrap();
    let commands = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(commands.lines().count(), 5, "{commands}");
    let fixture = Fixture::new(20_000, 2, 3);
    let program = Path::new(env!("CARGO_BIN_EXE_ebbline-cluster")).parent().unwrap().to_path_buf();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let script = format!("set -e\n{commands}kill $(jobs -p)\n");
    // Its ports are fixed: they are the test's own where it may have a network of its own.
    let may = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    let mut command = match may.is_ok_and(|output| output.status.success()) {
        true => {
            let mut command = Command::new("unshare");
            command.args(["--net", "bash", "-c", &format!("ip link set lo up\n{script}")]);
            command
        }
        false => {
            let mut command = Command::new("bash");
            command.args(["-c", &script]);
            command
        }
    };
    let ended = ended(command.current_dir(fixture.folder.path()).env("PATH", path));
    assert_eq!(ended.code, 0, "{ended:?}");
    let found = outputs(&fixture.at("scored"));
    let sidecars = |outputs: &common::Outputs| outputs.iter().filter(|(path, _)| path.starts_with("scores")).count();
    assert_eq!(sidecars(&found), sidecars(&fixture.whole));
    assert!(!fixture.at("normal.baseline.learning").exists());
}

/// The items of a list of texts.
fn texts(yaml: &Yaml) -> Vec<String> {
    yaml.as_vec().into_iter().flatten().map(|item| item.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn the_manifest_for_kubernetes_is_well_formed_and_its_arguments_are_taken() {
    let text = fs::read_to_string(root().join("packaging/kubernetes/ebbline-cluster.yaml")).unwrap();
    let objects = YamlLoader::load_from_str(&text).unwrap();
    let mut roles = Vec::new();
    for object in &objects {
        for key in ["apiVersion", "kind"] {
            assert!(object[key].as_str().is_some(), "{object:?}");
        }
        let name = object["metadata"]["name"].as_str().expect("a name");
        assert!(name == "ebbline" || object["metadata"]["namespace"].as_str() == Some("ebbline"), "{name}");
        let (spec, pod) = (&object["spec"], &object["spec"]["template"]);
        if let Some(labels) = spec["selector"]["matchLabels"].as_hash() {
            assert_eq!(Some(labels), pod["metadata"]["labels"].as_hash(), "{name}");
        }
        let volumes = pod["spec"]["volumes"].as_vec().cloned().unwrap_or_default();
        for container in pod["spec"]["containers"].as_vec().into_iter().flatten() {
            assert_eq!(texts(&container["command"]), ["ebbline-cluster"]);
            for mount in container["volumeMounts"].as_vec().into_iter().flatten() {
                assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{name}");
            }
            // With `--help` behind them all arguments are read, and nothing is done.
            let mut command = Command::new(env!("CARGO_BIN_EXE_ebbline-cluster"));
            let ended = ended(command.args(texts(&container["args"])).arg("--help"));
            assert_eq!(ended.code, 0, "{name}: {ended:?}");
            roles.push(name.to_owned());
        }
    }
    assert_eq!((objects.len(), roles), (7, vec!["scheduler".into(), "executor".into(), "submit".to_owned()]));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebbline-cluster"));
    assert_eq!(ended(command.args(["executor", "--no-such", "--help"])).code, 2, "the check can fail");
}
