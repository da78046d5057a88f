"""Table 1 of the Masker-and-Denoiser article, with the published figures next to those of a run.

S.I. Mimilakis, K. Drossos, J.F. Santos, G. Schuller, T. Virtanen, and Y. Bengio: "Monaural singing voice separation with skip-filtering
connections and recurrent inference of time-frequency mask", ICASSP 2018 (arXiv:1711.01437). Its row GRA is GRA3 of SiSEC 2016: among the
campaign's files, only those of GRA3, pooled over frames, give its figures.
"""

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from madsep.core.tables import Column, read_table
from madsep.scoring.protocols import SISEC16
from madsep.scoring.scores import decibels

FIGURES = Path(__file__).parent / "icassp2018.csv"
COLUMNS: Mapping[str, Column] = {"system": str, "called": str, "SDR": float, "SIR": float, "files": str}
METRICS = ("SDR", "SIR")
LAYOUT = "dsd100"  # layout of the data set to which the figures apply
SOURCE = (
    "published: Table 1 of Mimilakis et al., ICASSP 2018 (arXiv:1711.01437), on the 50 songs of DSD100 Test, by systems trained on DSD100 "
    "Dev, MIM-DWF+ and GRU-* also on MedleyDB. The figures of GRA3 (there GRA) and CHA are of the stereo files of SiSEC 2016."
)


@cache
def published_table1() -> pd.DataFrame:
    """Return the published medians of the voice in dB: system (the recipe), called (in the article), SDR, SIR, files (mono or stereo)."""
    return read_table(FIGURES, COLUMNS)


def format_table1(medians: Mapping[str, pd.DataFrame]) -> str:
    """Return the voice's SDR and SIR as text, from `protocol_medians` of sisec16 by system, with columns for the published figures.

    The article's systems come first, in its order.
    """
    published = {row["system"]: row for row in published_table1().to_dict("records")}
    table = Table(title=f"Voice, dB: {SISEC16.title} ({SISEC16.measure})", caption=SOURCE, caption_justify="left")
    table.add_column("system")
    for heading in (*METRICS, "published SDR", "published SIR"):
        table.add_column(heading, justify="right")
    for name in [*(name for name in published if name in medians), *(name for name in medians if name not in published)]:
        own = medians[name][medians[name]["target"] == "vocals"].set_index("metric")["median"]
        numbers = [of.get(metric, np.nan) for of in (own, published.get(name, {})) for metric in METRICS]
        table.add_row(name, *map(decibels, numbers))
    text = io.StringIO()
    Console(file=text, width=100).print(table)
    return text.getvalue()
