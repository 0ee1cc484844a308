"""Other detectors on the labelled sets, on the same rows by the same protocols as `ebbline eval`.

    python accuracy.py DATA_FOLDER OUT.json [SET ...]

Plain rarity, IsolationForest, HBOS, ECOD, half-space trees and MIDAS. Each gets the columns that Ebbline's lens of the set
reads, without the labels. Detectors of numbers get, for every column and pair of columns that belong together, how rare its value
was among the rows that are learned (-log2 of its share, with one added), and numbers as they are. A request or window has
the score of its oddest row. Nothing is tuned: the packages' defaults, seeds fixed. What cannot be run is said, never left out.
"""

import importlib.metadata
import json
import re
import sys
import time

import numpy as np
import pandas as pd
from numba import njit
from sklearn.metrics import average_precision_score, roc_auc_score

from detectors import DETECTORS, draw

# Rows a detector of numbers is fitted on, at most: drawn, with a fixed seed.
FIT_ROWS = 50_000


def codes(frame, columns):
    """One number for each distinct combination of values."""
    return frame.groupby(columns, sort=False, dropna=False, observed=True).ngroup().to_numpy()


def rarity(code, learned):
    """-log2 of the share of each row's code among the learned rows."""
    counts = np.bincount(code[learned], minlength=code.max() + 1)
    return np.log2(learned.sum() + 1) - np.log2(counts[code] + 1)


def odd(detector, x, learned, scored):
    """Scores of the scored rows; equal rows are scored once."""
    model = DETECTORS[detector]().fit(draw(x[learned], FIT_ROWS))
    distinct, back = np.unique(x[scored], axis=0, return_inverse=True)
    return np.asarray(model.decision_function(distinct), dtype=float)[back.ravel()]


def figures(attack, score):
    return {"auroc": float(roc_auc_score(attack, score)),
            "average_precision": float(average_precision_score(attack, score))}


def by_unit(unit, attack, score):
    """The oddest row of each unit; a unit is an attack if any of its rows is."""
    units = pd.DataFrame({"unit": unit, "attack": attack, "score": score}).groupby("unit", sort=False).max()
    return units.attack.to_numpy(), units.score.to_numpy()


def without_nulls(frame):
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]) and not pd.api.types.is_datetime64_any_dtype(frame[column]):
            frame[column] = frame[column].astype(object).where(frame[column].notna(), "").astype(str)
    return frame


def endpoint(text):
    """Sockets by what their addresses and ports are, files without numbers."""
    pair = re.fullmatch(r"(\d+\.\d+\.\d+\.\d+):(\d+)->(\d+\.\d+\.\d+\.\d+):(\d+)", text)
    if not pair:
        return re.sub(r"[0-9a-f]{8,}|\d+", "N", text)
    address = lambda a: "loopback" if a.startswith("127.") else "private" if a.startswith(("10.", "192.168.")) else "other"
    port = lambda p: p if int(p) < 32768 else "ephemeral"
    return f"{address(pair[1])}:{port(pair[2])}->{address(pair[3])}:{port(pair[4])}"


def serverless(data):
    d = without_nulls(pd.read_parquet(f"{data}/serverless-sysdig.parquet"))
    d["file"] = d.fd.map({x: endpoint(x) for x in d.fd.unique()})
    day = d.time.dt.strftime("%Y-%m-%d")
    learned = ((d.group == "output-train") | ((d.req_type == "benign") & (day <= "2024-10-14"))).to_numpy()
    scored = (d.run.str.contains("rc2|rc3") & (d.req_type != "none") & (day >= "2024-10-20")).to_numpy()
    size = np.log2(pd.to_numeric(d.res, errors="coerce").fillna(0).clip(lower=0).to_numpy() + 1)
    sets = [["comm"], ["event"], ["file"], ["exe"], ["comm", "event"], ["comm", "event", "file"]]
    x = np.column_stack([rarity(codes(d, s), learned) for s in sets] + [size])
    unit = codes(d, ["run", "req_id"])[scored]
    attack = (d.req_type == "attack").to_numpy()[scored].astype(int)
    rows = {"rarity of (comm, event, file)": x[scored, 5]}
    rows |= {name: odd(name, x, learned, scored) for name in DETECTORS}
    result = {}
    for name, score in rows.items():
        truth, units = by_unit(unit, attack, score)
        result[name] = {"all requests": figures(truth, units)}
        scenario = d.scenario.to_numpy()[scored]
        for one in np.unique(scenario):
            result[name][f"scenario {one}"] = figures(*by_unit(unit[scenario == one], attack[scenario == one], score[scenario == one]))
    return {"all requests": [int(len(truth)), int(truth.sum())]}, result


def windows(data):
    d = without_nulls(pd.read_parquet(f"{data}/windows-processes.parquet"))
    leaf = lambda column: d[column].str.lower().str.split("\\").str[-1]
    d["program"], d["parent"] = leaf("image"), leaf("parent_image")
    d["folder"] = d.image.str.lower().str.replace(r"\\[^\\]*$", "", regex=True).str.replace(r"\d+", "N", regex=True)
    d["arguments"] = d.command_line.str.lower().str.replace(r"\{?[0-9a-f-]{8,}\}?|\d+", "N", regex=True)
    sets = [["program"], ["parent", "program"], ["folder", "program"], ["arguments"], ["cwd", "program"], ["user"],
            ["integrity", "program"]]
    coded = [codes(d, s) for s in sets]
    length = np.log2(d.command_line.str.len().to_numpy() + 1)
    label = d.label.to_numpy()
    names = ["rarity of program", "rarity of (parent, program)", *DETECTORS]
    scores = {way: {name: np.zeros(len(d)) for name in names} for way in ("attack rows left in", "attack rows taken out")}
    for recording in d.recording.unique():
        scored = (d.recording == recording).to_numpy()
        for way, learned in (("attack rows left in", ~scored), ("attack rows taken out", ~scored & (label != 1))):
            x = np.column_stack([rarity(code, learned) for code in coded] + [length])
            scores[way]["rarity of program"][scored] = x[scored, 0]
            scores[way]["rarity of (parent, program)"][scored] = x[scored, 1]
            for name in DETECTORS:
                scores[way][name][scored] = odd(name, x, learned, scored)
    kept = label != 2
    result = {name: {way: figures(label[kept] == 1, scores[way][name][kept]) for way in scores} for name in names}
    return {way: [int(kept.sum()), int((label == 1).sum())] for way in scores}, result


def enterprise(data):
    all_rows = without_nulls(pd.read_parquet(f"{data}/enterprise-alerts.parquet"))
    result, counts = {}, {}
    for scenario, d in all_rows.groupby("scenario", observed=True):
        d = d.sort_values("time", kind="stable").reset_index(drop=True)
        clean = (d.time < d.time[d.time_label != "false_positive"].min()).to_numpy()
        learned, scored = clean & (d.event_label != "dnsteal").to_numpy(), ~clean
        d["window"] = d.time.astype("datetime64[s]").astype("int64") // 300
        d["hour"] = d.time.dt.hour
        sets = [["host"], ["alert_code"], ["host", "alert_code"], ["host", "hour"], ["host", "alert_code", "hour"]]
        count = d.groupby(["host", "window", "alert_code"], sort=False).cumcount().to_numpy()
        x = np.column_stack([rarity(codes(d, s), learned) for s in sets] + [np.floor(2 * np.log2(count + 1))])
        unit = codes(d, ["host", "window"])[scored]
        attack = (d.event_label != "-").to_numpy()[scored].astype(int)
        rows = {"rarity of (host, alert code)": x[scored, 2]}
        rows |= {name: odd(name, x, learned, scored) for name in DETECTORS}
        for name, score in rows.items():
            truth, units = by_unit(unit, attack, score)
            result.setdefault(name, {})[scenario] = figures(truth, units)
        counts[scenario] = [int(len(truth)), int(truth.sum())]
    mean = lambda of, area: float(np.mean([figure[area] for figure in of.values()]))
    for name in result:
        result[name]["mean of the enterprises"] = {a: mean(result[name], a) for a in ("auroc", "average_precision")}
    return counts, result


@njit(cache=False)
def midas(tick, keys, decay):
    """MIDAS (Bhatia et al. 2020), with exact counts: chi-squared of a key's count in its tick against its mean. A row sees
    counts up to itself. Several keys: the largest score; decay: what is left of a tick's counts in the next."""
    rows, kinds = keys.shape
    score = np.zeros(rows)
    size = keys.max() + 1
    now, total, at = np.zeros((size, kinds)), np.zeros((size, kinds)), np.full((size, kinds), -1)
    for row in range(rows):
        t = tick[row] + 1.0
        for kind in range(kinds):
            key = keys[row, kind]
            if at[key, kind] != tick[row]:
                now[key, kind] *= decay ** min(tick[row] - at[key, kind], 64) if at[key, kind] >= 0 else 0.0
                at[key, kind] = tick[row]
            now[key, kind] += 1
            total[key, kind] += 1
            a, s = now[key, kind], total[key, kind]
            if t > 1:
                score[row] = max(score[row], (a - s / t) ** 2 * t * t / (s * (t - 1)))
    return score


@njit(cache=False)
def so_far(tick, key):
    """How many rows of a key there were in its tick and in all, each row included."""
    now, total, at = np.zeros(len(key)), np.zeros(len(key)), np.full(len(key), -1)
    out = np.zeros((len(key), 2))
    for row in range(len(key)):
        k = key[row]
        if at[k] != tick[row]:
            now[k], at[k] = 0, tick[row]
        now[k] += 1
        total[k] += 1
        out[row, 0], out[row, 1] = now[k], total[k]
    return out


def darpa(data):
    d = pd.read_parquet(f"{data}/darpa98-edges.parquet").sort_values("time", kind="stable").reset_index(drop=True)
    minute = (d.time.astype("datetime64[s]").astype("int64") // 60).to_numpy()
    tick = np.unique(minute, return_inverse=True)[1]  # minutes without rows are no ticks, as in MIDAS's own data
    names = pd.factorize(pd.concat([d.src_ip, d.dst_ip]))[0]
    source, target = names[: len(d)], names[len(d):]
    edge = pd.factorize(source.astype(np.int64) * (names.max() + 1) + target)[0]
    attack = d.attack.to_numpy()
    counted = [so_far(tick, key) for key in (edge, source, target)]
    rows = np.arange(1, len(d) + 1)
    scores = {
        "rarity of the edge": np.log2(rows) - np.log2(counted[0][:, 1]),
        "rows of the edge in the minute so far": counted[0][:, 0],
        "MIDAS": midas(tick, edge[:, None], 0.0),
        "MIDAS-R": midas(tick, np.column_stack([edge, source, target]), 0.5),
    }
    # Batch detectors: each day by a fit on rows drawn from all days before it; the first day has no score.
    x = np.log2(np.column_stack(counted) + 1)
    day = minute // 1440
    for name in ("IsolationForest (scikit-learn)", "HBOS (pyod)", "ECOD (pyod)"):
        score = np.zeros(len(d))
        for one in np.unique(day)[1:]:
            before, now = day < one, day == one
            score[now] = odd(name, x, before, now)
        scores[name] = score
    result = {name: {"row by row": figures(attack, score)} for name, score in scores.items()}
    result["half-space trees (river)"] = {"not run": "one row at a time in Python, some hours for 4.5 million rows"}
    return {"row by row": [len(d), int(attack.sum())]}, result


SETS = {"darpa98-edges": darpa, "serverless-sysdig": serverless, "windows-processes": windows, "enterprise-alerts": enterprise}


def main():
    data, out, *chosen = sys.argv[1:]
    packages = ("numpy", "scikit-learn", "pyod", "river")
    report = {"packages": {p: importlib.metadata.version(p) for p in packages}, "sets": {}}
    for name in chosen or SETS:
        start = time.time()
        counts, peers = SETS[name](data)
        report["sets"][name] = {"counts": counts, "peers": peers}
        print(f"{name}: {time.time() - start:.0f} s", file=sys.stderr)
        for peer, measures in peers.items():
            print("  ", peer, measures, file=sys.stderr)
    with open(out, "w") as file:
        json.dump(report, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
