"""The archive that is learned and scored: 23 columns, of which eight pairs belong together."""

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
