"""Render the listening page: one HTML file with its styles and scripts, which plays the excerpts next to it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2.utils import htmlsafe_json_dumps

from madsep.core.pages import render
from madsep.data.tracks import slug_of
from madsep.listening.choice import Part
from madsep.listening.excerpts import MB, Excerpt
from madsep.listening.sources import System
from madsep.scoring.scores import METRICS, decibels, ordered

HERE = Path(__file__).parent
VENDORED = ("wavesurfer.min.js", "regions.min.js", "spectrogram.min.js")  # from the npm package of wavesurfer.js 8.0.1
SCRIPTS = ("transport.js", "curves.js", "views.js", "player.js")
AUDIO = "audio"
DIGITS = 2  # decimals of scores in dB


@dataclass(frozen=True)
class Heard:
    """One signal of a track on the page. `system` is None for the mixture and the references."""

    signal: str  # mixture, or a target
    system: str | None
    excerpt: Excerpt


@dataclass(frozen=True)
class Shown:
    """A track on the page: why it is shown, the part that is played, and its signals. Without audio, part and signals are missing."""

    name: str
    reasons: Sequence[str]
    part: Part | None = None
    heard: Sequence[Heard] = field(default_factory=list)

    @property
    def slug(self) -> str:
        """Name of the track's folder of audio."""
        return slug_of(self.name)


def render_page(systems: Sequence[System], shown: Sequence[Shown], folder: Path, coding: str) -> str:
    """Return the page as HTML. `folder` holds the excerpts. `coding` describes their coding, or is empty if there are none."""
    files = [path for path in (folder / AUDIO).rglob("*") if path.is_file()]
    data = {
        "systems": [system.name for system in systems],
        "suffix": next((path.suffix for path in sorted(files) if path.suffix != ".js"), ""),
        "tracks": [_track_values(systems, track, folder) for track in shown],
    }
    return render(
        "page.html",
        HERE,
        data=htmlsafe_json_dumps(data, allow_nan=False),
        metrics=METRICS,
        coding=coding,
        megabytes=f"{sum(path.stat().st_size for path in files) / MB:.1f}",
        without_audio=[system.name for system in systems if system.estimates is None],
        styles=_text("page.css"),
        scripts=[_text(f"vendor/{name}") for name in VENDORED] + [_text(name) for name in SCRIPTS],
        licence=_text("vendor/wavesurfer.LICENSE"),
    )


def _track_values(systems: Sequence[System], track: Shown, folder: Path) -> dict[str, Any]:
    """Return the values of a track for the scripts."""
    place = folder / AUDIO / track.slug
    n_bytes = sum(path.stat().st_size for path in place.glob("*") if path.suffix != ".js") if track.heard else 0
    return {
        "name": track.name,
        "slug": track.slug,
        "reasons": list(track.reasons),
        "megabytes": round(n_bytes / MB, 1),
        "part": _part_values(track.part) if track.part else None,
        "sources": [_source_values(heard, folder) for heard in track.heard],
        "curves": dict(_curves(systems, track.name)),
    }


def _part_values(part: Part) -> dict[str, Any]:
    frames = f"{part.n_defined} of its {part.n_frames} frames have a score in every system"
    medians = (
        f"its median SDR of the {part.target} is {decibels(part.median_db)} dB, that of the whole track {decibels(part.track_median_db)} dB"
    )
    return {"start": part.start_s, "length": part.length_s, "text": f"{frames}, and {medians}"}


def _source_values(heard: Heard, folder: Path) -> dict[str, Any]:
    excerpt = heard.excerpt
    return {
        "signal": heard.signal,
        "system": heard.system,
        "file": excerpt.path.relative_to(folder).as_posix(),
        "loudness": None if excerpt.loudness_lufs is None else round(excerpt.loudness_lufs, DIGITS),
        "rate": excerpt.sample_rate_hz,
        "peak": round(excerpt.peak, 4),
    }


def _curves(systems: Sequence[System], track: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each target with the times and lengths of its frames in seconds, and its scores in dB by system and metric (None for NaN)."""
    tables = {system.name: system.scores[system.scores["track"] == track] for system in systems}
    scored = pd.concat({name: table for name, table in tables.items() if len(table)}, names=["system"]).reset_index("system")
    for target in ordered(scored.drop_duplicates(["target"]))["target"]:
        frames = scored[scored["target"] == target]
        durations = frames.groupby("time")["duration"].first()
        wide = frames.pivot_table(index="time", columns=["system", "metric"], values="score", dropna=False).reindex(durations.index)
        names = [name for name in tables if name in set(frames["system"])]
        scores = {name: {metric: _numbers(wide[name, metric]) for metric in METRICS if (name, metric) in wide} for name in names}
        yield str(target), {"times": durations.index.tolist(), "lengths": durations.tolist(), "scores": scores}


def _numbers(scores: pd.Series) -> list[float | None]:
    return [None if math.isnan(score) else round(score, DIGITS) for score in scores]


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
