"""Read scored runs, and group them by their tracks: MUSDB18's test tracks or others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from madsep.comparison.details import Details, details_of_scores, details_of_tables
from madsep.comparison.published import published_frames, published_kinds
from madsep.core.errors import InputError
from madsep.core.reading import is_there
from madsep.core.tables import Column, read_table
from madsep.core.yaml_files import read_yaml
from madsep.data.datasets import MUSDB18
from madsep.scoring.chain import check_tables
from madsep.scoring.medians import track_medians
from madsep.scoring.scores import framing, read_scores

KEY = ["track", "target", "metric"]
COLUMNS: Mapping[str, Column] = {"track": str, "target": str, "metric": str, "median": float, "n_frames": int, "nan_share": float}
TABLE = "track_medians.csv"
MAX_FRAMES_APART = 1  # decoders differ in a track's last samples, also those of the campaign's participants
N_NAMED = 4
SISEC18 = "sisec18"
MARK = " (run)"  # follows the name of a run that has the name of a published system


@dataclass(frozen=True)
class Run:
    """The scores of one system on one set of tracks."""

    name: str
    medians: pd.DataFrame  # track, target, metric, median (dB), n_frames, nan_share (0..1)
    settings: Mapping[str, Any] = field(default_factory=dict)  # the recipe's values; empty if they are not known
    layouts: Sequence[str] = ()  # of the data, as in `Track`; empty if it is not known
    frames: str = ""  # in words, how the frames differ from SiSEC's of 1 s; empty if they do not
    details: Details = field(default_factory=Details)

    @property
    def kind(self) -> str:
        """`run`, optionally with the suffix `+oracle` (named like an oracle), `+blind` or `+extra` (trained on more than MUSDB18)."""
        description = recorded(self.settings, "description")
        if published_kinds().get(self.name) == "oracle":
            return "run+oracle"
        if description.get("is_blind"):
            return "run+blind"
        return "run+extra" if description.get("additional_training_data") else "run"

    @property
    def about(self) -> str:
        """What is recorded about the run besides its scores, as one line. Empty if nothing is."""
        recipe, framing = self.settings.get("name"), recorded(self.settings, "separation").get("framing")
        facts = {
            "recipe": recipe,
            "framing": framing,
            "data read from": ", ".join(map(layout_title, self.layouts)),
            "scored by": self.details.engine,
        }
        return "; ".join(f"{key} {value}" for key, value in facts.items() if value)

    def n_frames(self) -> dict[str, int]:
        """Return the number of frames of each track."""
        return {str(track): int(n) for track, n in self.medians.groupby("track")["n_frames"].max().items()}


@dataclass(frozen=True)
class Group:
    """Runs on the same tracks. Only these may share a table."""

    name: str  # sisec18, or other-1, other-2, ...
    reason: str  # why it is not compared with the systems of SiSEC 2018; empty for sisec18
    n_frames: Mapping[str, int]  # of each track, in the published files or in the group's first run
    counted_in: str  # in words, where `n_frames` was counted
    runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # tolerated differences in the number of frames
    frames: str = ""  # `Run.frames` of its runs

    @property
    def is_sisec18(self) -> bool:
        """Whether the tracks are those of the campaign."""
        return self.name == SISEC18


def read_runs(arguments: Sequence[str]) -> list[Run]:
    """Read runs given as FOLDER or NAME=FOLDER. The default name is that of the folder, or of its parent if the folder is called test.

    Raises InputError as `read_run` does, if two runs have the same name, or if a name ends with MARK.
    """
    runs = []
    for argument in arguments:
        name, _, folder = argument.partition("=") if not Path(argument).exists() else ("", "", argument)
        path = Path(folder or name).resolve()
        own = path.parent.name if path.name == "test" else path.name
        runs.append(read_run(Path(folder or name), name if folder and name else own))
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{', '.join(twice)}: several runs have this name; give each another one as NAME=FOLDER.")
    marked = [name for name in names if name.endswith(MARK)]
    if marked:
        raise InputError(f"{', '.join(marked)}: '{MARK.strip()}' marks runs named as a published system; give another name as NAME=FOLDER.")
    return runs


def read_run(folder: Path, name: str) -> Run:
    """Read a run from a folder with museval's JSON files, in it or in its test/, or with the workflow's track_medians.csv.

    A provenance.yaml next to the scores or next to test/, as in submissions, gives the recipe. Raises InputError if there are no scores or
    if a file is faulty.
    """
    table, frames = folder / TABLE, ""
    if is_there(table):
        medians, details = read_track_medians(table), details_of_tables(folder)
    else:
        scores = read_scores(folder)
        medians, frames = track_medians(scores), framing(scores)
        details = details_of_scores(folder, scores)
    _check_targets(medians, folder)
    provenance = _provenance([folder, folder.resolve().parent] if folder.resolve().name == "test" else [folder])
    layouts = recorded(provenance, "data").get("layouts")
    known = list(map(str, layouts)) if isinstance(layouts, list) else []
    engine = details.engine or str(recorded(provenance, "scoring").get("engine", ""))
    return Run(name, medians, recorded(provenance, "settings"), known, frames, replace(details, engine=engine))


def read_system(name: str, folder: Path, settings: Mapping[str, Any]) -> Run:
    """Return the run of a system of the workflow from the folder of its tables.

    Raises InputError if a table was changed, or if the tables were made from other scores than the present ones.
    """
    record = check_tables(folder)
    medians, details = read_track_medians(folder / TABLE), details_of_tables(folder)
    return Run(name, medians, settings, record.facts["layouts"], details=details)


def read_track_medians(path: Path) -> pd.DataFrame:
    """Read a table that `madsep.scoring.aggregate` wrote. Raises InputError if it cannot be read, has other columns, or faulty rows."""
    table = read_table(path, COLUMNS)
    whole = (table[KEY] != "").all(axis=None) and not np.isinf(table[["median", "nan_share"]].to_numpy()).any()
    if table.empty or not whole or table.duplicated(KEY).any():
        raise InputError(f"{path}: expected one row per track, target and metric, with numbers. Run the workflow again.")
    return table


def _check_targets(medians: pd.DataFrame, folder: Path) -> None:
    """Raise InputError if scores are partial: a track lacks a target that others have, or its targets differ in their frames."""
    n_frames = medians.groupby(["track", "target"])["n_frames"].max().unstack()
    for track, counts in n_frames[n_frames.nunique(axis=1, dropna=False) > 1].iterrows():
        absent = ", ".join(counts.index[counts.isna()])
        if absent:
            raise InputError(f"{folder}: {track} has no scores of {absent}, but other tracks have; score it again, or leave {absent} out.")
        listed = ", ".join(f"{target} {n:.0f}" for target, n in counts.items())
        raise InputError(f"{folder}: the targets of {track} have different numbers of frames ({listed}); score the track again.")


def split_runs(runs: Sequence[Run]) -> list[Group]:
    """Return groups of runs on the same tracks. The group sisec18, for MUSDB18's 50 test tracks, comes first.

    Tracks are the same if their names agree and their numbers of frames differ by at most one. A group's notes list such differences.
    """
    campaign = Group(SISEC18, "", published_frames(), "the published files of MDL1")
    groups = [campaign]
    for run in runs:
        n_frames = run.n_frames()
        group = next((group for group in groups if group.frames == run.frames and not _departure(n_frames, group.n_frames)), None)
        if group is None:
            reason = (
                f"The scores have {run.frames}; SiSEC's are of 1 s every 1 s." if run.frames else _departure(n_frames, campaign.n_frames)
            )
            group = Group(f"other-{len(groups)}", reason, n_frames, run.name, frames=run.frames)
            groups.append(group)
        group.runs.append(run)
        group.notes.extend(_notes(run, group))
    return [group for group in groups if group.runs]


def _departure(n_frames: Mapping[str, int], expected: Mapping[str, int]) -> str:
    """Return a sentence on how tracks differ from those of MUSDB18 in names and frames. Empty if they do not."""
    if n_frames.keys() != expected.keys():
        others, missing = sorted(n_frames.keys() - expected.keys()), sorted(expected.keys() - n_frames.keys())
        parts = [f"{named(others)} not among them"] if others else []
        parts += [f"{len(missing)} of the {len(expected)} missing"] if missing else []
        return f"The tracks are not {MUSDB18.title}'s test tracks ({'; '.join(parts)})."
    far = sorted(track for track, n in n_frames.items() if abs(n - expected[track]) > MAX_FRAMES_APART)
    if not far:
        return ""
    return (
        f"The tracks are named like {MUSDB18.title}'s, but the length differs for {len(far)} of them "
        f"({far[0]}: {n_frames[far[0]]} frames instead of {expected[far[0]]}): excerpts, or another version."
    )


def _notes(run: Run, group: Group) -> Iterator[str]:
    """Yield sentences that list the tracks of a run with one frame more or less than the group's."""
    apart = {track: n - group.n_frames[track] for track, n in run.n_frames().items()}
    for step, word in ((1, "more"), (-1, "less")):
        tracks = sorted(track for track, difference in apart.items() if difference == step)
        if tracks:
            yield f"{run.name} has one frame {word} than {group.counted_in} in {len(tracks)} of {len(apart)} tracks: {', '.join(tracks)}."


def recorded(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a section of a provenance.yaml, or an empty one if it does not exist."""
    section = document.get(key)
    return section if isinstance(section, dict) else {}


def layout_title(layout: str) -> str:
    """Return what data of a layout, as in `Track`, were read from, in words."""
    return "wav or flac" if layout == "wav" else layout


def named(tracks: Sequence[str]) -> str:
    """Return the names of a few tracks and the number of the others."""
    return ", ".join(tracks[:N_NAMED]) + (f" and {len(tracks) - N_NAMED} others" if len(tracks) > N_NAMED else "")


def _provenance(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the first provenance.yaml in these folders, or an empty one. Raises InputError if it is not YAML."""
    for path in (folder / "provenance.yaml" for folder in folders):
        if is_there(path):
            return read_yaml(path)
    return {}
