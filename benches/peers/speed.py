"""Ebbline beside query engines and detectors, over one generated archive: README.md says what is compared."""

import argparse
import json
import pathlib
import shutil
import statistics
import sys
import time

import archive
import engines
import program


def sides(args, work, model):
    """Who takes part: Ebbline first. Detectors stand beside the full model alone."""
    out = [program.Ebbline(args, work, model)]
    out += [kind(work, model, archive.PAIRS, args.threads) for kind in (engines.Duckdb, engines.Polars, engines.Datafusion)]
    if args.detectors and model == "full":
        import features

        out += [features.Detector(name, work, archive.PAIRS, args.threads) for name in features.DETECTORS]
    return out


def compare(args, work, model):
    """Every program takes its turn in every round, so that ratios are of the same minute."""
    programs = sides(args, work, model)
    seconds = {(step, program.name): [] for step in ("learn", "score") for program in programs}
    reads = []
    for number in range(args.runs):
        for step in ("learn", "score"):
            for side in programs:
                start = time.perf_counter()
                taken = getattr(side, step)()
                seconds[step, side.name].append(taken or time.perf_counter() - start)
        reads.append(program.read(args, work))
        args.say(f"{model} model: round {number + 1} of {args.runs}")
    steps = {step: [figure(args.rows, side, seconds[step, side.name], seconds[step, "Ebbline"], step) for side in programs] for step in ("learn", "score")}
    shares = [r / s for r, s in zip(reads, seconds["score", "Ebbline"])]
    return {
        **steps, "read_rows_per_s": spread(args.rows / r for r in reads), "share_of_read": spread(shares), "agreement": agreement(work),
        "over_faster_engine": {step: faster(programs, seconds, step) for step in steps},
        "peak_bytes": programs[0].peak,
    }


def figure(rows, side, seconds, own, step):
    """Rates of one program, and how many times its seconds a row are Ebbline's of the same round."""
    done = getattr(side, f"{step}_rows", rows)
    return {
        "program": side.name, "rows": done, "rows_per_s": spread(done / s for s in seconds),
        "of_ebbline": spread(done / s / (rows / o) for s, o in zip(seconds, own)),
    }


def faster(programs, seconds, step):
    """How many times the rate of whichever engine was faster in the round Ebbline's is."""
    names = [side.name for side in programs[1:] if isinstance(side, engines.Engine)]
    rounds = zip(seconds[step, "Ebbline"], *(seconds[step, name] for name in names))
    return spread(min(others) / own for own, *others in rounds)


def spread(values):
    values = sorted(values)
    return {"median": statistics.median(values), "least": values[0], "most": values[-1], "runs": len(values)}


def agreement(work):
    """Over the rows of the first file: the most that the engines' scores differ, in bits, and how Ebbline's go with theirs."""
    import duckdb

    (sidecar,) = (work / "scored" / "scores").glob("*/part-0000.parquet")
    first = work / "archive/part-0000.parquet"
    differs, goes_with, rows, all_rows = duckdb.connect().execute(f"""
        select max(greatest(abs(d.bits - p.bits), abs(d.bits - f.bits))), corr(e.bits, d.bits), count(*),
            (select count(*) from '{first}')
        from '{work}/duckdb.parquet' d
        join '{work}/polars.parquet' p on d.file_row_number = p.row and d.filename = p.file
        join '{sidecar}' e on e.row = d.file_row_number
        join read_parquet('{first}', file_row_number = true) a on a.file_row_number = d.file_row_number
        join '{work}/datafusion.parquet' f on f.time = a.time and f.pid = a.pid and f.ppid = a.ppid
        where d.filename like '%/part-0000.parquet'""").fetchone()
    assert rows == all_rows, f"{rows} of {all_rows} rows found each other"
    return {"engines_differ_by_bits": differs, "ebbline_correlates": goes_with}


def show(args, figures):
    print(f"{args.rows:,} rows of 23 columns in {args.files} files, {args.threads} threads, medians of {args.runs} rounds")
    for model, found in figures.items():
        print(f"{model} model; a plain read of its columns: {found['read_rows_per_s']['median'] / 1e6:.2f} M rows/s")
        agree = found["agreement"]
        print(f"  scores: the engines' differ by {agree['engines_differ_by_bits']:.3g} bits at most; "
              f"Ebbline's correlate with them at {agree['ebbline_correlates']:.3f}")
        for step in ("learn", "score"):
            rates = ", ".join(f"{of['program']} {of['rows_per_s']['median'] / 1e6:.2f}" for of in found[step])
            share = f"; {found['share_of_read']['median']:.1%} of the plain read" if step == "score" else ""
            print(f"  {step}: M rows/s {rates}; {found['over_faster_engine'][step]['median']:.2f} × the faster engine{share}; "
                  f"Ebbline's peak {found['peak_bytes'][step] / 2**20:.0f} MiB")


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
    parser.add_argument("--detectors", action="store_true", help="detectors of other people, beside the full model")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, help="figures for page.py")
    args = parser.parse_args()
    args.say = lambda text: print(text, file=sys.stderr)
    work = args.work / f"{args.rows}-rows-{args.files}-files"
    if not (work / "archive").is_dir():
        shutil.rmtree(work / "making", ignore_errors=True)
        archive.generate(work / "making", args.rows, args.files)
        (work / "making").rename(work / "archive")
    figures = {model: compare(args, work, model) for model in args.model or ["flat", "full"]}
    if args.out:
        amounts = {"rows": args.rows, "files": args.files, "runs": args.runs, "threads": args.threads}
        args.out.write_text(json.dumps({"program": args.ebbline, "amounts": amounts, "models": figures}))
    print(json.dumps(figures)) if args.json else show(args, figures)


if __name__ == "__main__":
    main()
