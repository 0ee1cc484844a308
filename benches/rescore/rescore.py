"""Ebbline beside DuckDB and Polars, over one generated archive: `cargo xtask rescore-bench` (README.md says what is compared)."""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time

import peers

# A view each: what b is to be expected where a is.
PAIRS = [
    ("parent_exe", "exe"),
    ("exe", "dst_port"),
    ("exe", "uid"),
    ("root_exe", "exe"),
    ("exe", "dst_ip"),
    ("comm", "kind"),
    ("cwd", "exe"),
    ("uid", "kind"),
]
COLUMNS = sorted({column for pair in PAIRS for column in pair})
FIRST_DAY = 1_793_577_600 * 10**9
DAY = 86_400 * 10**9
DAYS = 14
# Rows that are made at a time.
AT_ONCE = 1 << 20


def generate(folder, rows, files):
    """An archive of 23 columns, a file after the other; days go on through the files, choices follow Zipf's law."""
    import numpy
    import pyarrow
    import pyarrow.parquet

    random = numpy.random.default_rng(7)
    names = {
        "host": 40, "kind": 6, "comm": 300, "exe": 400, "parent_exe": 120, "root_exe": 40, "cwd": 200, "script": 150,
        "container": 60, "image": 30, "src_ip": 500, "dst_ip": 3000,
    }
    texts = {name: pyarrow.array([f"{name}-{at:05}/of/some/length" for at in range(n)]) for name, n in names.items()}

    def rare(limit, n):
        return numpy.minimum(random.zipf(1.5, n) - 1, limit - 1)

    def batch(begin, end, n):
        codes = {name: random.integers(0, limit, n) if name == "host" else rare(limit, n) for name, limit in names.items()}
        # What follows on what: a parent starts few programs, and a program does few things.
        codes["exe"] = (codes["parent_exe"] * 7 + rare(9, n)) % names["exe"]
        codes["comm"] = codes["exe"] % names["comm"]
        codes["dst_ip"] = (codes["exe"] * 11 + rare(200, n)) % names["dst_ip"]
        uid = (codes["exe"] + rare(5, n)) % 30
        columns = {"time": pyarrow.array(numpy.sort(random.integers(begin, end, n)), pyarrow.timestamp("ns", "UTC"))}
        for name in names:
            columns[name] = pyarrow.DictionaryArray.from_arrays(codes[name].astype("int32"), texts[name])
        numbers = {
            "pid": random.integers(2, 1 << 22, n), "ppid": random.integers(1, 1 << 22, n), "uid": uid, "gid": uid,
            "src_port": random.integers(1024, 65536, n), "dst_port": (codes["exe"] * 13 + rare(6, n)) % 1024,
            "exit_code": rare(4, n), "sent": random.integers(0, 1 << 30, n), "received": random.integers(0, 1 << 30, n),
            "duration_ns": random.integers(0, 1 << 40, n),
        }
        columns |= {name: pyarrow.array(values.astype("int64")) for name, values in numbers.items()}
        assert len(columns) == 23
        return pyarrow.table(columns)

    folder.mkdir(parents=True)
    at = 0
    moment = lambda row: FIRST_DAY + DAYS * DAY * row // rows
    for file in range(files):
        left, writer = rows // files + (file < rows % files), None
        while left > 0:
            n = min(left, AT_ONCE)
            table = batch(moment(at), moment(at + n), n)
            path = folder / f"part-{file:04}.parquet"
            writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
            writer.write_table(table, row_group_size=65_536)
            at, left = at + n, left - n
        writer.close()


def lens(is_full):
    """The lens of the pairs: flat, each pair counted by itself; or full, with levels, hosts and units."""
    out = ['table = "events"', 'time = "time"']
    out += ["[scopes]", 'host = "host"', "[fields]"] if is_full else ["[fields]"]
    out += [f'{column} = {{ column = "{column}", kind = "id" }}' for column in COLUMNS]
    for a, b in PAIRS:
        child, context = (f'["{b}"]', f'[["{a}"], []]') if is_full else (f'["{a}", "{b}"]', "[[]]")
        out += ["[[views]]", f'name = "{b} given {a}"', f"child = {child}", f"context = {context}"]
    out += ["[[units]]", 'kind = "program"', 'key = ["exe"]', 'window = "1h"']
    return "\n".join(out) + "\n"


def timed(command):
    """Seconds and peak memory in bytes of a command that must succeed."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    watched = threading.Thread(target=lambda: peaks.append(watch(child)))
    peaks = []
    watched.start()
    trouble = child.stderr.read().decode()
    child.wait()
    seconds = time.perf_counter() - start
    watched.join()
    if child.returncode != 0:
        sys.exit(f"error: {command[0]}: {trouble.strip()}")
    return seconds, peaks[0]


def watch(child):
    """The most memory that a process ever had. What the kernel says of it at its end begins with what this process has."""
    peak = 0
    while child.returncode is None:
        try:
            lines = pathlib.Path(f"/proc/{child.pid}/status").read_text().splitlines()
        except OSError:
            break
        peak = max([peak, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))])
        time.sleep(0.02)
    return peak


class Ebbline:
    """The program, as people run it: start, backend and writing included."""

    def __init__(self, args, work, model):
        self.archive, self.work, self.model, self.args = work / "archive", work, model, args
        self.peak = {}
        (work / f"{model}.toml").write_text(lens(model == "full"))

    def run(self, step, *more):
        line = [self.args.ebbline, step, self.archive, "--threads", str(self.args.threads), *more]
        seconds, peak = timed([str(part) for part in line])
        self.peak[step] = max(peak, self.peak.get(step, 0))
        return seconds

    def learn(self):
        return self.run("learn", "--lens", self.work / f"{self.model}.toml", "--out", self.work / f"{self.model}.baseline")

    def score(self):
        out = self.work / "scored"
        shutil.rmtree(out, ignore_errors=True)
        return self.run("score", "--baseline", self.work / f"{self.model}.baseline", "--out", out, "--backend", "cpu")


def read(args, work):
    """Seconds of reading the same columns, dictionaries kept, and nothing else."""
    line = [args.read, work / "archive", args.threads, "time", "host", *COLUMNS]
    rows, seconds = subprocess.check_output([str(part) for part in line]).split()
    assert int(rows) == args.rows
    return float(seconds)


def compare(args, work, model):
    """Medians of paired runs: every program takes its turn in every round."""
    programs = {"ebbline": Ebbline(args, work, model)}
    programs |= {kind.name: kind(work, model, PAIRS, args.threads) for kind in (peers.Duckdb, peers.Polars)}
    seconds = {}
    for _ in range(args.runs):
        for step in ("learn", "score"):
            for name, program in programs.items():
                start = time.perf_counter()
                taken = getattr(program, step)()
                seconds.setdefault((step, name), []).append(taken or time.perf_counter() - start)
        seconds.setdefault(("read", "ebbline"), []).append(read(args, work))
    figures = {}
    for step in ("learn", "score"):
        rates = {name: args.rows / statistics.median(seconds[step, name]) for name in programs}
        pairs = zip(seconds[step, "ebbline"], *(seconds[step, name] for name in programs if name != "ebbline"))
        ratio = statistics.median(min(others) / own for own, *others in pairs)
        figures[step] = {"rows_per_s": rates, "ratio_to_faster_peer": ratio, "peak_bytes": programs["ebbline"].peak[step]}
    shares = [r / s for r, s in zip(seconds["read", "ebbline"], seconds["score", "ebbline"])]
    figures["score"]["share_of_read"] = statistics.median(shares)
    figures["read_rows_per_s"] = args.rows / statistics.median(seconds["read", "ebbline"])
    figures["agreement"] = agreement(work)
    return figures


def agreement(work):
    """Over the rows of the first file: the most that the peers' scores differ, in bits, and how Ebbline's go with theirs."""
    import duckdb

    (sidecar,) = (work / "scored" / "scores").glob("*/part-0000.parquet")
    differs, goes_with, rows = duckdb.connect().execute(f"""
        select max(abs(d.bits - p.bits)), corr(e.bits, d.bits), count(*)
        from '{work}/duckdb.parquet' d
        join '{work}/polars.parquet' p on d.file_row_number = p.row and d.filename = p.file
        join '{sidecar}' e on e.row = d.file_row_number
        where d.filename like '%/part-0000.parquet'""").fetchone()
    assert rows > 0
    return {"peers_differ_by_bits": differs, "ebbline_correlates": goes_with}


def show(args, figures):
    print(f"{args.rows:,} rows of 23 columns in {args.files} files, {args.threads} threads, medians of {args.runs} rounds")
    for model, found in figures.items():
        print(f"{model} model; a plain read of its columns: {found['read_rows_per_s'] / 1e6:.2f} M rows/s")
        agree = found["agreement"]
        print(f"  scores: the peers' differ by {agree['peers_differ_by_bits']:.3g} bits at most; "
              f"ebbline's correlate with them at {agree['ebbline_correlates']:.3f}")
        for step in ("learn", "score"):
            of = found[step]
            rates = ", ".join(f"{name} {rate / 1e6:.2f}" for name, rate in of["rows_per_s"].items())
            share = f"; {of['share_of_read']:.1%} of the plain read" if "share_of_read" in of else ""
            print(f"  {step}: M rows/s {rates}; {of['ratio_to_faster_peer']:.2f} × the faster peer{share}; "
                  f"ebbline's peak {of['peak_bytes'] / 2**20:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for the archive, which is kept, and results")
    parser.add_argument("--ebbline", required=True)
    parser.add_argument("--read", required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", choices=["flat", "full"], action="append")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    work = args.work / f"{args.rows}-rows-{args.files}-files"
    if not (work / "archive").is_dir():
        shutil.rmtree(work / "making", ignore_errors=True)
        generate(work / "making", args.rows, args.files)
        (work / "making").rename(work / "archive")
    figures = {model: compare(args, work, model) for model in args.model or ["flat", "full"]}
    print(json.dumps(figures)) if args.json else show(args, figures)


if __name__ == "__main__":
    main()
