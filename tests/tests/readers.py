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


def with_pyarrow(path):
    """Per column the SHA-256 of its values."""
    import pyarrow
    import pyarrow.parquet

    digests = {}
    # One file, not a data set: the folders name day and host once more.
    table = pyarrow.parquet.ParquetFile(path).read()
    for name, column in zip(table.column_names, table.columns):
        if pyarrow.types.is_timestamp(column.type):
            assert column.type == pyarrow.timestamp("ns", "UTC"), column.type
            column = column.cast(pyarrow.int64())
        text = "".join(canonical(value) + "\n" for value in column.to_pylist())
        digests[name] = hashlib.sha256(text.encode()).hexdigest()
    return digests


def with_duckdb(path):
    """Number of rows and names of columns, after reading every value."""
    import duckdb

    result = duckdb.connect().execute("select * from read_parquet(?, hive_partitioning = false)", [path])
    columns = [column[0] for column in result.description]
    return {"rows": len(result.fetchall()), "columns": columns}


if __name__ == "__main__":
    question, path = sys.argv[1:]
    print(json.dumps(with_pyarrow(path) if question == "pyarrow" else with_duckdb(path)))
