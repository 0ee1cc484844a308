#!/usr/bin/env python3
"""Golden vectors of the model, computed the slow and obvious way.

Written from docs/model.md alone, with nothing but the standard library: counts are dictionaries over tuples of strings,
there is no hashing and no table. `tests/tests/golden.rs` compares every backend with what this prints.

    python3 tests/golden/reference.py > tests/golden/vectors.json
"""

import hashlib
import json
import math
from collections import Counter, defaultdict

U32 = 2**32 - 1
VIEW_BINS, ROW_BINS = 1024, 16384

LENS = """\
table = "golden"
time = "time"
class = "activity"

[scopes]
host = "host"

[fields]
exe = { column = "exe", kind = "text" }
parent = { column = "parent", kind = "text" }
user = { column = "user", kind = "text" }
port = { column = "port", kind = "text" }

[[views]]
name = "exe given parent"
when = ["exec"]
child = ["exe"]
context = [["parent", "user"], ["parent"], []]

[[views]]
name = "port given exe"
when = ["connect", "send"]
child = ["port"]
context = [["exe"], []]

[[views]]
name = "user and exe"
child = ["user", "exe"]
context = [["parent"], []]

[[views]]
name = "activity mix"
child = ["parent"]
context = [[]]

[[units]]
kind = "host_hour"
key = ["host"]
window = "1h"
"""

# name, when, child, contexts: the views above, again by hand.
VIEWS = [
    ("exe given parent", ["exec"], ["exe"], [["parent", "user"], ["parent"], []]),
    ("port given exe", ["connect", "send"], ["port"], [["exe"], []]),
    ("user and exe", [], ["user", "exe"], [["parent"], []]),
    ("activity mix", [], ["parent"], [[]]),
]

COLUMNS = ["host", "activity", "exe", "parent", "user", "port"]

# day, host, activity, exe, parent, user, port, and how often.
LEARN = [
    (1, "web1", "exec", "nginx", "systemd", "root", None, 3),
    (1, "web1", "exec", "sh", "cron", "root", None, 40),
    (1, "web1", "exec", "logrotate", "sh", "root", None, 20),
    (1, "web1", "connect", "nginx", "systemd", "www", "443", 60),
    (1, "web1", "connect", "nginx", "systemd", "www", "5432", 7),
    (1, "web1", "exit", "sh", "cron", "root", None, 9),
    (1, "web2", "exec", "nginx", "systemd", "root", None, 2),
    (1, "web2", "exec", "sh", "cron", "root", None, 25),
    (1, "web2", "connect", "nginx", "systemd", "www", "443", 31),
    (1, "web2", "send", "ntpd", None, "ntp", "123", 12),
    (1, "db1", "exec", "postgres", "systemd", "postgres", None, 5),
    (1, "db1", "exec", "sh", "sshd", "ada", None, 4),
    (2, "web1", "exec", "sh", "cron", "root", None, 41),
    (2, "web1", "exec", "logrotate", "sh", "root", None, 22),
    (2, "web1", "exec", "curl", "sh", "root", None, 1),
    (2, "web1", "connect", "nginx", "systemd", "www", "443", 58),
    (2, "web1", "connect", "curl", "sh", "root", "80", 1),
    (2, "web2", "exec", "sh", "cron", "root", None, 24),
    (2, "web2", "exec", "sh", "sshd", "ada", None, 2),
    (2, "web2", "connect", "nginx", "systemd", "www", "443", 30),
    (2, "web2", "send", "ntpd", None, "ntp", "123", 12),
    (2, "db1", "exec", "postgres", "systemd", "postgres", None, 6),
    (2, "db1", "connect", "postgres", "systemd", "postgres", "5432", 2),
    (3, "web1", "exec", "sh", "cron", "root", None, 39),
    (3, "web1", "exec", "logrotate", "sh", "root", None, 19),
    (3, "web1", "exec", "vim", "sh", "ada", None, 2),
    (3, "web1", "connect", "nginx", "systemd", "www", "443", 66),
    (3, "web1", None, "sh", None, None, None, 3),
    (3, "web2", "exec", "sh", "cron", "root", None, 26),
    (3, "web2", "connect", "nginx", "systemd", "www", "8443", 1),
    (3, "web2", "send", "ntpd", None, "ntp", "123", 12),
    (3, "db1", "exec", "postgres", "systemd", "postgres", None, 4),
    (3, "db1", "exec", "psql", "sh", "ada", None, 3),
    (3, "db1", "exec", "sh", "sshd", "ada", None, 5),
]

# Rows to score: host, activity, exe, parent, user, port.
SCORE = [
    ("web1", "exec", "sh", "cron", "root", None),
    ("web1", "exec", "logrotate", "sh", "root", None),
    ("web1", "exec", "curl", "sh", "root", None),
    ("web1", "exec", "curl", "nginx", "www", None),
    ("web2", "exec", "logrotate", "sh", "root", None),
    ("web2", "exec", "postgres", "cron", "root", None),
    ("db1", "exec", "psql", "sh", "ada", None),
    ("db1", "exec", "psql", "sh", "eve", None),
    ("db1", "exec", "xmrig", "postgres", "postgres", None),
    ("new9", "exec", "sh", "cron", "root", None),
    ("new9", "exec", "xmrig", "xmrig", "eve", None),
    ("web1", "connect", "nginx", "systemd", "www", "443"),
    ("web1", "connect", "nginx", "systemd", "www", "4444"),
    ("web2", "connect", "nginx", "systemd", "www", "5432"),
    ("web2", "send", "ntpd", None, "ntp", "123"),
    ("web2", "send", "sh", None, "root", "4444"),
    ("web1", "exit", "sh", "cron", "root", None),
    ("web1", "reboot", "init", None, None, None),
    ("web1", None, "sh", None, None, None),
    ("web1", None, None, None, None, None),
    (None, "exec", "sh", "cron", "root", None),
    (None, None, None, None, None, None),
    ("db1", "connect", "postgres", "systemd", "postgres", "5432"),
    ("db1", "exec", "", "systemd", "postgres", None),
]

# Nine days: what only the first day had is forgotten by the time the ninth is scored, eight days later.
WEEK = [(day, "web1", "exec", "sh", "cron", "root", None, 6 + day % 3) for day in range(1, 10)] + [
    (1, "web1", "exec", "backup", "cron", "root", None, 2),
    (4, "web2", "connect", "backup", "cron", "root", "22", 1),
    (9, "web1", "exec", "backup", "cron", "root", None, 1),
]

# Thirteen days: two hosts that come to be settled, and one that comes on the tenth.
FLEET = [
    line
    for day in range(1, 14)
    for line in [
        (day, "a", "exec", "sh", "cron", "root", None, 5 + day % 4),
        (day, "a", "connect", "curl", "sh", "root", "80" if day % 3 else "443", 1 + day % 2),
        (day, "b", "exec", "sh", "cron", "root", None, 4),
        (day, "b", "exec", ["ls", "ps", "id"][day % 3], "sh", "ada", None, 1 + day % 5),
    ]
    + ([(day, "late", "exec", "sh", "cron", "root", None, 3), (day, "late", "exec", "vim", "sh", "ada", None, day % 3)] if day > 9 else [])
]
FLEET_SCORE = [
    (host, *rest)
    for host in ("a", "late", "new9")
    for rest in [
        ("exec", "sh", "cron", "root", None),
        ("exec", "vim", "sh", "ada", None),
        ("exec", "xmrig", "sh", "eve", None),
        ("connect", "curl", "sh", "root", "4444"),
    ]
]

# A table with one value only, scored by the same lens: one learned row, seen once.
SINGLE_LEARN = [(1, "only", "exec", "init", None, "root", None, 1)]
SINGLE_SCORE = [
    ("only", "exec", "init", None, "root", None),
    ("only", "exec", "other", None, "root", None),
    ("else", "exec", "init", None, "root", None),
]


# --- §4: the logarithm -------------------------------------------------------------------------------------------------

LOG = [round(65536 * math.log2(1 + m / 2048)) for m in range(2048)]


def lg(x):
    if x == 0:
        return 0
    e = x.bit_length() - 1
    m = (x << 11 >> e) & 2047
    return (e << 16) + LOG[m]


def sat(x):
    return min(x, U32)


# --- §3: counts --------------------------------------------------------------------------------------------------------


def row_of(values):
    return dict(zip(COLUMNS, values))


def expand(learn):
    """Every learned row by itself, as (day, row)."""
    return [(line[0], row_of(line[1:7])) for line in learn for _ in range(line[7])]


def applies(view, row):
    return not view[1] or row["activity"] in view[1]


def values(row, fields):
    return tuple(row[f] for f in fields)


def counted(rows):
    """(view, context, values) and host -> child values -> n."""
    hosts = defaultdict(Counter)
    for row in rows:
        for v, view in enumerate(VIEWS):
            if applies(view, row):
                for c, context in enumerate(view[3]):
                    key = (v, c, values(row, context))
                    hosts[key, row["host"]][values(row, view[2])] += 1
    return hosts


class Counts:
    """n, N and T by (view, context number, context values), in the scopes of host, group and fleet."""

    def __init__(self, rows):
        self.count(counted(rows), {})

    def count(self, hosts, groups):
        self.host, self.groups = hosts, groups
        self.group, self.fleet = defaultdict(Counter), defaultdict(Counter)
        for (key, host), cells in hosts.items():
            for child in cells:
                self.fleet[key][child] += 1
                if host in groups:
                    self.group[key, groups[host]][child] += 1

    def scopes(self, host):
        """A host without a group has no such level."""
        return ["host"] + (["group " + self.groups[host]] if host in self.groups else []) + ["fleet"]

    def level(self, scope, key, host, child):
        if scope == "host":
            cells = self.host.get((key, host))
        elif scope == "fleet":
            cells = self.fleet.get(key)
        else:
            cells = self.group.get((key, self.groups[host]))
        if not cells:
            return (0, 0, 0)
        return (sat(cells[child]), sat(sum(cells.values())), len(cells))


def surprisal(counts, v, row):
    """The surprisal of a view, and the level that cost most as a dictionary."""
    _, _, child_fields, contexts = VIEWS[v]
    child = values(row, child_fields)
    s, costs = 0, []
    for c, context in enumerate(contexts):
        key = (v, c, values(row, context))
        for scope in counts.scopes(row["host"]):
            n, N, T = counts.level(scope, key, row["host"], child)
            if N == 0:
                continue
            here = {"context": c, "scope": scope, "n": n, "N": N, "T": T}
            cost = lg(sat(N + T)) - lg(n if n > 0 else T)
            costs.append((cost, here))
            s += cost
            if n > 0:
                return done(s), costliest(costs)
    vocabulary = counts.level("fleet", (v, len(contexts) - 1, ()), None, None)[2]
    return done(s + lg(sat(vocabulary + 1))), costliest(costs)


def costliest(costs):
    """The first of those that cost most."""
    return max(costs, key=lambda c: c[0])[1] if costs else None


def done(s):
    return min(65535, (s + 32) % 2**32 >> 6)


# --- §5: calibration ---------------------------------------------------------------------------------------------------


def rarity_table(observed, bins):
    """From observed values in 1/1024 bit to a table of how rare each bin is, in 1/1024 bit."""
    M = len(observed)
    if M == 0:
        return [min(65535, i << 6) for i in range(bins)]
    of_bin = [min(x >> 6, bins - 1) for x in observed]
    histogram = Counter(of_bin)
    G, above = [0] * bins, 0
    for i in reversed(range(bins)):
        above += histogram[i]
        G[i] = above
    counted = [(lg(M + 1) - lg(g + 1) + 32) >> 6 for g in G]
    u = next((i for i in range(bins) if G[i] <= max(16, M // 64)), bins)
    table = counted[:u]
    if u < bins:
        xi, sigma = tail([(i - u + 0.5) / 16 for i in of_bin if i >= u])
        for i in range(u, bins):
            bits = counted[u] / 1024 + tail_bits(xi, sigma, (i - u) / 16)
            table.append(math.floor(1024 * min(bits, math.log2(100 * M)) + 0.5))
    for i in range(1, bins):
        table[i] = max(table[i], table[i - 1])
    return table


def view_table(observed):
    """As rarity_table, but never more than the bin's own surprisal."""
    return [min(bits, i << 6) for i, bits in enumerate(rarity_table(observed, VIEW_BINS))]


def tail(excesses):
    """ξ and σ by probability-weighted moments, with plotting positions (j − 0.35)/n."""
    x = sorted(excesses + [1.0])
    n = len(x)
    a0 = math.fsum(x) / n
    a1 = math.fsum((1 - (j - 0.35) / n) * x[j - 1] for j in range(1, n + 1)) / n
    xi = 2 - a0 / (a0 - 2 * a1) if a0 > 2 * a1 else 0.0
    xi = min(1.0, max(0.0, xi))
    return xi, max(2 * a1 * (2 - xi), 1 / 32)


def tail_bits(xi, sigma, x):
    return x / (sigma * math.log(2)) if xi < 1e-6 else math.log2(1 + xi * x / sigma) / xi


def held_out_pairs(rows):
    """Which rows calibrate, the rows they are scored against, and the days of those. All rows of a day lie in one hour."""
    days = sorted({day for day, _ in rows})
    if len(days) >= 3:
        before = lambda d: [e for e in days if e < d][-7:]
        return [(d, of(rows, d), [r for e, r in rows if e in before(d)], before(d)) for d in days[1:]]
    if len(days) == 2:
        return [(d, of(rows, d), [r for e, r in rows if e != d], [e for e in days if e != d]) for d in days]
    hosts = sorted({r["host"] for _, r in rows}, key=str)  # the lens's unit is (host, hour)
    mine = lambda h: [r for _, r in rows if r["host"] == h]
    return [(days[0], mine(h), [r for _, r in rows if r["host"] != h], days) for h in hosts]


def of(rows, day):
    return [r for d, r in rows if d == day]


NEW, LEARNING, SETTLED = "new", "learning", "settled"


def stage(own_days):
    return NEW if own_days == 0 else LEARNING if own_days < 7 else SETTLED


def of_stage(pieces, wanted):
    """The pieces whose surprisals make the tables of a stage."""
    own = [p for p in pieces if p["stage"] == wanted]
    if wanted == NEW or len(own) >= 7:
        return own
    return [p for p in pieces if p["stage"] != NEW]


def scored_pieces(rows):
    """For each host and day the surprisals of its rows, as they are and as if the host had taught nothing."""
    pieces = []
    for day, scored, against, days in held_out_pairs(rows):
        for host in sorted({r["host"] for r in scored}, key=str):
            mine = [r for r in scored if r["host"] == host]
            present = lambda h: {d for d, r in rows if d in days and r["host"] == h}
            peers = {r["host"] for d, r in rows if d in days} - {host}
            ways = [(len(present(host)), Counts(against))]
            if present(host) and peers:
                others = [r for d, r in rows if d in days and r["host"] != host]
                ways.append((0, Counts(others)))
            for own_days, counts in ways:
                each = lambda row: {v: surprisal(counts, v, row)[0] for v in range(len(VIEWS)) if applies(VIEWS[v], row)}
                said = [tuple(row[c] for c in COLUMNS if c != "activity") + (kind_of(row),) for row in mine]
                pieces.append({"stage": stage(own_days), "rows": [each(row) for row in mine], "said": said})
    return pieces


def kind_of(row):
    """What no view names is all the same to the lens."""
    return row["activity"] if any(row["activity"] in view[1] for view in VIEWS) else None


def unit_bits(piece):
    """The ten most surprising rows; of rows that say the same, the most surprising one."""
    most = defaultdict(int)
    for said, bits in zip(piece["said"], piece["bits"]):
        most[said] = max(most[said], bits)
    return sum(sorted(most.values())[-10:])


def calibrate(rows):
    """By stage the tables of the views, of rows and of units, a unit being what one host did on one day; None for new
    hosts if nothing was scored as theirs."""
    pieces = scored_pieces(rows)
    views = lambda s: [
        view_table([row[v] for p in of_stage(pieces, s) for row in p["rows"] if v in row]) for v in range(len(VIEWS))
    ]
    tables = {s: views(s) for s in (NEW, LEARNING, SETTLED)}
    for piece in pieces:
        of_views = tables[piece["stage"]]
        piece["bits"] = [sum(of_views[v][x >> 6] for v, x in row.items()) for row in piece["rows"]]
        piece["unit"] = unit_bits(piece)

    def of(s):
        mine = of_stage(pieces, s)
        if s == NEW and not mine:
            return None
        bits, units = [b for p in mine for b in p["bits"]], [p["unit"] for p in mine]
        return tables[s], rarity_table(bits, ROW_BINS), rarity_table(units, ROW_BINS)

    return {s: of(s) for s in tables}


# --- §3: groups, decay, overflow ---------------------------------------------------------------------------------------


def weight(age, half_life):
    """round(256 * 2^(-age/half_life)) by whole numbers alone."""
    if age >= 8 * half_life:
        return 0
    return max(w for w in range(1, 257) if (2 * w - 1) ** half_life <= 2 ** (9 * half_life - age))


class Compiled(Counts):
    """Counts of decayed segments, one for each host and day, with groups."""

    def __init__(self, rows, groups, half_life, as_of):
        segments = defaultdict(list)
        for day, row in rows:
            segments[day, row["host"]].append(row)
        hosts = defaultdict(Counter)
        for (day, _), segment in segments.items():
            w = weight(max(0, as_of - day), half_life) if half_life else 256
            for key, cells in counted(segment).items():
                for child, n in cells.items():
                    if w > 0:
                        hosts[key][child] += -(-n * w // 256)
        self.count(hosts, groups)


def compiled(name, learn, to_score, groups, half_life, as_of):
    """Surprisals and levels alone: calibration is another matter."""
    counts = Compiled(expand(learn), groups, half_life, as_of)
    scores = []
    for row in map(row_of, to_score):
        views = [surprisal(counts, v, row) if applies(view, row) else None for v, view in enumerate(VIEWS)]
        views = [view and {"surprisal": view[0], "level": view[1]} for view in views]
        scores.append({"row": [row[c] for c in COLUMNS], "views": views})
    options = {"groups": groups, "half_life": half_life, "as_of": as_of}
    return {"name": name, **options, "learn": [list(line) for line in learn], "scores": scores}


def absorb(s, v):
    a = (s[0] ^ v[0]) * 0x9E3779B1 & U32
    b = (s[1] ^ v[1]) * 0x85EBCA77 & U32
    a = ((a << 15 | a >> 17) + b) & U32
    b = (b << 13 | b >> 19) & U32 ^ a
    return (a * 0xC2B2AE3D & U32, b * 0x27D4EB2F & U32)


def finish(s):
    t = absorb(absorb(s, (0, 0)), (0, 0))
    return (t[0] ^ t[0] >> 16, t[1] ^ t[1] >> 16)


def sketch(cells, asked):
    """The counters of a sketch of cells that went, each a scoped key and n, and what it says of keys."""
    size = 64
    while size < min(4 * len(cells), 2**26):
        size *= 2
    counters = [0] * size

    def places(key):
        return [t % size for t in finish(absorb(key, (0x5CE7C400, 0xC0DEC0DE)))]

    for key, n in cells:
        for place in places(key):
            counters[place] = max(counters[place], n)
    said = [[list(key), min(counters[p] for p in places(key))] for key in asked]
    return {"cells": [[list(key), n] for key, n in cells], "counters": counters, "said": said}


def sketches():
    """Keys from a generator of Lehmer's, so that both sides need none of another's."""
    x, keys = 2026, []
    for _ in range(120):
        x = x * 48271 % (2**31 - 1)
        y = x * 48271 % (2**31 - 1)
        keys.append((x, y))
        x = y
    cells = [(key, U32 if i == 7 else 1 + i % 5) for i, key in enumerate(keys[:40])]
    return [sketch(cells[:1], keys[:20]), sketch(cells, keys), sketch([((0, 0), 3), ((U32, U32), 2)], [(0, 0), (U32, U32), (0, U32)])]


# The first host of a group has no history, the second no group; the fourth group is known of nobody.
GROUPS = {"web1": "web", "web2": "web", "new9": "web", "db1": "data", "cache1": "cache"}
GROUP_SCORE = SCORE + [("cache1", "exec", "sh", "cron", "root", None), ("new9", "send", "ntpd", None, "ntp", "123")]
HALF_LIVES = [1, 2, 7, 30, 90, 365, 730]


def adversarial():
    """Levels as no honest data make them: (n, N, T) of host, group and fleet in two contexts, and the surprisal."""
    extreme = [0, 1, 2, 2047, 2048, 2**16, 2**31, U32 - 1, U32]
    nothing, all_of_it = (0, 0, 0), (U32, U32, U32)
    cases = [[nothing] * 6, [all_of_it] * 6, [(0, U32, U32)] * 6, [(0, U32, 1)] * 6, [(0, 1, U32)] * 6, [(0, 1, 1)] * 6]
    cases += [[(0, U32, 0)] * 6, [(U32, 1, 1)] * 6, [nothing] * 5 + [(0, 1, U32)], [nothing] * 5 + [(1, 1, 1)]]
    x = 7
    for _ in range(60):
        levels = []
        for _ in range(6):
            picked = []
            for _ in range(3):
                x = x * 48271 % (2**31 - 1)
                picked.append(extreme[x % len(extreme)])
            n, N, T = picked
            levels.append((n if x % 5 == 0 else 0, N, T))
        cases.append(levels)
    return [{"levels": [list(level) for level in case], "surprisal": of_levels(case)} for case in cases]


def of_levels(levels):
    s = 0
    for n, N, T in levels:
        if N > 0:
            s += lg(sat(N + T)) - lg(n if n > 0 else T)
            if n > 0:
                return done(s % 2**32)
    vocabulary = levels[-1][2] if levels[-1][1] > 0 else 0
    return done((s + lg(sat(vocabulary + 1))) % 2**32)


def options():
    """What compiling may be told, and what comes of it."""
    saturated = [(1, "web1", "exec", "sh", "cron", "root", None, 1), (1, "web2", "exec", "sh", "cron", "root", None, 1)]
    return [
        compiled("groups", LEARN, GROUP_SCORE, GROUPS, None, 3),
        compiled("decay", LEARN, SCORE, {}, 1, 3),
        compiled("decay, later, with groups", LEARN, GROUP_SCORE, GROUPS, 2, 9),
        compiled("decay from a day in the middle", LEARN, SCORE, {}, 1, 2),
        compiled("all forgotten but one day", LEARN, GROUP_SCORE, GROUPS, 1, 10),
        compiled("all forgotten", LEARN, GROUP_SCORE, GROUPS, 1, 11),
        compiled("one of each", saturated, GROUP_SCORE, GROUPS, None, 1),
        compiled("nine days, half of it every three", WEEK, SCORE[:6], {}, 3, 9),
    ]


# --- §1: fields that depend on earlier rows ----------------------------------------------------------------------------

EARLIER = """\
table = "golden"
time = "time"

[scopes]
host = "host"

[fields]
before = { column = "exe", kind = "text", of = "process" }
burst = { burst = true, of = "process", tick = "10s" }
exe = { column = "exe", kind = "text" }
names = { fanout = "name", of = ["exe", "process"], tick = "60s" }
rate = { rate = true, of = "process", tick = "10s" }
third_before = { column = "exe", kind = "text", of = "process", lag = 3 }

[[views]]
name = "exe given the ones before"
child = ["exe"]
context = [["before", "third_before"], ["before"], []]
"""

HOUR = 3600


def lehmer(x):
    """A generator that both sides could do without."""
    while True:
        x = x * 48271 % (2**31 - 1)
        yield x


def earlier_rows():
    """Time in seconds, host, process, exe, name: two hours and a half, some rows late, one channel with a burst."""
    x, rows = lehmer(11), []
    for i in range(900):
        late = next(x) % 4000 if next(x) % 9 == 0 else 0
        process = [None, "1", "2", "3"][next(x) % 4]
        exe = [None, "sh", "curl", "id", ""][next(x) % 5]
        name = "n%d" % (next(x) % 300) if next(x) % 6 else None
        rows.append((i * 10 - late, "h%d" % (next(x) % 2), process, exe, name))
        if 300 <= i < 310:
            rows += [(i * 10, "h0", "1", "sh", "m%d" % (next(x) % 5000)) for _ in range(2 ** (i - 300))]
    return rows


def siphash(key, data):
    """SipHash-2-4 (Aumasson and Bernstein 2012)."""
    M = 2**64 - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(n):
        rotl = lambda x, b: (x << b | x >> (64 - b)) & M
        for _ in range(n):
            v[0] = (v[0] + v[1]) & M; v[1] = rotl(v[1], 13) ^ v[0]; v[0] = rotl(v[0], 32)
            v[2] = (v[2] + v[3]) & M; v[3] = rotl(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & M; v[3] = rotl(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & M; v[1] = rotl(v[1], 17) ^ v[2]; v[2] = rotl(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        m = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= m
        rounds(2)
        v[0] ^= m
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def half_octave(n):
    """The bin of a whole number as of kind `number`: from 2^(b/2) to below 2^((b+1)/2), as a range of whole numbers."""
    if n == 0:
        return "0"
    b = next(b for b in range(200) if n * n < 2 ** (b + 1))
    inside = [k for k in range(1, 2 ** (b // 2 + 2)) if 2**b <= k * k < 2 ** (b + 1)]
    return str(inside[0]) if len(inside) == 1 else "%d-%d" % (inside[0], inside[-1])


class Channel:
    def __init__(self):
        self.past, self.ticks, self.h, self.c, self.tick, self.bits, self.minute = [], 0, 0, 0, None, set(), None
        self.level, self.newest, self.names_before = 0, None, 0

    def lag(self, k):
        return self.past[-k] if len(self.past) >= k else None

    def burst(self, tick):
        if self.tick is None:
            self.tick = tick
        while self.tick < tick:
            self.h = self.h - self.h // 8 + 32 * self.c
            self.c = 0
            self.tick += 1
        self.c += 1
        half_bits = (lg(256 * self.c + 256) - lg(self.h + 256)) // 2**15
        sign = "-" if half_bits < 0 else ""
        return "%s%d.%d" % (sign, abs(half_bits) // 2, abs(half_bits) % 2 * 5)

    def rate(self, tick):
        if self.newest is None:
            self.newest = tick
        while self.newest < tick:
            self.level -= self.level // 8
            self.newest += 1
        self.level += 256
        return half_octave(self.level // 256)

    def fan_out(self, minute, name):
        if self.minute is None:
            self.minute = minute
        while self.minute < minute:
            level = self.names()
            self.minute, self.bits, self.names_before = self.minute + 1, set(), level - level // 8
        if name is not None:
            key = bytes(200 - i for i in range(16))
            self.bits.add((siphash(key, b"\x01" + name.encode()) & U32) % 1024)
        return half_octave(self.names() // 256)

    def names(self):
        z = max(1, 1024 - len(self.bits))
        return self.names_before + 256 * ((1024 * (lg(1024) - lg(z)) * 45426 + 2**31) // 2**32)


def earlier():
    """Each row and the values of the fields, in order of name: before, burst, exe, names, rate, third_before."""
    of_process, of_both, lines = defaultdict(Channel), defaultdict(Channel), []
    for row in earlier_rows():
        time, host, process, exe, name = row
        hour = time // HOUR
        before = burst = names = rate = third = None
        if process is not None:
            channel = of_process[host, hour, process]
            before, third, burst = channel.lag(1), channel.lag(3), channel.burst(time // 10)
            rate = channel.rate(time // 10)
            channel.past.append(exe)
        if process is not None and exe is not None:
            names = of_both[host, hour, exe, process].fan_out(time // 60, name)
        lines.append([list(row), [before, burst, exe, names, rate, third]])
    return lines


# --- §2: random views --------------------------------------------------------------------------------------------------


def random_views(fields, wanted):
    """A lens of so many fields and a key, and the fields of each of its random views."""
    names = sorted(["f%02d" % i for i in range(fields)] + ["k"])
    kind = lambda name: '"key"' if name == "k" else '"id"'
    toml = "table = \"golden\"\ntime = \"time\"\n[subspace]\nviews = %d\n[fields]\n" % wanted
    toml += "".join("%s = { column = \"%s\", kind = %s }\n" % (name, name, kind(name)) for name in names)
    toml += "[[views]]\nname = \"v\"\nchild = [\"f00\"]\ncontext = []\n"
    field = '{"name":"%s","column":"%s","kind":%s,"part":%s}'
    form = '{"table":"golden","time":"time","class":null,"host":null,"classes":[],"fields":[%s],' % ",".join(
        field % (name, name, kind(name), '"hex"' if name == "k" else '"whole"') for name in names
    )
    form += '"views":[{"name":"v","when":[],"child":[0],"contexts":[[]]}],"units":[],"random_views":%d}' % wanted
    digest = hashlib.sha256(form.encode()).digest()
    outputs = split_mix(int.from_bytes(digest[:8], "little"))
    below = lambda n: next(outputs) * n >> 64
    sets = []
    while len(sets) < wanted:
        numbers = [i for i, name in enumerate(names) if name != "k"]
        width = 2 + below(min(8, len(numbers)) - 1)
        for i in range(width):
            j = i + below(len(numbers) - i)
            numbers[i], numbers[j] = numbers[j], numbers[i]
        drawn = sorted(numbers[:width])
        if drawn not in sets:
            sets.append(drawn)
    views = ["random %d: %s" % (i + 1, ", ".join(names[f] for f in drawn)) for i, drawn in enumerate(sets)]
    return {"lens": toml, "digest": digest.hex(), "views": views}


def split_mix(x):
    """SplitMix64 (Steele, Lea and Flood 2014)."""
    M = 2**64 - 1
    while True:
        x = (x + 0x9E3779B97F4A7C15) & M
        z = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M
        z = (z ^ z >> 27) * 0x94D049BB133111EB & M
        yield z ^ z >> 31


# --- §8: streams -------------------------------------------------------------------------------------------------------


def stream(tick):
    """Rows with their times in seconds, and their surprisals by what came before; a tick of 0 is row by row."""
    x, lines, counted_rows, pending, now = lehmer(5), [], [], [], None
    some = [line[1:7] for line in LEARN] + SCORE
    for i in range(160):
        row = row_of(some[next(x) % 7 if next(x) % 3 else next(x) % len(some)])
        time = 1000 + i - (next(x) % 40 if next(x) % 8 == 0 else 0)
        if tick == 0 or now is not None and time // tick > now:
            counted_rows, pending = counted_rows + pending, []
        if tick > 0:
            now = time // tick if now is None else max(now, time // tick)
        counts = Counts(counted_rows)
        scores = [surprisal(counts, v, row)[0] if applies(view, row) else 0 for v, view in enumerate(VIEWS)]
        lines.append([time, [row[c] for c in COLUMNS], scores])
        pending.append(row)
    return {"tick": tick, "rows": lines}


# --- a whole set -------------------------------------------------------------------------------------------------------


def score(counts, tables, row_table, row):
    levels, bits = [], []
    for v, view in enumerate(VIEWS):
        if not applies(view, row):
            levels.append(None)
            continue
        s, level = surprisal(counts, v, row)
        levels.append({"surprisal": s, "level": level})
        bits.append((tables[v][s >> 6], v))
    total = sum(b for b, _ in bits)
    reasons = sorted((b for b in bits if b[0] > 0), key=lambda b: (-b[0], b[1]))[:3]
    return {
        "row": [row[c] for c in COLUMNS],
        "views": levels,
        "bits": total,
        "log2_n": row_table[min(total >> 6, ROW_BINS - 1)],
        "reasons": [[v, b] for b, v in reasons],
    }


def digest(table):
    """Every 32nd entry to read, and the sum of position times entry to pin the rest."""
    return {"every_32nd": table[::32], "checksum": sum(i * x for i, x in enumerate(table)) & U32}


def digests(calibration):
    if calibration is None:
        return None
    tables, row_table, unit_table = calibration
    return {"views": [digest(t) for t in tables], "rows": digest(row_table), "units": digest(unit_table)}


def vectors(name, learn, to_score):
    rows = expand(learn)
    by_stage = calibrate(rows)
    counts = Counts([row for _, row in rows])

    def scored(row):
        days = len({day for day, r in rows if r["host"] == row["host"]})
        tables, row_table, _ = by_stage[stage(days)] or by_stage[SETTLED]
        return score(counts, tables, row_table, row)

    return {
        "name": name,
        "learn": [list(line) for line in learn],
        "calibrations": {s: digests(c) for s, c in by_stage.items()},
        "scores": [scored(row_of(r)) for r in to_score],
    }


def main():
    sets = [
        vectors("three days, calibrated forward", LEARN, SCORE),
        vectors("two days, each against the other", [x for x in LEARN if x[0] <= 2], SCORE),
        vectors("one day, each unit against the rest", [x for x in LEARN if x[0] == 1], SCORE),
        vectors("nine days, against the seven before", WEEK, SCORE[:3]),
        vectors("thirteen days, hosts of every stage", FLEET, FLEET_SCORE),
        vectors("a single row", SINGLE_LEARN, SINGLE_SCORE),
    ]
    sets = [compact(s) for s in sets]
    parts = {
        "lens": json.dumps(LENS),
        "columns": json.dumps(COLUMNS),
        "sets": listed(sets),
        "compiled": listed(json.dumps(o) for o in options()),
        "weights": listed(json.dumps([h, [weight(age, h) for age in range(0, 8 * h + 1, 1 + h // 8)]]) for h in HALF_LIVES),
        "adversarial": listed(json.dumps(a) for a in adversarial()),
        "sketches": listed(json.dumps(s) for s in sketches()),
        "earlier_lens": json.dumps(EARLIER),
        "earlier": listed(json.dumps(line) for line in earlier()),
        "random_views": listed(json.dumps(random_views(*of)) for of in [(4, 11), (9, 40), (12, 256)]),
        "streams": listed(json.dumps(stream(tick)) for tick in [0, 1, 10, 1000]),
    }
    print("{%s}" % ",\n".join('"%s": %s' % part for part in parts.items()))


def listed(lines):
    return "[\n%s\n]" % ",\n".join(lines)


def compact(s):
    """One line per learned row, table and score: a change shows as the lines it changes."""
    lines = ['{"name": %s' % json.dumps(s["name"])]
    for part in ("learn", "scores"):
        body = ",\n".join(json.dumps(x) for x in s[part])
        lines.append('"%s": [\n%s\n]' % (part, body))
    stages = ",\n".join('"%s": %s' % (s, json.dumps(c)) for s, c in s["calibrations"].items())
    lines.append('"calibrations": {\n%s\n}' % stages)
    return ",\n".join(lines) + "}"


if __name__ == "__main__":
    main()
