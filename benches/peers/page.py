"""docs/benchmarks.md and docs/benchmarks.json from what speed.py and `cargo xtask overhead-bench` measured.

    python page.py FIGURES.json DOCS_FOLDER [OVERHEAD.json]

Says how far ratios are from those of the page before, when that was made on a machine of the same kind with the same amounts.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

PACKAGES = ["duckdb", "polars", "datafusion", "scikit-learn", "pyod", "river", "numpy"]
LOADS = {"spawn": "process", "connect": "TCP connection", "send": "UDP send, connected", "sendto": "UDP send, unconnected", "build": "parallel build"}
HEAD = """# Benchmarks

Ebbline beside other people's programs, on the same file, with the same number of threads, in turns: every program once in every
round, so that a ratio is of one minute. Made by `cargo xtask benchmarks` from [benches/peers](../benches/peers/README.md); not
edited. All figures with their spread: [benchmarks.json](benchmarks.json). What *your* machine does: `ebbline bench`. How right the scores are: [accuracy](accuracy.md).

"""
FLAT = """## Eight pairs counted, rows scored by them

The least that has a score: eight pairs of columns counted, and for each row the bits of its pairs added up. Engines do that and nothing else.
Ebbline calibrates on rows held out besides, names three reasons beside each score, sums up units and writes findings.

"""
FULL = """## The full model

Eight views of two contexts each, for the host and for all hosts (PPM, method C), calibrated, with three reasons a row. Engines calibrate on the rows they
learned and have no units: it is less work than Ebbline's. Detectors see eight numbers a row (how rare each of the eight pairs is); they have neither calibration nor reasons.

"""
NOTES = """- Ebbline is the program as people run it, from its start to its last byte; the others are libraries in a running Python, and what they learned stays in a database file (DuckDB) or in memory.
- Detectors: the packages' defaults. Isolation forests learn a sample of 256 rows for each tree, half-space trees 10,000 rows and score 60,000; rates are of the rows they took. ECOD's threads are processes.
- Scores: the engines' differ by {differ:.2g} bits at most from each other; Ebbline's correlate with them at {flat:.3f} (flat) and {full:.3f} (full).
- Ebbline's most memory: {learn:.0f} MiB while learning, {score:.0f} MiB while scoring the full model (`VmHWM`).

"""
WATCH = """## What watching costs the watched

What Ebbline's agent adds as a share of what auditd and bpftrace add for the same events, wall and processor time (theirs included), {rounds} rounds in pairs, medians with 95 % intervals
by bootstrap; below 1 it costs less. An interval that includes nought was lost in the noise of this machine. Of all their own records Ebbline lost {lost}. `cargo xtask overhead-bench` has every figure.

| an action | of auditd's: wall | processor | of bpftrace's: wall | processor |
|---|---|---|---|---|
"""


def rate(of):
    """Rows a second: thousands below a million."""
    text = lambda value: f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"
    return f"{text(of['median'])} ({text(of['least'])}–{text(of['most'])})"


def times(of, digits=2):
    return f"{of['median']:.{digits}f} ({of['least']:.{digits}f}–{of['most']:.{digits}f})"


def table(found):
    lines = ["| | learn, rows/s | of Ebbline's | score, rows/s | of Ebbline's |", "|---|---:|---:|---:|---:|"]
    for learn, score in zip(found["learn"], found["score"]):
        name = f"**{learn['program']}**" if learn["program"] == "Ebbline" else learn["program"]
        ratio = lambda of: "1" if of["program"] == "Ebbline" else times(of["of_ebbline"])
        lines.append(f"| {name} | {rate(learn['rows_per_s'])} | {ratio(learn)} | {rate(score['rows_per_s'])} | {ratio(score)} |")
    faster = found["over_faster_engine"]
    lines += ["", f"Ebbline's rate is {times(faster['learn'])} × that of the faster engine in learning, {times(faster['score'])} × in scoring, "
              f"and scoring reaches {found['share_of_read']['median']:.1%} of a plain read of the columns ({rate(found['read_rows_per_s'])} rows/s).", ""]
    return "\n".join(lines)


def watching(overhead):
    of = {(ratio["load"], ratio["of"]): ratio for ratio in overhead["ratios"]}
    share = lambda i: f"{i['middle']:.2f} [{i['low']:.2f}, {i['high']:.2f}]"
    text = WATCH.format(rounds=overhead["amounts"]["rounds"], lost=overhead["whole"]["ebbline"]["recorded"]["lost"])
    for load, name in LOADS.items():
        cells = [share(of[load, peer][clock]) if (load, peer) in of else "–" for peer in ("auditd", "bpftrace") for clock in ("wall", "cpu")]
        text += f"| {name} | {' | '.join(cells)} |\n"
    for sensor, why in overhead["left_out"].items():
        text += f"\nLeft out: {sensor}: {why}\n"
    return text + "\n"


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": cpu[1] if cpu else platform.machine(), "threads": os.cpu_count(), "kernel": ".".join(platform.release().split(".")[:2])}


def versions(figures):
    own = subprocess.check_output([figures.pop("program"), "--version"], text=True).split()[1]
    return {"ebbline": own} | {name: importlib.metadata.version(name) for name in PACKAGES}


def ratios(figures):
    return {f"{model}: {step}, {of['program']}": of["of_ebbline"]["median"]
            for model, found in figures["models"].items() for step in ("learn", "score") for of in found[step] if of["program"] != "Ebbline"}


def against_before(now, path):
    """One line for people: how far ratios are from the page that was there, if it was made of the same."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if any(before.get(key) != now[key] for key in ("amounts", "machine", "versions")):
        return "the page before was of another machine, of other versions or amounts: not compared"
    old, new = ratios(before), ratios(now)
    moved = {name: max(new[name] / old[name], old[name] / new[name]) - 1 for name in new if name in old}
    worst = max(moved, key=moved.get)
    within = sum(value <= 0.15 for value in moved.values())
    return f"{within} of {len(moved)} ratios are within 15 % of the page before ({before['date']}); the furthest by {moved[worst]:.0%}: {worst}"


def main():
    figures = json.loads(pathlib.Path(sys.argv[1]).read_text())
    docs = pathlib.Path(sys.argv[2])
    found = {"format": 1, "date": datetime.date.today().isoformat(), "machine": machine(), "versions": versions(figures), **figures}
    if len(sys.argv) > 3:
        overhead = json.loads(pathlib.Path(sys.argv[3]).read_text())
        found["watching"] = {key: overhead[key] for key in ("amounts", "left_out", "ratios", "whole")}
    amounts, of, models = found["amounts"], found["machine"], found["models"]
    text = HEAD + (
        f"Measured {found['date']} on {of['cpu']}, {amounts['threads']} threads, Linux {of['kernel']}: {amounts['rows']:,} rows of 23 columns in {amounts['files']} files, medians of "
        f"{amounts['runs']} rounds (least–most). " + ", ".join(f"{name} {version}" for name, version in found["versions"].items()) + ".\n\n")
    agree = {model: models[model]["agreement"] for model in models}
    peak = models["full"]["peak_bytes"]
    notes = NOTES.format(
        differ=max(a["engines_differ_by_bits"] for a in agree.values()), flat=agree["flat"]["ebbline_correlates"], full=agree["full"]["ebbline_correlates"],
        learn=peak["learn"] / 2**20, score=peak["score"] / 2**20)
    text += FLAT + table(models["flat"]) + "\n" + FULL + table(models["full"]) + "\n" + notes
    if "watching" in found:
        text += watching(found["watching"])
    line = against_before(found, docs / "benchmarks.json")
    # Whole or not at all: both files, or the ones before.
    for name, content in (("benchmarks.json", json.dumps(found, indent=1) + "\n"), ("benchmarks.md", text.rstrip() + "\n")):
        (docs / f"{name}.tmp").write_text(content)
    for name in ("benchmarks.json", "benchmarks.md"):
        (docs / f"{name}.tmp").rename(docs / name)
    print("\n".join(filter(None, [f"written: {docs / 'benchmarks.md'}", line])))


if __name__ == "__main__":
    main()
