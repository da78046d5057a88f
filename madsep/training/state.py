"""The training state: all that a killed run needs to go on as if it had never been killed."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from madsep.checkpoint import read_tensors, write_tensors
from madsep.errors import InputError
from madsep.logs import log
from madsep.settings import Training

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Position:
    """Where a run stands: finished epochs, steps in the current one, and what has been recorded."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)  # of the current epoch's losses, weighted by sequences
    n_sequences: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None


class Trainer:
    """Network, optimiser and position, saved and restored together."""

    def __init__(self, network: nn.Module, settings: Training) -> None:
        self.network = network
        self.optimiser = Adam(network.parameters(), lr=settings.learning_rate)
        plateau = settings.plateau
        self.schedule = ReduceLROnPlateau(self.optimiser, factor=plateau.factor, patience=plateau.patience) if plateau else None
        self.position = Position()
        self.best_weights: dict[str, Tensor] = {}

    def keep_best(self, value: float) -> None:
        """Remember the present weights when `value` is the lowest so far."""
        if self.position.best is None or value < self.position.best:
            self.position.best = value
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write the state whole, keeping the one before; `identity` is what a resumed run must agree with."""
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best_weights.items()}
        n_steps = 0
        for name, parameter in self.network.named_parameters():
            for moment in MOMENTS if parameter in self.optimiser.state else ():
                tensors[f"{moment}/{name}"] = self.optimiser.state[parameter][moment]
                n_steps = int(self.optimiser.state[parameter]["step"])
        if path.exists():
            path.replace(_previous(path))
        schedule = self.schedule.state_dict() if self.schedule else None
        rates = [group["lr"] for group in self.optimiser.param_groups]
        write_tensors(
            path,
            tensors,
            {
                "identity": identity,
                "position": asdict(self.position),
                "n_steps": n_steps,
                "schedule": schedule,
                "rates": rates,
            },
        )

    def resume(self, path: Path, identity: dict[str, Any]) -> bool:
        """Continue from `path` or, where it is damaged, from the state before it; False when there is none.

        Raises InputError when the state belongs to other settings or data, naming the first key that differs.
        """
        for candidate in (path, _previous(path)):
            if not candidate.exists():
                continue
            try:
                tensors, metadata = read_tensors(candidate)
            except InputError as error:
                log.warning("%s It is left out; training goes on from the state saved before it, or anew.", error)
                candidate.unlink()
                continue
            _check_identity(path, metadata["identity"], identity)
            self._restore(tensors, metadata)
            log.info("training continues from %s: epoch %d, step %d", candidate, self.position.epoch + 1, self.position.step)
            return True
        return False

    def _restore(self, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        self.network.load_state_dict(part("network/"), strict=True)
        self.best_weights = {name: tensor.to(next(self.network.parameters()).device) for name, tensor in part("best/").items()}
        for name, parameter in self.network.named_parameters():
            if f"exp_avg/{name}" in tensors:
                moments = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in MOMENTS}
                self.optimiser.state[parameter] = {"step": torch.tensor(float(metadata["n_steps"])), **moments}
        for group, rate in zip(self.optimiser.param_groups, metadata["rates"], strict=True):
            group["lr"] = rate
        if self.schedule:
            self.schedule.load_state_dict(metadata["schedule"])
        self.position = Position(**metadata["position"])


def discard(path: Path) -> None:
    """Remove the states of a finished run, and what a killed one left half-written."""
    half_written = (*path.parent.glob(f".{path.stem}.*"), *path.parent.glob(".tmp*"))  # the latter by safetensors
    for candidate in (path, _previous(path), *half_written):
        candidate.unlink(missing_ok=True)


def _previous(path: Path) -> Path:
    return path.with_stem(path.stem + ".previous")


def _check_identity(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    difference = _first_difference(found, expected, "")
    if difference:
        raise InputError(
            f"{path}: was saved with other settings: {difference}. Restore that value to go on, or delete {path.parent} to start anew."
        )


def _first_difference(found: Any, expected: Any, where: str) -> str | None:
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys()):
            difference = _first_difference(found.get(key), expected.get(key), f"{where}.{key}".lstrip("."))
            if difference:
                return difference
        return None
    return None if found == expected else f"'{where}' was {found!r}, now {expected!r}"
