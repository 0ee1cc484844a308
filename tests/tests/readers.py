"""How other programs read our files: `readers.py pyarrow|duckdb FILE` prints JSON that readers.rs compares."""

import hashlib
import json
import struct
import sys


def canonical(value):
    """A value as the text that readers.rs makes of it too."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return struct.pack(">f", value).hex()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return "[" + "|".join(canonical(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + "|".join(canonical(item) for item in value.values()) + "}"
    return str(value)


def digest(values):
    """The SHA-256 of a column."""
    text = "".join(canonical(value) + "\n" for value in values)
    return hashlib.sha256(text.encode()).hexdigest()


def with_pyarrow(path):
    """A digest of every column."""
    import pyarrow
    import pyarrow.parquet

    digests = {}
    # One file, not a data set: the folders name day and host once more.
    table = pyarrow.parquet.ParquetFile(path).read()
    for name, column in zip(table.column_names, table.columns):
        if pyarrow.types.is_timestamp(column.type):
            assert column.type == pyarrow.timestamp("ns", "UTC"), column.type
            column = column.cast(pyarrow.int64())
        digests[name] = digest(column.to_pylist())
    return digests


def with_duckdb(path):
    """A digest of every column."""
    import duckdb

    database, digests = duckdb.connect(), {}
    source = "from read_parquet(?, hive_partitioning = false)"
    for name, kind, *_ in database.execute("describe select * " + source, [path]).fetchall():
        value = f'epoch_ns("{name}")' if kind.startswith("TIMESTAMP") else f'"{name}"'
        rows = database.execute(f"select {value} {source}", [path]).fetchall()
        digests[name] = digest(value for (value,) in rows)
    return digests


if __name__ == "__main__":
    question, path = sys.argv[1:]
    print(json.dumps({"pyarrow": with_pyarrow, "duckdb": with_duckdb}[question](path)))
