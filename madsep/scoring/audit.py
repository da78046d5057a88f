"""An audit of the fast engine by museval, and a preview of the medians while museval is still scoring."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import write_json, write_text
from madsep.core.logs import log
from madsep.data.prepared import PreparedTrack
from madsep.scoring.chain import check_chain
from madsep.scoring.engines import Engine, score_text
from madsep.scoring.estimates import for_each, read_pair
from madsep.scoring.medians import format_table, sisec_medians
from madsep.scoring.scores import read_track

MAX_AUDIT_DB = 1e-4  # score files hold five decimals


def audit(
    tracks: Sequence[PreparedTrack], targets: Sequence[str], estimates: Path | None, scores: Path, report: Path, n_threads: int
) -> None:
    """Score tracks again with museval, compare with the stage's folder `scores`, and write `report`.

    museval's scores are written to audit/<true name>.json in the folder of `report`. The report gives each track's worst difference and
    the digest of the audited scores. Raises InputError if a difference exceeds 1e-4 dB, if a frame is undefined in only one of the two, or
    as `check_chain` does.
    """
    check_chain(tracks, estimates, scores)
    stage, worst, audited = Stage(scores), {}, {}
    for track in tracks:
        again = _score_again(track, targets, estimates, Engine("museval", n_threads), report.parent / "audit")
        audited[track.slug] = stage.record(track.slug).content
        worst[track.name] = worst_difference_db(again, scores / "test" / again.name)
        log.info("audited %s (%s): worst difference from museval %.1e dB", track.name, track.slug, worst[track.name])
    faulty = [
        f"{name}: the fast engine differs from museval by {value:.1e} dB; at most {MAX_AUDIT_DB:.0e} dB is allowed."
        for name, value in worst.items()
        if value > MAX_AUDIT_DB
    ]
    if faulty:
        raise InputError("\n".join([*faulty, "Set scoring.engine: museval to score without the fast engine."]))
    write_json(report, {"worst_difference_db": worst, "scores": audited})


def worst_difference_db(path: Path, other: Path) -> float:
    """Return the largest difference in dB between two score files, or infinity if one has a number that the other lacks."""
    key = ["target", "metric", "time"]
    both = read_track(path).merge(read_track(other), how="outer", on=key)
    one, two = both["score_x"], both["score_y"]
    if (one.isna() != two.isna()).any():
        return math.inf
    return float((one - two).abs().max()) if one.notna().any() else 0.0


def preview(tracks: Sequence[PreparedTrack], targets: Sequence[str], estimates: Path | None, table: Path, n_threads: int) -> None:
    """Score with the fast engine, and write and log the table of medians.

    Scores are written to preview/<true name>.json in the folder of `table`. Raises InputError as `score` does.
    """
    fast, found = Engine("fast", n_threads), []
    for_each(tracks, lambda track: found.append(_score_again(track, targets, estimates, fast, table.parent / "preview")))
    text = format_table(sisec_medians(pd.concat(map(read_track, found))), None)
    write_text(table, text)
    log.info("preview by the fast engine; museval's scores follow\n%s", text)


def _score_again(track: PreparedTrack, targets: Sequence[str], estimates: Path | None, engine: Engine, folder: Path) -> Path:
    path = folder / f"{track.name}.json"
    write_text(path, score_text(engine, track.name, read_pair(track, targets, estimates)))
    return path
