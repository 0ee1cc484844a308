"""The lines of docs/joins.md, as they stand there: `joins.py DOCS duckdb|polars|pandas ID` prints, of every row of the join in the
current folder, what joins.rs knows of it."""

import re
import struct
import sys


def line(docs, tool, baseline):
    """The line of a tool, for a baseline."""
    text = open(docs, encoding="utf-8").read()
    block = re.search(rf"^{tool}.*?\n\n```\w+\n(.*?)\n```", text, re.IGNORECASE | re.MULTILINE | re.DOTALL)
    found = block.group(1)
    assert "\n" not in found, "one line"
    return re.sub(r"\bID\b", baseline, found)


def with_duckdb(code):
    import duckdb

    return duckdb.connect().execute("from (" + code + ") select file, \"row\", host, bits, log2_n, finding").fetchall()


def with_polars(code):
    import polars

    return eval(code, {"pl": polars}).select("file", "row", "host", "bits", "log2_n", "finding").rows()


def with_pandas(code):
    from pathlib import Path

    import pandas

    table = eval(code, {"pd": pandas, "Path": Path})[["file", "row", "host", "bits", "log2_n", "finding"]]
    return [tuple(None if pandas.isna(value) else value for value in row) for row in table.itertuples(index=False)]


def single(value):
    return struct.pack(">f", value).hex()


if __name__ == "__main__":
    docs, tool, baseline = sys.argv[1:]
    rows = {"duckdb": with_duckdb, "polars": with_polars, "pandas": with_pandas}[tool](line(docs, tool, baseline))
    for file, row, host, bits, log2_n, finding in sorted(rows, key=lambda row: (row[0], row[1], row[5] or "")):
        print(file, int(row), host, single(bits), single(log2_n), finding or "-", sep="\t")
