"""Error rate of the reproduction check on the 31 published systems of SiSEC 2018.

    python benchmarks/reproduction.py                      prints Markdown tables (about 5 minutes)
    python benchmarks/reproduction.py --n-resamples 0      only the verdicts on the published tracks (seconds)

No published system reproduces another, so every pair that passes is an error. Pairs are judged on the published tracks and on resamples. A
resample has as many tracks, drawn with replacement, and shows how much the verdict depends on the choice of tracks. The second table has
runs that were made from the published scores of MDL1: all scores are shifted, and independent normal noise is added to each. Shift and
noise are those of SDR. For the other metrics they are twice as large.
"""

import argparse
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from madsep.comparison.published import published_track_medians
from madsep.comparison.reproduction import MARGINS, NOT_REPRODUCED, REPRODUCED, UNDECIDED, check_reproduction, paired

Differences = dict[tuple[str, str], NDArray[np.float64]]  # (target, metric) -> differences over tracks, dB
MIXED = ("vocals", "accompaniment")
SHIFTS_DB, NOISES_DB = (0.0, 0.1, 0.2, 0.3, 0.4), (0.1, 0.3, 0.5)
N_RUNS, SEED = 40, 0


def differences(scores: pd.DataFrame, run: str, published: str, targets: Sequence[str] | None) -> Differences:
    """Return the paired differences for all judged rows of a published system, or NaN for a target that the run lacks."""
    keys = [key for key in scores[published].columns if key[1] in MARGINS and (targets is None or key[0] in targets)]
    nothing = np.full(len(scores), np.nan)
    return {key: (scores[run, *key] - scores[published, *key]).to_numpy() if (run, *key) in scores else nothing for key in keys}


def judge(found: Differences, tracks: NDArray[np.intp]) -> str:
    """Return the same verdict as `check_reproduction` on a selection of tracks."""
    worst = REPRODUCED
    for (_, metric), values in found.items():
        verdict = str(paired(metric, values[None, tracks])["verdict"])
        if verdict == NOT_REPRODUCED:
            return verdict
        worst = UNDECIDED if verdict == UNDECIDED else worst
    return worst


def pairs(targets: Sequence[str] | None, n_resamples: int) -> pd.DataFrame:
    """Return run, published system, verdict and the share of resamples that pass, for all ordered pairs of systems."""
    scores = published_track_medians().pivot(index="track", columns=["system", "target", "metric"], values="median")
    systems = list(scores.columns.unique("system"))
    n_tracks, generator = len(scores), np.random.default_rng(SEED)
    draws = generator.integers(0, n_tracks, (n_resamples, n_tracks))
    rows = []
    for one, other in combinations(systems, 2):
        by_pair = {(run, of): differences(scores, run, of, targets) for run, of in ((one, other), (other, one))}
        for (run, of), found in by_pair.items():
            passed = [judge(found, draw) == REPRODUCED for draw in draws]
            share = float(np.mean(passed)) if passed else np.nan
            rows.append((run, of, judge(found, np.arange(n_tracks)), share))
    return pd.DataFrame(rows, columns=["run", "published", "verdict", "share"])


def pairs_text(targets: Sequence[str] | None, n_resamples: int) -> str:
    """Return the counts of verdicts, and a table of the pairs that pass in any resample."""
    table = pairs(targets, n_resamples)
    counts = table["verdict"].value_counts()
    name = "all targets of the published system" if targets is None else f"{' and '.join(targets)} alone"
    listed = ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in (REPRODUCED, UNDECIDED, NOT_REPRODUCED))
    lines = [f"Of {len(table)} pairs, on {name}: {listed}."]
    if n_resamples:
        some = table[table["share"] > 0].sort_values("share", ascending=False, kind="stable")
        lines += ["", f"| run | published | verdict | passes of {n_resamples} resamples |", "|---|---|---|---|"]
        lines += [f"| {run} | {of} | {verdict} | {share:.1%} |" for run, of, verdict, share in some.itertuples(index=False)]
        lines += [f"| all {len(table) - len(some)} other pairs | | | 0.0% |"]
    return "\n".join(lines)


def runs_text() -> str:
    """Return a table of how often runs made from MDL1's scores pass."""
    scores, generator = published_track_medians(), np.random.default_rng(SEED)
    mdl1 = scores[scores["system"] == "MDL1"]
    scale = np.where(mdl1["metric"] == "SDR", 1, 2)
    lines = ["| shift, dB | noise, dB | reproduced | undecided | not reproduced |", "|---|---|---|---|---|"]
    for noise in NOISES_DB:
        for shift in SHIFTS_DB:
            made = (mdl1["median"] - scale * (shift + noise * generator.standard_normal(len(mdl1))) for _ in range(N_RUNS))
            verdicts = [check_reproduction([mdl1.assign(median=median)], mdl1, ("run", "MDL1")).verdict for median in made]
            counted = " | ".join(str(verdicts.count(verdict)) for verdict in (REPRODUCED, UNDECIDED, NOT_REPRODUCED))
            lines.append(f"| {-shift:.1f} | {noise} | {counted} |")
    return "\n".join(lines).replace("-0.0", "0.0")


def main() -> None:
    parser = argparse.ArgumentParser(description="errors of the reproduction check")
    parser.add_argument("--n-resamples", type=int, default=N_RUNS)
    n_resamples = parser.parse_args().n_resamples
    print(f"{pairs_text(None, n_resamples)}\n\n{pairs_text(MIXED, n_resamples)}")
    if n_resamples:
        print(f"\nRuns made from MDL1's scores, {N_RUNS} of each:\n\n{runs_text()}")


if __name__ == "__main__":
    main()
