"""The table of a folder of scores, by the protocol that they name, with the definition of its numbers."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from madsep.core.files import read_json
from madsep.core.intervals import Bootstrap
from madsep.scoring.mdx21 import mdx21_means, mdx21_table
from madsep.scoring.medians import format_table, protocol_medians
from madsep.scoring.nsdr import length_weighted_means, nsdr_table, read_clips
from madsep.scoring.protocols import MDX21, MIR1K, Protocol
from madsep.scoring.scores import read_track, score_files

BOOTSTRAP = Bootstrap(n_resamples=1000, seed=218)


def folder_table(folder: Path, protocol: Protocol) -> str:
    """Return the numbers of the scores in a folder as text: a table, and a line for what defines each SDR in it.

    Raises InputError if the scores are not of this protocol, or cannot be read.
    """
    files = score_files(folder)
    if protocol == MIR1K:
        means = length_weighted_means(read_clips([(path.stem, path) for path in files]), BOOTSTRAP.seed, BOOTSTRAP.n_resamples)
        return nsdr_table({"system": means}) + _lines(means["definition"])
    if protocol == MDX21:
        means = mdx21_means(_whole_tracks(files), BOOTSTRAP)
        return mdx21_table({"system": means}) + _lines(means["target"] + ": " + means["definition"])
    medians = protocol_medians(pd.concat([read_track(path, protocol) for path in files], ignore_index=True), protocol)
    sdr = medians[medians["metric"] == "SDR"]
    return format_table(medians, None, protocol) + _lines(sdr["target"] + ": " + sdr["definition"])


def _whole_tracks(files: Sequence[Path]) -> pd.DataFrame:
    rows = [(path.stem, target["name"], _number(target["SDR"])) for path in files for target in read_json(path)["targets"]]
    return pd.DataFrame(rows, columns=["track", "target", "value"])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _lines(lines: pd.Series) -> str:
    return "".join(f"{line}\n" for line in lines)
