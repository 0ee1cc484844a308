"""Detectors of numbers on the archive: each row as eight numbers, how rare each pair of its values is (as in accuracy.py)."""

import math

from detectors import DETECTORS

# Rows that half-space trees score: they take one at a time, some thousands a second.
TREES_SCORE = 60_000


class Detector:
    """Reads the archive, makes the numbers with Polars, then fits or scores; scores go to a Parquet file."""

    def __init__(self, name, work, pairs, threads):
        import polars

        self.pl, self.name, self.pairs, self.threads = polars, name, pairs, threads
        self.out = work / "detector.parquet"
        columns = sorted({column for pair in pairs for column in pair})
        self.rows = polars.scan_parquet(f"{work}/archive/*.parquet").select(columns)
        self.takes_one = "trees" in name
        if self.takes_one:
            self.score_rows = TREES_SCORE

    def learn(self):
        pl = self.pl
        rows = self.rows.select(pl.len()).collect().item()
        bits = (math.log2(rows + 1) - (pl.len() + 1).log(2)).cast(pl.Float32).alias("s")
        self.tables = [self.rows.group_by(pair).agg(bits).collect(engine="streaming") for pair in self.pairs]
        self.detector = DETECTORS[self.name](self.threads)
        self.detector.fit(self.numbers(self.rows))

    def numbers(self, rows):
        for at, pair in enumerate(self.pairs):
            rows = rows.join(self.tables[at].lazy().rename({"s": f"s{at}"}), on=pair, how="left", maintain_order="left")
        return rows.select([f"s{at}" for at in range(len(self.pairs))]).collect().to_numpy()

    def score(self):
        x = self.numbers(self.rows.head(TREES_SCORE) if self.takes_one else self.rows)
        self.pl.DataFrame({"score": self.detector.decision_function(x)}).write_parquet(self.out, compression="zstd")
