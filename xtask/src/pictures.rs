//! The pictures in docs/images and README.md, of real runs: pages in a browser, verbs as text, the demo in the README.

use crate::report::{self, Recording, ebbline};
use crate::shell::{command, program, root, run as shell};
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// Take the pictures in docs/images and README.md, of real runs.
///
/// Pages and verbs show the recording in tests/data, `bench` and `doctor` this machine, the README the demo, captured live. The
/// screens of `ebbline top` are written by its test: EBBLINE_WRITE_GOLDEN=1 cargo test --workspace --test terminal.
#[derive(clap::Args)]
pub(crate) struct PicturesArgs {
    /// Install node, npm, Chromium (as root on Debian) and the pinned packages first
    #[arg(long)]
    install: bool,
    /// Leave the demo in the README as it is
    #[arg(long)]
    no_demo: bool,
}

/// Files in docs/images that the README holds, between lines that name them.
const EMBEDDED: [&str; 2] = ["terminal/demo.txt", "top/overview-80x24.txt"];
/// Findings of the demo that the README has room for.
const SHOWN: usize = 2;

pub(crate) fn run(args: &PicturesArgs) -> Result<()> {
    report::prepare(args.install)?;
    shell(&["cargo", "build", "--quiet", "--locked", "--bins", "--workspace"])?;
    let images = root().join("docs/images");
    let texts = images.join("terminal");
    std::fs::create_dir_all(&texts)?;
    report::in_folder(|folder| {
        let recording = Recording::score(folder)?;
        for (name, text) in screens(&recording)? {
            let text = text.replace(&*folder.to_string_lossy(), "");
            std::fs::write(texts.join(name), text.trim_end().to_owned() + "\n")?;
        }
        let pages = [recording.report()?, report::of_bench(folder, true)?];
        let shots = folder.join("shots");
        std::fs::create_dir(&shots)?;
        report::in_browser(&[Path::new("--shots"), &shots], &pages)?;
        keep(&shots, &images)
    })?;
    if !args.no_demo {
        let output = command(&["cargo", "xtask", "demo", "--must-capture"]).output().context("cannot start cargo")?;
        ensure!(output.status.success(), "the demo failed: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(texts.join("demo.txt"), excerpt(&String::from_utf8(output.stdout)?))?;
    }
    let readme = root().join("README.md");
    std::fs::write(&readme, embedded(&std::fs::read_to_string(&readme)?)?)?;
    Ok(())
}

/// What verbs print of the recording, and of this machine.
fn screens(of: &Recording) -> Result<Vec<(&'static str, String)>> {
    let archive = [Path::new("--archive"), of.live.as_path()];
    let listed = ebbline("incident", &[Path::new("list"), &of.scored, archive[0], archive[1], Path::new("--json")])?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let first = listed["incidents"][0]["id"].as_str().context("the recording has no incident")?;
    let shown = [Path::new("--limit"), Path::new("3")];
    let found = ebbline("show", &[&of.scored, Path::new("--limit"), Path::new("1"), Path::new("--json")])?;
    let found: serde_json::Value = serde_json::from_str(&found)?;
    let row = &found["findings"][0]["rows"][0];
    let file = of.live.join(row["file"].as_str().context("a finding has no row")?);
    let explained =
        ebbline("explain", &[&file, Path::new(&row["row"].to_string()), Path::new("--baseline"), &of.baseline])?;
    let doctor = std::process::Command::new(program("ebbline-agent")).arg("doctor").output()?;
    Ok(vec![
        ("show.txt", ebbline("show", &[&of.scored, shown[0], shown[1]])?),
        (
            "incident-list.txt",
            ebbline("incident", &[Path::new("list"), &of.scored, archive[0], archive[1], shown[0], shown[1]])?,
        ),
        (
            "incident-show.txt",
            ebbline("incident", &[Path::new("show"), &of.scored, Path::new(first), archive[0], archive[1]])?,
        ),
        ("explain.txt", explained),
        ("doctor.txt", without_build(&String::from_utf8(doctor.stdout)?)),
    ])
}

/// What a kernel was built for is nobody's business.
fn without_build(text: &str) -> String {
    let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
    format!("{}\n{rest}", head.split('-').next().unwrap_or_default())
}

/// Pictures light and dark, not those of paper and of a narrow window.
fn keep(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with("-light.png") || name.ends_with("-dark.png") {
            std::fs::copy(entry.path(), to.join(&name)).with_context(|| format!("cannot write: docs/images/{name}"))?;
        }
    }
    Ok(())
}

/// The demo without what there is no room for: of its findings the first, then how it ends.
fn excerpt(demo: &str) -> String {
    let mut out = String::from("$ cargo xtask demo\n");
    let mut findings = 0;
    for line in demo.lines().skip_while(|line| !line.starts_with("1. ")) {
        let number = line.trim_start().split("  ").next().and_then(|word| word.parse::<usize>().ok());
        findings = number.filter(|_| line.contains("   1 in ") || line.contains("  1 in ")).unwrap_or(findings);
        if findings == SHOWN + 1 && number == Some(SHOWN + 1) {
            out += "…\n";
        }
        if line.contains("unusual things were done") {
            findings = 0;
        }
        if findings <= SHOWN {
            out += line;
            out.push('\n');
        }
    }
    out
}

/// The README with the files that it holds as they are now.
fn embedded(readme: &str) -> Result<String> {
    EMBEDDED.iter().try_fold(readme.to_owned(), |text, name| {
        let picture = std::fs::read_to_string(root().join("docs/images").join(name)).context(*name)?;
        let (before, rest) =
            text.split_once(&begin(name)).with_context(|| format!("README.md has no {}", begin(name)))?;
        let (_, after) = rest.split_once("\n```\n").with_context(|| format!("README.md: {name} does not end"))?;
        Ok(format!("{before}{}{}\n```\n{after}", begin(name), picture.trim_end()))
    })
}

fn begin(name: &str) -> String {
    format!("<!-- cargo xtask pictures: docs/images/{name} -->\n```\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_holds_the_pictures_as_they_are() {
        let text = std::fs::read_to_string(root().join("README.md")).expect("README.md");
        assert_eq!(embedded(&text).expect("its pictures"), text, "cargo xtask pictures puts them in");
    }

    #[test]
    fn of_the_demo_the_first_findings_stay_and_the_end() {
        let demo = "$ cargo build\n1. Watching\n\nFindings\n\n  1  1 in 9   a\n     x\n\n  2  1 in 8   b\n     y\n\n  3  1 in 7   c\n     z\n\n  4  1 in 6   d\n\n3 unusual things were done\nDone\n";
        let text = excerpt(demo);
        assert!(text.contains("     y\n") && !text.contains("     z") && !text.contains("1 in 6"), "{text}");
        assert!(text.ends_with("…\n3 unusual things were done\nDone\n"), "{text}");
    }
}
