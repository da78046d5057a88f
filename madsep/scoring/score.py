"""Score estimates of test tracks by BSSEval v4 and by whole-track metrics; audit one engine by the other; preview the medians."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from madsep.core.errors import InputError
from madsep.core.files import write_json, write_text
from madsep.core.logs import log
from madsep.scoring.engines import Engine, score_text
from madsep.scoring.estimates import Estimates
from madsep.scoring.medians import format_table, sisec_medians
from madsep.scoring.scores import read_track

EPSILON = 1e-7  # of the MDX 2021 and SDX 2023 challenges' definitions
MAX_AUDIT_DB = 1e-4  # files hold five decimals


def score(estimates: Estimates, table: Path, engine: Engine) -> None:
    """Write test/<slug>.json, museval's JSON, beside `table` for each track, then `table`, a tidy CSV of whole-track metrics.

    Raises InputError when an estimate is missing or of another length, or a reference is silent throughout.
    """
    rows = []
    for entry, references, estimated in estimates.tracks():
        text = score_text(engine, entry["name"], references, estimated, entry["sample_rate_hz"])
        write_text(table.parent / "test" / f"{entry['slug']}.json", text)
        for target, reference in references.items():
            rows.append((entry["name"], target, "SDR_global", global_sdr(reference, estimated[target])))
            rows.append((entry["name"], target, "SI-SDR", si_sdr(reference, estimated[target])))
        log.info("scored %s (%s)", entry["name"], entry["slug"])
    write_text(table, pd.DataFrame(rows, columns=["track", "target", "metric", "value"]).to_csv(index=False))


def audit(estimates: Estimates, scores: Path, report: Path, n_threads: int) -> None:
    """Score tracks again by museval, beside `report`, and compare with <scores>/<slug>.json; write each track's worst difference.

    Raises InputError when a difference exceeds 1e-4 dB, or a frame is undefined in one of the two only.
    """
    worst, museval = {}, Engine("museval", n_threads)
    for entry, references, estimated in estimates.tracks():
        again = report.parent / "audit" / f"{entry['slug']}.json"
        write_text(again, score_text(museval, entry["name"], references, estimated, entry["sample_rate_hz"]))
        worst[entry["name"]] = worst_difference_db(again, scores / again.name)
        log.info("audited %s (%s): worst difference to museval %.1e dB", entry["name"], entry["slug"], worst[entry["name"]])
    faulty = [
        f"{name}: the fast engine differs from museval by {value:.1e} dB; at most {MAX_AUDIT_DB:.0e} dB is allowed."
        for name, value in worst.items()
        if value > MAX_AUDIT_DB
    ]
    if faulty:
        raise InputError("\n".join([*faulty, "Set scoring.engine: museval to score without the fast engine."]))
    write_json(report, {"worst_difference_db": worst})


def worst_difference_db(path: Path, other: Path) -> float:
    """Largest difference in dB between two score files; infinite where one has a number that the other lacks."""
    key = ["target", "metric", "time"]
    both = read_track(path).merge(read_track(other), how="outer", on=key)
    one, two = both["score_x"], both["score_y"]
    if (one.isna() != two.isna()).any():
        return math.inf
    return float((one - two).abs().max()) if one.notna().any() else 0.0


def preview(estimates: Estimates, table: Path, n_threads: int) -> None:
    """Score by the fast engine into preview/ beside `table`; write, and log, the table of medians long before museval is through."""
    tracks, fast = [], Engine("fast", n_threads)
    for entry, references, estimated in estimates.tracks():
        path = table.parent / "preview" / f"{entry['slug']}.json"
        write_text(path, score_text(fast, entry["name"], references, estimated, entry["sample_rate_hz"]))
        tracks.append(read_track(path))
    text = format_table(sisec_medians(pd.concat(tracks)), None)
    write_text(table, text)
    log.info("preview by the fast engine, museval's scores follow\n%s", text)


def global_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Signal-to-distortion ratio in dB of whole signals (n_channels, n_samples), all channels together.

    10 log10((sum s^2 + 1e-7) / (sum (s - s')^2 + 1e-7)), in float64: the score of MDX 2021 and SDX 2023, also called uSDR.
    """
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    return float(10 * np.log10((np.sum(reference**2) + EPSILON) / (np.sum((reference - estimate) ** 2) + EPSILON)))


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant SDR in dB: the reference is scaled by a = <s', s> / (<s, s> + 1e-7) over all channels first."""
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    scale = np.sum(estimate * reference) / (np.sum(reference**2) + EPSILON)
    return global_sdr(scale * reference, estimate)
