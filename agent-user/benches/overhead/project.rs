//! A small C project, always the same.

use anyhow::{Context, Result, ensure};
use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const FUNCTIONS: usize = 24;

const MAKEFILE: &str = "\
OBJECTS := $(patsubst %.c,out/%.o,$(wildcard *.c))
out/program: $(OBJECTS)
	gcc -o $@ $^
out/%.o: %.c common.h
	gcc -O1 -c -o $@ $<
";

const HEADER: &str = "\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct item { int key; char name[32]; struct item *next; };
";

/// Why it cannot be built here.
pub(crate) fn missing() -> Option<String> {
    let works = |name: &str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
    let missing: Vec<_> = ["make", "gcc"].into_iter().filter(|name| !works(name)).collect();
    (!missing.is_empty()).then(|| format!("{} missing", missing.join(" and ")))
}

pub(crate) fn folder(below: &Path) -> PathBuf {
    below.join("project")
}

/// Writes so many units and the one that calls them; the user may build below.
pub(crate) fn write(folder: &Path, units: usize, user: u32) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(folder.join("Makefile"), MAKEFILE)?;
    fs::write(folder.join("common.h"), HEADER)?;
    let mut main = String::from("#include \"common.h\"\n");
    for unit in 0..units {
        fs::write(folder.join(format!("unit{unit}.c")), source(unit))?;
        writeln!(main, "int unit{unit}(int);")?;
    }
    let calls: Vec<_> = (0..units).map(|unit| format!("unit{unit}(argc)")).collect();
    write!(main, "int main(int argc, char **argv) {{\n\treturn argv[0] == 0 ? 1 : ({}) & 0;\n}}\n", calls.join(" + "))?;
    fs::write(folder.join("main.c"), main)?;
    chown(folder, Some(user), Some(user))?;
    Ok(())
}

fn source(unit: usize) -> String {
    let mut text = String::from("#include \"common.h\"\n");
    for function in 0..FUNCTIONS {
        let constant = (unit * FUNCTIONS + function) * 2_654_435_761 % 1_000_003;
        text += &format!(
            "
static int work{function}(int given, struct item *list) {{
	int sum = {constant};
	for (struct item *at = list; at; at = at->next) {{
		if (at->key % {} == 0) sum += at->key * given;
		else if (strlen(at->name) > {}) sum ^= snprintf(at->name, sizeof at->name, \"%d-%d\", sum, given);
		switch (sum & 7) {{ case 1: sum += 3; break; case 4: sum -= given; break; case 6: sum *= 5; break; default: sum++; }}
	}}
	return sum;
}}
",
            constant % 17 + 2,
            constant % 23,
        );
    }
    let calls: Vec<_> = (0..FUNCTIONS).map(|function| format!("work{function}(given, &one)")).collect();
    text + &format!(
        "\nint unit{unit}(int given) {{\n\tstruct item one = {{ given, \"one\", 0 }};\n\treturn {};\n}}\n",
        calls.join(" + ")
    )
}

/// Removes what was built.
pub(crate) fn clean(folder: &Path) -> Result<()> {
    let out = folder.join("out");
    match fs::remove_dir_all(&out) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir(&out).with_context(|| format!("cannot make {}", out.display()))
}

/// All of it, two compilers at a time.
pub(crate) fn build(folder: &Path) -> Result<()> {
    let output = Command::new("make").args(["-s", "-j2", "-C"]).arg(folder).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "make failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
