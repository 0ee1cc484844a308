//! What rows say where no rule says more, and what is likely of a new value: tables.

/// What a row of each table and activity says, where no rule says more; the first that fits.
pub(crate) const SENTENCES: &[(&str, &str, &str)] = &[
    (events::PROCESS, "exec", "{exe} started under {parent_exe}: {args}"),
    (events::PROCESS, "fork", "{exe} forked under {parent_exe}"),
    (events::PROCESS, "running", "{exe} was there when the agent started"),
    (events::PROCESS, "exit", "{exe} ended with {exit_code}"),
    (events::PROCESS, "", "{exe}: {activity} {operation}"),
    (events::CONNECTION, "connect", "{exe} connected to {remote_ip} port {remote_port}"),
    (events::CONNECTION, "send", "{exe} sent to {remote_ip} port {remote_port}"),
    (events::CONNECTION, "accept", "{exe} accepted {remote_ip} at port {local_port}"),
    (events::CONNECTION, "listen", "{exe} began to wait at {local_ip} port {local_port}"),
    (events::CONNECTION, "bind", "{exe} took {local_ip} port {local_port}"),
    (
        events::CONNECTION,
        "close",
        "{exe}: {outcome}, {remote_ip} port {remote_port}, {bytes_out} bytes out, {bytes_in} in",
    ),
    (events::CONNECTION, "flow", "{exe}: {remote_ip} port {remote_port}, {bytes_out} bytes out, {bytes_in} in"),
    (events::CONNECTION, "", "{exe}: {activity}"),
    (events::DNS, "query", "{exe} asked for {name}"),
    (events::DNS, "", "{exe}: {activity} for {name}"),
];

/// What is likely harmless about a new value, by the kind of the lens's field (tables of other programs).
pub(crate) const KINDS: &[(&str, &str, &str)] = &[
    (
        "ip",
        "An address changes with a provider, a network or a journey.",
        "See whose address it is and who else uses it.",
    ),
    ("domain", "New services bring new names.", "See who owns the name, since when, and who else asks for it."),
    ("url", "A page or interface that was added is new to everyone.", "See who else went there and what it serves."),
    ("user", "People change roles and cover for each other.", "Ask the person, or whoever gave the rights."),
    ("time", "Shifts, journeys and deadlines move hours.", "See whether others of the same role worked then."),
    ("number", "Month ends and migrations move amounts.", "Compare with the same day of other weeks."),
    ("path", "A new version brings new files.", "Find out where the file came from."),
    ("cmdline", "A new version or script brings new commands.", "Read the command and ask who gave it."),
    ("", "What is new is new once: a version, a device, a task.", "See whether it goes on, and who else has it."),
];
