//! Which tests run in a guest, and which of them cannot pass where.

use super::{Outcome, guest::Program};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Seconds that one test may take, emulated.
pub(super) const TEST_SECONDS: u32 = 900;

/// The most telling: the events that every kernel must give, exact books, and the doctor.
const QUICK: &[(&str, &[&str])] = &[
    (
        "live",
        &["every_event_is_stored_or_counted_as_dropped", "other_processes_never_show", "the_doctor_agrees_with_run"],
    ),
    ("live_calls", &["every_call_leaves_a_row_that_says_what_was_done"]),
    ("live_dns", &["questions_and_answers_over_both_families"]),
    (
        "live_process",
        &[
            "arguments_come_whole",
            "ends_by_code_and_by_signal",
            "keys_link_children_to_parents_and_sessions_to_roots",
            "threads_are_not_processes",
            "an_exec_row_says_what_the_process_says_of_itself",
        ],
    ),
    (
        "live_socket",
        &[
            "tcp_over_ipv4",
            "tcp_over_ipv6",
            "a_refused_connection_is_an_attempt_and_its_end",
            "udp_over_ipv4",
            "connected_udp_over_ipv6",
        ],
    ),
];

/// A test that cannot pass on a kernel, and why.
struct Limit {
    /// Empty for all: the guest lacks something, or is too slow.
    kernel: &'static str,
    test: &'static str,
    why: &'static str,
}

const LIMITS: &[Limit] = &[
    limit_of(
        "5.10",
        "live_socket::sockets_older_than_the_agent_are_told_of_once_and_so_is_their_end",
        "before Linux 5.12 no iterator can make a socket's cookie: only sockets that have one are found",
    ),
    limit_of(
        "5.10",
        "live_split::the_worker_cannot_read_what_it_was_not_given",
        "before Linux 5.13 there is no Landlock: only its user and its lack of rights confine the worker",
    ),
    limit_of(
        "5.10",
        "sandbox::nothing_is_left_but_what_was_planned",
        "before Linux 5.13 there is no Landlock: only its user and its lack of rights confine the worker",
    ),
    limit_of(
        "",
        "live_crash::a_disk_that_becomes_read_only_costs_counted_rows_and_no_file",
        "needs ext4 and a loop device, which are modules that the guest does not have",
    ),
];

const fn limit_of(kernel: &'static str, test: &'static str, why: &'static str) -> Limit {
    Limit { kernel, test, why }
}

/// The tests, by program.
pub(super) struct Plan(Vec<(String, Vec<String>)>);

/// Runs the tests that are listed in /tests.list, as many at a time as there are processors, each in a process of its own.
/// Of each comes a line `== test NAME CODE SECONDS`; if it failed, what it said comes behind.
pub(super) const SCRIPT: &str = r#"cd /tmp
now() { /busybox/cut -d. -f1 /proc/uptime; }
lane() {
    while flock 8; read -r program test <&7; do
        flock -u 8
        began=$(now); said=/tmp/said.$program.$test
        /busybox/timeout -s KILL "$TEST_SECONDS" "/tests/$program" --exact "$test" --test-threads=1 --nocapture \
            > "$said" 2>&1 < /dev/null 7<&- 8>&-
        code=$?
        flock 8
        echo "== test $program::$test $code $(($(now) - began))"
        [ $code = 0 ] || { cat "$said"; echo; }
        flock -u 8
        rm "$said"
    done
    flock -u 8
}
exec 7< /tests.list
lane 8> /tmp/turn & lane 8> /tmp/turn & wait
"#;

/// The tests to run: the most telling, or all that the programs have; of them those whose name contains one of `texts`.
pub(super) fn plan(programs: &[Program], quick: bool, texts: &[String]) -> Result<Plan> {
    all_or_quick(programs, quick)?.matching(texts)
}

fn all_or_quick(programs: &[Program], quick: bool) -> Result<Plan> {
    let all: Vec<(String, Vec<String>)> =
        programs.iter().map(|program| Ok((program.name.clone(), names(program)?))).collect::<Result<_>>()?;
    if !quick {
        return Ok(Plan(all));
    }
    let mut chosen = Vec::new();
    for (program, tests) in QUICK {
        let known = all.iter().find(|(name, _)| name == program).map(|(_, tests)| tests.as_slice()).unwrap_or_default();
        let missing = tests.iter().find(|test| !known.iter().any(|name| name == *test));
        ensure!(missing.is_none(), "vm-test: no test {program}::{}", missing.unwrap_or(&""));
        chosen.push(((*program).to_owned(), tests.iter().map(|test| (*test).to_owned()).collect()));
    }
    Ok(Plan(chosen))
}

/// The names of a program's tests, less those that only run when asked for, and `role`, which copies of it play.
fn names(program: &Program) -> Result<Vec<String>> {
    let list = |extra: &[&str]| -> Result<Vec<String>> {
        let output = Command::new(&program.path).arg("--list").args(extra).output();
        let output = output.with_context(|| program.name.clone())?;
        ensure!(output.status.success(), "{} --list ended with {}", program.name, output.status);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    };
    let ignored = list(&["--ignored"])?;
    Ok(list(&[])?.into_iter().filter(|name| name != "role" && !ignored.contains(name)).collect())
}

impl Plan {
    pub(super) fn uses(&self, program: &str) -> bool {
        self.0.iter().any(|(name, tests)| name == program && !tests.is_empty())
    }

    /// Names as in the results.
    pub(super) fn tests(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(program, tests)| tests.iter().map(move |test| format!("{program}::{test}")))
    }

    /// The tests for [`SCRIPT`], one a line.
    pub(super) fn list(&self) -> String {
        let lines =
            self.0.iter().flat_map(|(program, tests)| tests.iter().map(move |test| format!("{program} {test}\n")));
        lines.collect()
    }

    /// The tests whose name contains one of these texts; all, if there are none.
    fn matching(mut self, texts: &[String]) -> Result<Self> {
        if !texts.is_empty() {
            for (program, tests) in &mut self.0 {
                tests.retain(|test| texts.iter().any(|text| format!("{program}::{test}").contains(text)));
            }
            ensure!(self.tests().next().is_some(), "vm-test: no test is named like {}", texts.join(", "));
        }
        Ok(self)
    }
}

/// Why a test cannot pass on a kernel, if it cannot.
pub(super) fn limit(kernel: &str, test: &str) -> Option<&'static str> {
    let on = |limit: &&Limit| limit.kernel.is_empty() || limit.kernel == kernel;
    LIMITS.iter().filter(on).find(|limit| limit.test == test).map(|limit| limit.why)
}

/// Tests that fail although nothing is known to be in the way.
pub(super) fn failed(kernel: &str, outcome: &Outcome) -> Vec<String> {
    let failed = outcome.tests.iter().filter(|(_, result)| *result == "FAILED");
    failed.map(|(name, _)| format!("{name} fails on {kernel}")).collect()
}
