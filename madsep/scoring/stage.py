"""The scoring stages that the workflow calls. Each imports only the modules that its protocol needs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from madsep.core.intervals import Bootstrap
from madsep.data.datasets import BASELINE
from madsep.data.prepared import PreparedTrack
from madsep.scoring.engines import Engine
from madsep.scoring.protocols import MDX21, MIR1K, Protocol


def score_tracks(
    tracks: Sequence[PreparedTrack], targets: Sequence[str], estimates: Path | None, folder: Path, job: str, engine: Engine
) -> None:
    """Score the tracks of a job by the protocol of `engine`, and write to the stage's folder `folder`; see `score` and `score_nsdr`."""
    if engine.protocol == MIR1K:
        from madsep.scoring.nsdr import score_nsdr

        score_nsdr(tracks, targets, estimates, folder, job)
    else:
        from madsep.scoring.score import score

        score(tracks, targets, estimates, folder, job, engine)


def aggregate_scores(
    tracks: Sequence[PreparedTrack], estimates: Path | None, scores: Path, out: Path, bootstrap: Bootstrap, protocol: Protocol
) -> None:
    """Write the tables of a system to `out`; see `aggregate`, `aggregate_mdx21` and `aggregate_nsdr`."""
    if protocol == MIR1K:
        from madsep.scoring.nsdr import aggregate_nsdr

        aggregate_nsdr(tracks, estimates, scores, out, bootstrap)
    elif protocol == MDX21:
        from madsep.scoring.mdx21 import aggregate_mdx21

        aggregate_mdx21(tracks, estimates, scores, out, bootstrap)
    else:
        from madsep.scoring.aggregate import aggregate

        aggregate(tracks, estimates, scores, out, bootstrap, protocol)


def write_table(systems: Mapping[str, Path], baseline: Path, path: Path, protocol: Protocol) -> None:
    """Write the final table of a run as text, from the folders with the tables of the systems and of MIX.

    Raises InputError if a table was changed or is of another protocol, or if systems were scored on different tracks.
    """
    if protocol == MIR1K:
        from madsep.scoring.nsdr import write_nsdr_overview

        write_nsdr_overview({**systems, "mixture": baseline}, path)
    elif protocol == MDX21:
        from madsep.scoring.mdx21 import write_mdx21_overview

        write_mdx21_overview({**systems, BASELINE: baseline}, path)
    else:
        from madsep.scoring.aggregate import write_overview

        write_overview(systems, baseline, path, protocol)
