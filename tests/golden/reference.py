#!/usr/bin/env python3
"""Golden vectors of the model, computed the slow and obvious way.

Written from docs/model.md alone, with nothing but the standard library: counts are dictionaries over tuples of strings,
there is no hashing and no table. `tests/tests/golden.rs` compares every backend with what this prints.

    python3 tests/golden/reference.py > tests/golden/vectors.json
"""

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


class Counts:
    """n, N and T by (view, context number, context values), in host and fleet scope."""

    def __init__(self, rows):
        hosts = defaultdict(Counter)  # (view, context, values) and host -> child values -> n
        for row in rows:
            for v, view in enumerate(VIEWS):
                if applies(view, row):
                    for c, context in enumerate(view[3]):
                        key = (v, c, values(row, context))
                        hosts[key, row["host"]][values(row, view[2])] += 1
        self.host = hosts
        self.fleet = defaultdict(Counter)
        for (key, _), cells in hosts.items():
            for child in cells:
                self.fleet[key][child] += 1

    def level(self, scope, key, host, child):
        cells = self.host.get((key, host)) if scope == "host" else self.fleet.get(key)
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
        for scope in ("host", "fleet"):
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
    return min(65535, (s + 32) >> 6)


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
    """Which rows calibrate, and the rows they are scored against. All rows of a day lie in one hour."""
    days = sorted({day for day, _ in rows})
    if len(days) >= 3:
        before = lambda d: [e for e in days if e < d][-7:]
        return [(of(rows, d), [r for e, r in rows if e in before(d)]) for d in days[1:]]
    if len(days) == 2:
        return [(of(rows, d), [r for e, r in rows if e != d]) for d in days]
    hosts = sorted({r["host"] for _, r in rows}, key=str)  # the lens's unit is (host, hour)
    mine = lambda h: [r for _, r in rows if r["host"] == h]
    return [(mine(h), [r for _, r in rows if r["host"] != h]) for h in hosts]


def of(rows, day):
    return [r for d, r in rows if d == day]


def calibrate(rows):
    """The tables of the views, of rows and of units, a unit being what one host did on one day."""
    per_view, seen = [[] for _ in VIEWS], []
    for number, (scored, against) in enumerate(held_out_pairs(rows)):
        counts = Counts(against)
        for row in scored:
            s = {v: surprisal(counts, v, row)[0] for v in range(len(VIEWS)) if applies(VIEWS[v], row)}
            seen.append(((number, row["host"]), s))
            for v, x in s.items():
                per_view[v].append(x)
    tables = [view_table(x) for x in per_view]
    units, bits = defaultdict(list), []
    for unit, s in seen:
        bits.append(sum(tables[v][x >> 6] for v, x in s.items()))
        units[unit].append(bits[-1])
    unit_bits = [sum(sorted(u)[-5:]) for u in units.values()]
    return tables, rarity_table(bits, ROW_BINS), rarity_table(unit_bits, ROW_BINS)


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


def vectors(name, learn, to_score):
    rows = expand(learn)
    tables, row_table, unit_table = calibrate(rows)
    counts = Counts([row for _, row in rows])
    return {
        "name": name,
        "learn": [list(line) for line in learn],
        "view_tables": [digest(t) for t in tables],
        "row_table": digest(row_table),
        "unit_table": digest(unit_table),
        "scores": [score(counts, tables, row_table, row_of(r)) for r in to_score],
    }


def main():
    sets = [
        vectors("three days, calibrated forward", LEARN, SCORE),
        vectors("two days, each against the other", [x for x in LEARN if x[0] <= 2], SCORE),
        vectors("one day, each unit against the rest", [x for x in LEARN if x[0] == 1], SCORE),
        vectors("nine days, against the seven before", WEEK, SCORE[:3]),
        vectors("a single row", SINGLE_LEARN, SINGLE_SCORE),
    ]
    sets = [compact(s) for s in sets]
    lens = json.dumps(LENS)
    columns = json.dumps(COLUMNS)
    print('{"lens": %s,\n"columns": %s,\n"sets": [\n%s\n]}' % (lens, columns, ",\n".join(sets)))


def compact(s):
    """One line per learned row, table and score: a change shows as the lines it changes."""
    lines = ['{"name": %s' % json.dumps(s["name"])]
    for part in ("learn", "view_tables", "scores"):
        body = ",\n".join(json.dumps(x) for x in s[part])
        lines.append('"%s": [\n%s\n]' % (part, body))
    lines += ['"%s": %s' % (part, json.dumps(s[part])) for part in ("row_table", "unit_table")]
    return ",\n".join(lines) + "}"


if __name__ == "__main__":
    main()
