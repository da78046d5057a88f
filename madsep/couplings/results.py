"""Results over groups of tracks: mean maps, measures with intervals, losses of the fits, and the Jacobians' reach in time."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from madsep.couplings.algorithm import Fit
from madsep.couplings.frames import Group
from madsep.couplings.jacobian import Jacobian
from madsep.couplings.measures import input_weighted_cosine, measures, with_interval

JACOBIANS = {"jacobian": ("nca", "p1", "student"), "jacobian untrained": ("untrained",)}  # kind -> the fits of the same network


class Results:
    """Results of the groups so far. Only sums of maps are kept, so memory does not grow with the number of groups."""

    def __init__(self) -> None:
        self.groups: list[dict[str, Any]] = []  # plain values: name, tracks, n_frames, fits
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._fits: dict[str, tuple[NDArray[Any], NDArray[Any], dict[str, Any]]] = {}  # for the current group: map, mean input, columns
        self._rows: list[dict[str, Any]] = []
        self._losses: list[pd.DataFrame] = []
        self._lags: list[pd.DataFrame] = []

    def start(self, group: Group) -> None:
        """Begin a group, to which the results added next belong."""
        self._fits = {}
        self.groups.append({"group": group.name, "tracks": list(group.tracks), "n_frames": group.n_frames, "fits": {}})

    def add(self, kind: str, couplings: Tensor, inputs: Tensor, outputs: Tensor) -> None:
        """Add a map (N, N) of a kind and its measures on the frames `inputs` and `outputs` (T, N).

        A Jacobian must be added after the fits of its group and is compared with each fit of the same network.
        """
        matrix, read, given = (tensor.cpu().numpy() for tensor in (couplings, inputs, outputs))
        self._sums[kind] = self._sums.get(kind, 0.0) + matrix.astype(np.float64)
        known = {"group": self.groups[-1]["group"], "n_tracks": len(self.groups[-1]["tracks"]), "n_frames": len(read), "kind": kind}
        self._rows += [known | {"measure": measure, "value": value} for measure, value in measures(matrix, read, given).items()]
        if kind not in JACOBIANS:
            self._fits[kind] = matrix, read.mean(0), known
        for fit in JACOBIANS.get(kind, ()):
            fitted, mean_input, key = self._fits[fit]
            value = input_weighted_cosine(fitted, matrix, mean_input)
            self._rows.append(key | {"measure": "input_weighted_cosine_to_jacobian", "value": value})

    def add_losses(self, kind: str, fit: Fit) -> None:
        """Add the losses of a fit."""
        columns = {"iteration": range(len(fit.losses)), "loss": fit.losses, "relative_loss": fit.relative_losses}
        self._losses.append(pd.DataFrame({"group": self.groups[-1]["group"], "kind": kind, **columns}))
        self.groups[-1]["fits"][kind] = {"n_iterations": len(fit.losses) - 1, "converged": fit.converged}

    def add_lags(self, kind: str, jacobian: Jacobian) -> None:
        """Add the energy of a Jacobian at each lag and, without a lag, that of all frames farther away."""
        energy = jacobian.across.cpu().numpy()
        n_context = len(energy) // 2
        rows = {"lag": [*range(-n_context, n_context + 1), None], "energy": [*energy, jacobian.beyond]}
        self._lags.append(pd.DataFrame({"kind": kind, **rows}))

    def mean_maps(self) -> dict[str, NDArray[np.float32]]:
        """Return the mean map (N, N) of each kind over the groups."""
        return {kind: (total / len(self.groups)).astype(np.float32) for kind, total in self._sums.items()}

    def measures(self) -> pd.DataFrame:
        """Return a table with the columns group, n_tracks, n_frames, kind, measure, value."""
        return pd.DataFrame(self._rows)

    def losses(self) -> pd.DataFrame:
        """Return a table with the columns group, kind, iteration, loss (sum of absolute errors), relative_loss (1 for a map of zeros)."""
        return pd.concat(self._losses, ignore_index=True)

    def lags(self) -> pd.DataFrame:
        """Return a table with the columns kind, lag (frames, NA if farther away), energy (mean over groups), share (of the kind)."""
        table = pd.concat(self._lags).astype({"lag": "Int64"}).groupby(["kind", "lag"], sort=False, dropna=False, as_index=False).mean()
        return table.assign(share=table["energy"] / table.groupby("kind")["energy"].transform("sum"))

    def summary(self) -> pd.DataFrame:
        """Return a table with the columns kind, measure, mean, low, high, n_groups.

        low and high are Student's 95 % interval over the groups, NaN for a single group.
        """
        found = self.measures().groupby(["kind", "measure"], sort=False)["value"]
        rows = [(*key, *with_interval(values.to_numpy())) for key, values in found]
        return pd.DataFrame(rows, columns=["kind", "measure", "mean", "low", "high", "n_groups"])

    def n_groups_text(self) -> str:
        """Return the number of groups and tracks in words."""
        n_tracks, n_groups = sum(len(group["tracks"]) for group in self.groups), len(self.groups)
        tracks = "1 track" if n_tracks == 1 else f"{n_tracks} tracks"
        return tracks if n_groups == n_tracks else f"{n_groups} groups of {tracks}"
