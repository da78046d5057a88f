"""Trainings of one recipe with different seeds: find them by name, check them together, compute their spread."""

import re
from collections.abc import Sequence

import pandas as pd

from madsep.comparison.reproduction import Reproduction, check_reproduction
from madsep.comparison.runs import Group, Run
from madsep.comparison.statistics import KEY
from madsep.scoring.scores import METRICS, ordered

RETRAINED = re.compile(r"(?P<first>.+)-seed\d+")


def by_recipe(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each recipe by the name of the first. X-seed219 and X-seed220 belong to X if X is among the runs."""
    names = {run.name for run in runs}
    found: dict[str, list[Run]] = {}
    for run in runs:
        match = RETRAINED.fullmatch(run.name)
        first = match["first"] if match and match["first"] in names else run.name
        found.setdefault(first, []).append(run)
    return found


def reproductions(group: Group, published: pd.DataFrame, reproduces: str | None) -> list[Reproduction]:
    """Check the trainings of each recipe together against the published system `reproduces`, or else the one with the recipe's name.

    `published` has the columns system, track, target, metric, median (dB). A group on other tracks is not checked.
    """
    if not group.is_sisec18:
        return []
    systems = {str(system): table for system, table in published.groupby("system")}
    pairs = [(name, reproduces or name, runs) for name, runs in by_recipe(group.runs).items()]
    return [
        check_reproduction([run.medians for run in runs], systems[system], (name, system))
        for name, system, runs in pairs
        if system in systems
    ]


def spread(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the spread over the trainings of each recipe. There are no rows if each was trained once.

    Columns: system, target, metric, n_trainings, and mean, sd (n - 1), lowest, highest of the medians over tracks, in dB.
    """
    rows = []
    for name, trainings in by_recipe(runs).items():
        if len(trainings) > 1:
            tables = pd.concat([run.medians.assign(training=run.name) for run in trainings])
            medians = tables.groupby(["training", *KEY], sort=False)["median"].median()
            for (target, metric), values in medians.groupby(KEY, sort=False):
                numbers = (values.count(), values.mean(), values.std(), values.min(), values.max())
                rows.append((name, target, metric, *numbers))
    columns = ["system", *KEY, "n_trainings", "mean", "sd", "lowest", "highest"]
    return ordered(pd.DataFrame(rows, columns=columns))


def spread_lines(runs: Sequence[Run]) -> list[str]:
    """Return the spread of SDR in words, one line per recipe and target."""
    table = spread(runs)
    return [
        f"{row['system']}, {row['n_trainings']} trainings: {row['target']} SDR {row['mean']:.2f} dB on average, standard deviation "
        f"{row['sd']:.2f} dB, {row['lowest']:.2f} to {row['highest']:.2f} dB"
        for row in table[table["metric"] == METRICS[0]].to_dict("records")
    ]
