"""Ebbline as people run it, and the plain read it is held against."""

import pathlib
import shutil
import subprocess
import sys
import threading
import time

from archive import COLUMNS, PAIRS


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

    name = "Ebbline"

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
