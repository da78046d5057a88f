"""BSSEval v4 and v3, exact and fast: a scoring engine that gives museval 0.4.1's numbers.

    bss_eval            framewise SDR, ISR, SIR and SAR of arrays; museval's arguments
    score_track         scores of one track in museval's JSON layout, from arrays, memory maps or wav files; `scores_text` writes them
    TrackScorer         the same for several systems on one track
    frame_sdr           only SDR, in a fraction of the time
    bss_eval_sources    v3's scores of mono sources, blind to short filters; `SourcesScorer` for several systems on one clip
    eval_mus_track, eval_mus_dir        drop-in replacements for museval's functions

Vincent, Gribonval, Fevotte, "Performance measurement in blind audio source separation", IEEE TASLP 14(4), 2006; Stoeter, Liutkus, Ito, "The
2018 Signal Separation Evaluation Campaign", LVA/ICA 2018.
"""

from madsep.bsseval.compatible import TrackScores, eval_mus_dir, eval_mus_track
from madsep.bsseval.engine import BssEvalWarning, Scorer, Settings, bss_eval
from madsep.bsseval.scores import SISEC18, Scoring, TrackScorer, score_track, scores_text
from madsep.bsseval.sdr import frame_sdr
from madsep.bsseval.signals import ArraySignal, Signal, SumSignal, WavSignal, as_signal
from madsep.bsseval.sources import SourcesScorer, bss_eval_sources
from madsep.bsseval.stretches import Estimate

__all__ = [
    "SISEC18",
    "ArraySignal",
    "BssEvalWarning",
    "Estimate",
    "Scorer",
    "Scoring",
    "Settings",
    "Signal",
    "SourcesScorer",
    "SumSignal",
    "TrackScorer",
    "TrackScores",
    "WavSignal",
    "as_signal",
    "bss_eval",
    "bss_eval_sources",
    "eval_mus_dir",
    "eval_mus_track",
    "frame_sdr",
    "score_track",
    "scores_text",
]
