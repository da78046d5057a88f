"""Scoring protocols as data. Numbers of different protocols never share a column.

The protocol of a run decides how the test tracks are prepared (unchanged, or averaged over their channels), which scores are computed for
each track, and which average the tables show. A protocol fits the data sets that list it (`madsep.data.datasets.Dataset.protocols`).
"""

import math
from dataclasses import dataclass

from madsep.core.errors import InputError, nearest
from madsep.data.datasets import ALL_TARGETS, TARGETS, Dataset


@dataclass(frozen=True)
class Protocol:
    """The definition of a protocol: how scores are computed and averaged."""

    name: str  # in the config
    measure: str  # the measure, in the titles of tables
    short: str  # the measure, in definitions of single numbers
    average: str  # the average over frames and tracks, in definitions
    title: str  # the average, in the titles of tables
    mode: str | None  # of BSS Eval images: v4, one filter per track; v3, one filter per frame; None: another measure
    window_s: float = math.inf  # length of a frame in seconds; infinite: the whole track
    hop_s: float = math.inf  # seconds between the beginnings of frames
    mono: bool = False  # whether mixtures and references are averaged over their channels before separation and scoring
    drops_silent_stems: bool = False  # whether frames with a silent stem have no score, whichever targets are estimated
    scores_silence: bool = False  # whether silent references have a score
    estimated: tuple[str, ...] = ALL_TARGETS  # targets whose estimates are scored
    least_estimated: int = 2  # number of targets that each track must have estimates of
    references: tuple[str, ...] = ()  # targets that are references even if they are not estimated
    uses_mixture: bool = False  # whether scores are relative to those of the mixture

    def definition(self, metric: str, average: str, n_tracks: int, nan_share: float) -> str:
        """Return the definition of a number: metric, measure, average, number of tracks and share of NaN frames."""
        return f"{metric}[{self.short}; {average}; n={n_tracks}; nan={nan_share:.1%}]"


# Stöter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018
SISEC18 = Protocol(
    name="sisec18",
    measure="BSSEval v4",
    short="v4",
    average="frames=median; tracks=median",
    title="median over tracks of the median over frames",
    mode="v4",
    window_s=1.0,
    hop_s=1.0,
)

# Liutkus et al., "The 2016 Signal Separation Evaluation Campaign", LVA/ICA 2017, by the campaign's script DSD100_eval_only.m
# (github.com/faroit/dsd100mat): BSS Eval v3 images, frames of 30 s every 15 s. Table 1 of Mimilakis et al., ICASSP 2018, is the median over
# the pooled frames of all tracks, in mono for the authors' systems. A silent stem makes the campaign's normal equations singular, so the
# frame has no score for any target.
SISEC16 = Protocol(
    name="sisec16",
    measure="BSS Eval v3 images, frames of 30 s every 15 s, mono",
    short="v3 images, 30 s every 15 s, mono",
    average="all frames=median",
    title="median over the frames of all tracks",
    mode="v3",
    window_s=30.0,
    hop_s=15.0,
    mono=True,
    drops_silent_stems=True,
)

# Mitsufuji et al., "Music Demixing Challenge 2021", Frontiers in Signal Processing 1, 2022
MDX21 = Protocol(
    name="mdx21",
    measure="SDR of the whole track",
    short="whole track, all channels, 1e-7 added to both energies",
    average="tracks=mean",
    title="mean over tracks",
    mode=None,
    scores_silence=True,
    least_estimated=1,
)

# Hsu and Jang, IEEE TASLP 18(2), 2010; Huang et al., ISMIR 2014; see madsep.scoring.nsdr
MIR1K = Protocol(
    name="mir1k",
    measure="BSS Eval v3, sources",
    short="v3 sources, whole clip",
    average="clips=mean, weighted by length",
    title="means over clips, weighted by length",
    mode=None,
    estimated=("vocals",),
    least_estimated=1,
    references=TARGETS,
    uses_mixture=True,
)

PROTOCOLS = {protocol.name: protocol for protocol in (SISEC18, SISEC16, MDX21, MIR1K)}


def protocol_of(name: str | None, dataset: Dataset) -> Protocol:
    """Return the protocol `name`, or the data set's default for None. Raises InputError if it does not fit the data set."""
    if name is None:
        return PROTOCOLS[dataset.protocols[0]]
    if name not in dataset.protocols:
        raise InputError(
            f"protocol: {name} does not fit {dataset.title}{nearest(name, dataset.protocols)}; expected {' or '.join(dataset.protocols)}."
        )
    return PROTOCOLS[name]
