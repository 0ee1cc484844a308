//! Choosing among adapters that tests make up, and those of this machine.

mod cards;

use super::*;
use crate::auto::Forgets;

fn adapter(name: &str, kind: AdapterKind) -> AdapterInfo {
    AdapterInfo { name: name.to_owned(), kind, backend: "vulkan".to_owned(), driver: "test 1.0".to_owned() }
}

fn both() -> Vec<AdapterInfo> {
    vec![adapter("Radeon 780M", AdapterKind::Hardware), adapter("llvmpipe (LLVM 15)", AdapterKind::Software)]
}

fn pick(choice: Choice, name: Option<&str>, found: &[AdapterInfo]) -> Result<usize, OpenError> {
    super::pick(&Wish { adapter: name.map(str::to_owned), ..Wish::new(choice, Batches::Of(1)) }, found)
}

fn open(choice: Choice, name: Option<&str>, snapshot: Arc<Snapshot>) -> Result<Opened, OpenError> {
    let wish = Wish { adapter: name.map(str::to_owned), ..Wish::new(choice, Batches::UpTo(65_536)) };
    Opener::new(wish, &mut Forgets).open(snapshot)
}

#[test]
fn auto_and_gpu_take_hardware_only() {
    assert_eq!(pick(Choice::Auto, None, &both()).unwrap(), 0);
    assert_eq!(pick(Choice::Gpu, None, &both()).unwrap(), 0);
    let wish = Wish { software_too: true, ..Wish::new(Choice::Auto, Batches::Of(1)) };
    assert_eq!(super::pick(&wish, &both()[1..]).unwrap(), 0);
    let software = &both()[1..];
    for choice in [Choice::Auto, Choice::Gpu] {
        let error = pick(choice, None, software).unwrap_err();
        assert!(matches!(error, OpenError::NoHardware { .. }));
        assert_eq!(error.why(), "no hardware GPU found (llvmpipe (LLVM 15) is a software adapter)");
    }
    assert!(pick(Choice::Auto, Some("llvmpipe"), software).is_err());
}

#[test]
fn a_named_software_adapter_is_taken_by_gpu() {
    assert_eq!(pick(Choice::Gpu, Some("LLVMPIPE"), &both()).unwrap(), 1);
    assert_eq!(pick(Choice::Gpu, Some("Radeon 780M"), &both()).unwrap(), 0);
}

#[test]
fn a_name_that_nobody_has_is_an_error_where_it_is_asked_for() {
    let of = |name: Option<&str>, found: &[AdapterInfo]| {
        let wish = Wish { adapter: name.map(str::to_owned), ..Wish::new(Choice::Auto, Batches::Of(1)) };
        check(&wish, found.to_vec()).map_err(|error| error.why())
    };
    assert_eq!((of(None, &[]), of(Some("radeon"), &both()), of(Some("llvm"), &both())), (Ok(()), Ok(()), Ok(())));
    let why = "no adapter named \"H100\" (found Radeon 780M, llvmpipe (LLVM 15))";
    assert_eq!(of(Some("H100"), &both()), Err(why.to_owned()));
    assert_eq!(of(Some("H100"), &[]), Err("no adapter named \"H100\" (no Vulkan adapter found)".to_owned()));
}

#[test]
fn errors_are_one_line_with_the_next_step() {
    let errors = [
        pick(Choice::Gpu, None, &[]).unwrap_err(),
        pick(Choice::Gpu, None, &both()[1..]).unwrap_err(),
        pick(Choice::Gpu, Some("H100"), &both()).unwrap_err(),
        "fpga".parse::<Choice>().unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(!text.contains('\n') && text.contains("--"), "{text}");
    }
}

#[test]
fn what_was_opened_says_why() {
    let snapshot = model::testing::case("open", model::testing::Plan::default(), 1).snapshot;
    let hardware = crate::adapters().iter().any(|adapter| adapter.kind == AdapterKind::Hardware);
    let auto = open(Choice::Auto, None, Arc::clone(&snapshot)).unwrap();
    assert_eq!(auto.note.is_some(), hardware, "{}", auto.reason);
    assert!(hardware || auto.reason.starts_with("cpu: no hardware GPU found"), "{}", auto.reason);
    assert_eq!(auto.batch_rows, 65_536);
    assert_eq!(open(Choice::Gpu, None, Arc::clone(&snapshot)).is_ok(), hardware);
    let cpu = open(Choice::Cpu, Some("ignored"), Arc::clone(&snapshot)).unwrap();
    assert_eq!((cpu.backend.name(), cpu.reason.as_str()), ("cpu", "cpu: asked for"));
    for adapter in crate::adapters() {
        let named = open(Choice::Gpu, Some(&adapter.name), Arc::clone(&snapshot)).unwrap();
        assert_eq!((named.backend.name(), named.reason), ("gpu", format!("gpu: {adapter}")));
    }
}
