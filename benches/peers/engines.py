"""The same models in DuckDB, Polars and DataFusion. Every score of a row depends on (host, a, b) alone, so in the full model each distinct one is
scored once and joined to the rows: by far faster than to join every level to every row."""

import math

# A row that was never seen, in bits.
UNSEEN = 30.0
# Bins of a view's surprisals, as in Ebbline.
BINS = 1024


class Engine:
    """Learns and scores with queries; `name` is its package's."""


class Duckdb(Engine):
    name = "DuckDB"

    def __init__(self, work, model, pairs, threads):
        import duckdb

        self.pairs, self.model, self.out = pairs, model, work / "duckdb.parquet"
        database = work / f"{model}.duckdb"
        database.unlink(missing_ok=True)
        self.database = duckdb.connect(str(database))
        self.run(f"set threads = {threads}")
        self.run("set preserve_insertion_order = false")
        columns = ", ".join(sorted({column for pair in pairs for column in pair}))
        files = f"'{work}/archive/*.parquet'"
        self.run(f"create view e as select host, {columns} from read_parquet({files})")
        self.run(f"create view r as select filename, file_row_number, host, {columns} from read_parquet({files}, filename = true, file_row_number = true)")

    def run(self, query):
        return self.database.execute(query)

    def learn(self):
        if self.model == "flat":
            (rows,) = self.run("select count(*) from e").fetchone()
            for at, (a, b) in enumerate(self.pairs):
                self.run(f"create or replace table b{at} as select {a} a, {b} b, -log2((count(*) + 0.5) / ({rows} + 1)) s from e group by all")
            return
        for at, (a, b) in enumerate(self.pairs):
            # Host scope counts rows, fleet scope hosts; cells with n, and contexts with N and T.
            self.run(f"create or replace table c{at} as select host, {a} a, {b} b, count(*) n from e group by all")
            for name, keys, source in [
                ("ha", "host, a", f"c{at}"),
                ("fa", "a", f"(select a, b, count(*) n from c{at} group by all)"),
                ("hb", "host", f"(select host, b, sum(n) n from c{at} group by all)"),
                ("fb", "", f"(select b, count(distinct host) n from c{at} group by all)"),
            ]:
                cells = ", ".join(filter(None, [keys, "b"]))
                self.run(f"create or replace table {name}{at} as select {cells}, n, sum(n) over w total, count(*) over w kinds from {source} window w as ({f'partition by {keys}' if keys else ''})")
            self.run(f"create or replace table d{at} as {self.surprisals(at, f'c{at}')}")
            # Calibrated: how many rows are at least as odd.
            self.run(f"""create or replace table k{at} as
                with h as (select least({BINS - 1}, floor(s * 16))::int bin, sum(n) m from d{at} group by all)
                select bin, least(bin / 16.0, log2((sum(m) over ()) + 1) - log2(1 + sum(m) over (order by bin desc))) bits from h""")

    def surprisals(self, at, distinct):
        """PPM, method C, down the levels, of each (host, a, b)."""
        context = lambda name, keys: f"(select distinct {keys + ', ' if keys else ''}total, kinds from {name}{at})"
        escape = lambda level: f"coalesce(log2({level}.total + {level}.kinds) - log2({level}.kinds), 0)"
        hit = lambda cell: f"log2({cell}.total + {cell}.kinds) - log2({cell}.n)"
        return f"""select d.host, d.a, d.b, d.n, case
                when ha.n > 0 then {hit('ha')}
                when fa.n > 0 then {escape('xha')} + {hit('fa')}
                when hb.n > 0 then {escape('xha')} + {escape('xfa')} + {hit('hb')}
                when fb.n > 0 then {escape('xha')} + {escape('xfa')} + {escape('xhb')} + {hit('fb')}
                else {escape('xha')} + {escape('xfa')} + {escape('xhb')} + {escape('xfb')} + log2((select count(*) from fb{at}) + 1) end s
            from {distinct} d
            left join ha{at} ha on d.host = ha.host and d.a = ha.a and d.b = ha.b left join {context('ha', 'host, a')} xha on d.host = xha.host and d.a = xha.a
            left join fa{at} fa on d.a = fa.a and d.b = fa.b left join {context('fa', 'a')} xfa on d.a = xfa.a
            left join hb{at} hb on d.host = hb.host and d.b = hb.b left join {context('hb', 'host')} xhb on d.host = xhb.host
            left join fb{at} fb on d.b = fb.b left join {context('fb', '')} xfb on true"""

    def score(self):
        if self.model == "flat":
            sums = " + ".join(f"coalesce(b{at}.s, {UNSEEN})" for at in range(len(self.pairs)))
            joins = " ".join(f"left join b{at} on r.{a} = b{at}.a and r.{b} = b{at}.b" for at, (a, b) in enumerate(self.pairs))
            select = f"select filename, file_row_number, ({sums})::float bits from r {joins}"
        else:
            for at, (a, b) in enumerate(self.pairs):
                seen = f"(select host, {a} a, {b} b, count(*) n from e group by all)"
                # A bin that learning did not see has the bits of the next one below.
                self.run(f"create or replace temp table s{at} as select s.host, s.a, s.b, k.bits from ({self.surprisals(at, seen)}) s asof join k{at} k on least({BINS - 1}, floor(s.s * 16))::int >= k.bin")
            views = [f"coalesce(s{at}.bits, 0)" for at in range(len(self.pairs))]
            names = [f"{{'bits': {view}, 'view': '{b} given {a}'}}" for view, (a, b) in zip(views, self.pairs)]
            joins = " ".join(f"left join s{at} on r.host = s{at}.host and r.{a} = s{at}.a and r.{b} = s{at}.b" for at, (a, b) in enumerate(self.pairs))
            reasons = ", ".join(f"top[{at}].view reason{at}_view, top[{at}].bits::float reason{at}_bits" for at in (1, 2, 3))
            inner = f"select filename, file_row_number, ({' + '.join(views)})::float bits, list_reverse_sort([{', '.join(names)}])[:3] top from r {joins}"
            select = f"select filename, file_row_number, bits, {reasons} from ({inner})"
        self.run(f"copy ({select}) to '{self.out}' (format parquet, compression zstd)")


class Polars(Engine):
    name = "Polars"

    def __init__(self, work, model, pairs, threads):
        import polars

        self.pl, self.pairs, self.model, self.out = polars, pairs, model, work / "polars.parquet"
        if polars.thread_pool_size() != threads:
            raise SystemExit(f"error: Polars: POLARS_MAX_THREADS must be {threads}")
        columns = sorted({column for pair in pairs for column in pair})
        self.rows = polars.scan_parquet(f"{work}/archive/*.parquet", include_file_paths="file").select("file", "host", *columns)

    def learn(self):
        pl = self.pl
        if self.model == "flat":
            rows = self.rows.select(pl.len()).collect().item()
            bits = (-((pl.len() + 0.5) / (rows + 1)).log(2)).alias("s")
            self.tables = [self.rows.group_by(pair).agg(bits).collect(engine="streaming") for pair in self.pairs]
            return
        self.levels, self.bins = [], []
        for a, b in self.pairs:
            cells = self.counted(a, b)
            fleet = cells.group_by("a", "b").agg(pl.len().alias("n"))
            host = cells.group_by("host", "b").agg(pl.col("n").sum())
            whole = cells.group_by("b").agg(pl.col("host").n_unique().alias("n")).with_columns(one=pl.lit(1))
            self.levels.append([(["host", "a"], cells), (["a"], fleet), (["host"], host), (["one"], whole)])
            bins = self.surprisals(len(self.levels) - 1, cells).group_by("bin").agg(pl.col("n").sum()).sort("bin", descending=True)
            bits = (pl.col("n").sum() + 1).log(2) - (pl.col("n").cum_sum() + 1).log(2)
            self.bins.append(bins.select("bin", bits=pl.min_horizontal(pl.col("bin") / 16, bits)).sort("bin"))

    def counted(self, a, b):
        """How often each (host, a, b) is there."""
        cells = self.rows.group_by("host", a, b).agg(self.pl.len().alias("n")).rename({b: "b"} if a == b else {a: "a", b: "b"})
        return cells.collect(engine="streaming")

    def surprisals(self, at, distinct):
        """As in DuckDB: the levels one after the other, each for what the levels before did not have."""
        pl = self.pl
        out = distinct.with_columns(one=pl.lit(1), s=pl.lit(0.0), open=pl.lit(True))
        for keys, cells in self.levels[at]:
            of = cells.group_by(keys).agg(pl.col("n").sum().alias("total"), pl.len().alias("kinds"))
            out = out.join(of, on=keys, how="left").join(cells.select(*keys, "b", hit="n"), on=[*keys, "b"], how="left")
            cost = (pl.col("total") + pl.col("kinds")).log(2) - pl.coalesce("hit", "kinds").log(2)
            out = out.with_columns(s=pl.when("open").then(pl.col("s") + cost.fill_null(0)).otherwise("s"), open=pl.col("open") & pl.col("hit").is_null())
            out = out.drop("total", "kinds", "hit")
        kinds = self.levels[at][-1][1].height
        s = pl.when("open").then(pl.col("s") + math.log2(kinds + 1)).otherwise("s")
        return out.select("host", "a", "b", "n", bin=pl.min_horizontal(pl.lit(BINS - 1), (s * 16).floor()).cast(pl.Int32))

    def score(self):
        pl = self.pl
        rows = self.rows.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt64).over("file"))
        if self.model == "flat":
            for at, pair in enumerate(self.pairs):
                rows = rows.join(self.tables[at].lazy().rename({"s": f"s{at}"}), on=pair, how="left")
            bits = sum((pl.col(f"s{at}").fill_null(UNSEEN) for at in range(len(self.pairs))), pl.lit(0.0))
            rows.select("file", "row", bits=bits.cast(pl.Float32)).sink_parquet(self.out, compression="zstd")
            return
        for at, (a, b) in enumerate(self.pairs):
            scored = self.surprisals(at, self.counted(a, b)).sort("bin").join_asof(self.bins[at], on="bin")
            rows = rows.join(scored.lazy().select(pl.col("host"), pl.col("a").alias(a), pl.col("b").alias(b), pl.col("bits").alias(f"s{at}")), on=["host", a, b], how="left")
        views = [pl.col(f"s{at}").fill_null(0) for at in range(len(self.pairs))]
        named = pl.concat_list([pl.struct(bits=view, view=pl.lit(f"{b} given {a}")) for view, (a, b) in zip(views, self.pairs)])
        top = named.list.sort(descending=True)
        reasons = [top.list.get(at).struct.field(field).alias(f"reason{at + 1}_{field}") for at in range(3) for field in ("view", "bits")]
        bits = sum(views, pl.lit(0.0)).cast(pl.Float32)
        rows.select("file", "row", bits.alias("bits"), *reasons).sink_parquet(self.out, compression="zstd")


class Datafusion(Engine):
    name = "DataFusion"

    def __init__(self, work, model, pairs, threads):
        from datafusion import SessionConfig, SessionContext

        self.pairs, self.model, self.out = pairs, model, work / "datafusion.parquet"
        self.context = SessionContext(SessionConfig().with_target_partitions(threads))
        # It has no number of a row in its file: a row is known by these.
        self.key = ["time", "pid", "ppid"]
        self.context.register_parquet("e", f"{work}/archive/")

    def run(self, query):
        return self.context.sql(query).collect()

    def make(self, name, query):
        self.run(f"drop table if exists {name}")
        self.run(f"create table {name} as {query}")

    def learn(self):
        if self.model == "flat":
            rows = self.run("select count(*) n from e")[0]["n"][0].as_py()
            for at, (a, b) in enumerate(self.pairs):
                self.make(f"b{at}", f"select {a} a, {b} b, -log2((count(*) + 0.5) / ({rows} + 1)) s from e group by {a}, {b}")
            return
        for at, (a, b) in enumerate(self.pairs):
            self.make(f"c{at}", f"select host, {a} a, {b} b, count(*) n from e group by host, {a}, {b}")
            for name, keys, source in [
                ("ha", "host, a", f"c{at}"),
                ("fa", "a", f"(select a, b, count(*) n from c{at} group by a, b)"),
                ("hb", "host", f"(select host, b, sum(n) n from c{at} group by host, b)"),
                ("fb", "", f"(select b, count(distinct host) n from c{at} group by b)"),
            ]:
                over = f"partition by {keys}" if keys else ""
                cells = ", ".join(filter(None, [keys, "b"]))
                self.make(f"{name}{at}", f"select {cells}, n, sum(n) over ({over}) total, count(*) over ({over}) kinds from {source}")
            self.make(f"d{at}", self.surprisals(at, f"c{at}"))
            # For every bin, and not only for those that were seen: there is no join to the next one below.
            self.make(f"k{at}", f"""
                with h as (select {self.bin("s")} bin, sum(n) m from d{at} group by 1),
                k as (select bin, least(bin / 16.0, log2((sum(m) over ()) + 1) - log2(1 + sum(m) over (order by bin desc))) bits from h)
                select g.value bin, max(k.bits) bits from generate_series(0, {BINS - 1}) g join k on k.bin <= g.value group by g.value""")

    def bin(self, s):
        return f"cast(least({BINS - 1}, floor({s} * 16)) as bigint)"

    def surprisals(self, at, distinct):
        """As in DuckDB."""
        context = lambda name, keys: f"(select distinct {keys + ', ' if keys else ''}total, kinds from {name}{at})"
        escape = lambda level: f"coalesce(log2({level}.total + {level}.kinds) - log2({level}.kinds), 0)"
        hit = lambda cell: f"log2({cell}.total + {cell}.kinds) - log2({cell}.n)"
        return f"""select d.host, d.a, d.b, d.n, case
                when ha.n > 0 then {hit("ha")}
                when fa.n > 0 then {escape("xha")} + {hit("fa")}
                when hb.n > 0 then {escape("xha")} + {escape("xfa")} + {hit("hb")}
                when fb.n > 0 then {escape("xha")} + {escape("xfa")} + {escape("xhb")} + {hit("fb")}
                else {escape("xha")} + {escape("xfa")} + {escape("xhb")} + {escape("xfb")} + log2((select count(*) from fb{at}) + 1) end s
            from {distinct} d
            left join ha{at} ha on d.host = ha.host and d.a = ha.a and d.b = ha.b left join {context("ha", "host, a")} xha on d.host = xha.host and d.a = xha.a
            left join fa{at} fa on d.a = fa.a and d.b = fa.b left join {context("fa", "a")} xfa on d.a = xfa.a
            left join hb{at} hb on d.host = hb.host and d.b = hb.b left join {context("hb", "host")} xhb on d.host = xhb.host
            left join fb{at} fb on d.b = fb.b left join {context("fb", "")} xfb on true"""

    def score(self):
        key = ", ".join(f"r.{column}" for column in self.key)
        numbers = range(len(self.pairs))
        if self.model == "flat":
            sums = " + ".join(f"coalesce(b{at}.s, {UNSEEN})" for at in numbers)
            joins = " ".join(f"left join b{at} on r.{a} = b{at}.a and r.{b} = b{at}.b" for at, (a, b) in enumerate(self.pairs))
            select = f"select {key}, cast({sums} as float) bits from e r {joins}"
        else:
            for at, (a, b) in enumerate(self.pairs):
                seen = f"(select host, {a} a, {b} b, count(*) n from e group by host, {a}, {b})"
                self.make(f"s{at}", f"select s.host, s.a, s.b, k.bits from ({self.surprisals(at, seen)}) s join k{at} k on {self.bin('s.s')} = k.bin")
            joins = " ".join(f"left join s{at} on r.host = s{at}.host and r.{a} = s{at}.a and r.{b} = s{at}.b" for at, (a, b) in enumerate(self.pairs))
            views = [f"coalesce(s{at}.bits, 0)" for at in numbers]
            named = ", ".join(f"struct({view} as bits, '{b} given {a}' as view)" for view, (a, b) in zip(views, self.pairs))
            reasons = ", ".join(f"odd[{at}]['view'] reason{at}_view, cast(odd[{at}]['bits'] as float) reason{at}_bits" for at in (1, 2, 3))
            inner = f"select {key}, cast({' + '.join(views)} as float) bits, array_sort([{named}], 'DESC') odd from e r {joins}"
            select = f"select {', '.join(self.key)}, bits, {reasons} from ({inner})"
        self.out.unlink(missing_ok=True)
        self.run(f"copy ({select}) to '{self.out}' stored as parquet options (compression 'zstd(3)')")
