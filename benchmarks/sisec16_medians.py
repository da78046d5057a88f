"""The figures of GRA and CHA in Table 1 of ICASSP 2018, recomputed from the score files that SiSEC 2016 published.

    python benchmarks/sisec16_medians.py FOLDER

FOLDER contains CHA.mat, GRA3.mat and IBM.mat of github.com/faroit/sisec-mus-results. The campaign's files have framewise scores of stereo
estimates by BSS Eval v3 images, in frames of 30 s every 15 s. Frames in which the oracle IBM has no SDR are excluded, as are the test
tracks 36, 37 and 43, which are missing from the campaign's public table. The median over all other frames follows the protocol sisec16.

The exit status is 1 if a median differs from the article's figure by more than 0.02 dB.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.io import loadmat

from madsep.scoring.icassp2018 import METRICS, published_table1
from madsep.scoring.medians import protocol_medians
from madsep.scoring.protocols import SISEC16
from madsep.scoring.scores import COLUMNS

MISSING = (36, 37, 43)
ORACLE = "IBM"
TOLERANCE_DB = 0.02


def read_frames(path: Path) -> pd.DataFrame:
    """Return the voice's framewise scores on test tracks from one of the campaign's files, with the columns of `read_scores`."""
    result = loadmat(path, simplify_cells=True)["result"]
    return pd.DataFrame([row for entry in result["test"] for row in _rows(entry["results"])], columns=COLUMNS)


def _rows(results: Any) -> Iterator[tuple[str, str, str, float, float, float]]:
    for metric in ("SDR", "ISR", "SIR", "SAR"):
        for number, score in enumerate(np.atleast_1d(results["vocals"][metric.lower()])):
            yield str(results["name"]), "vocals", metric, number * SISEC16.hop_s, SISEC16.window_s, float(score)


def kept(frames: pd.DataFrame, oracle: pd.DataFrame) -> pd.DataFrame:
    """Return the frames that the table includes, given the oracle's frames."""
    sdr = oracle[oracle["metric"] == "SDR"].dropna()
    counted = pd.MultiIndex.from_frame(sdr[["track", "time"]])
    numbers = frames["track"].str.partition(" - ")[0].astype(int)
    return frames[pd.MultiIndex.from_frame(frames[["track", "time"]]).isin(counted) & ~numbers.isin(MISSING)]


def main(folder: Path) -> int:
    """Print the medians next to the published figures."""
    published = {row["system"]: row for row in published_table1().to_dict("records")}
    oracle, worst = read_frames(folder / f"{ORACLE}.mat"), 0.0
    for system in ("CHA", "GRA3"):
        medians = protocol_medians(kept(read_frames(folder / f"{system}.mat"), oracle), SISEC16).set_index("metric")
        for metric in METRICS:
            found, expected = float(medians.loc[metric, "median"]), published[system][metric]
            worst = max(worst, abs(found - expected))
            print(f"{system} {metric}: {found:.2f} dB, published {expected:.2f} dB; {int(medians.loc[metric, 'n_tracks'])} tracks")
    return int(worst > TOLERANCE_DB)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
