"""Other people's detectors of numbers, with their packages' defaults and fixed seeds."""

import numpy as np
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from river.anomaly import HalfSpaceTrees
from sklearn.ensemble import IsolationForest

# Rows that half-space trees learn, at most: they take one at a time.
TREE_ROWS = 10_000


def draw(x, rows):
    if len(x) <= rows:
        return x
    return x[np.sort(np.random.default_rng(0).choice(len(x), rows, replace=False))]


class Trees:
    """River's half-space trees, which want features from 0 to 1 and one row at a time."""

    def fit(self, x):
        self.low, self.high = x.min(0), x.max(0)
        self.trees = HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=0)
        for row in self.scaled(draw(x, TREE_ROWS)):
            self.trees.learn_one(row)
        return self

    def decision_function(self, x):
        return np.array([self.trees.score_one(row) for row in self.scaled(x)])

    def scaled(self, x):
        y = np.clip((x - self.low) / np.maximum(self.high - self.low, 1e-9), 0, 1)
        return [dict(enumerate(row)) for row in y.tolist()]


class Forest:
    def __init__(self, threads=None):
        self.threads = threads

    def fit(self, x):
        self.forest = IsolationForest(n_estimators=100, random_state=0, n_jobs=self.threads).fit(x)
        return self

    def decision_function(self, x):
        return -self.forest.score_samples(x)


# Each with a number of threads, where it can use more than one.
DETECTORS = {
    "IsolationForest (scikit-learn)": Forest,
    "HBOS (pyod)": lambda _threads=None: HBOS(),
    "ECOD (pyod)": lambda threads=1: ECOD(n_jobs=threads),
    "half-space trees (river)": lambda _threads=None: Trees(),
}
