"""The training state: all that a killed run needs to go on as if it had never been killed."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adadelta, Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from madsep.core.errors import InputError
from madsep.core.logs import log
from madsep.models.checkpoint import read_tensors, write_tensors
from madsep.models.network import Network
from madsep.systems.recipe import System
from madsep.training.tally import Tally

MOMENTS = {"adam": ("exp_avg", "exp_avg_sq"), "adadelta": ("square_avg", "acc_delta")}


@dataclass
class Position:
    """Where a run stands, as last known to the host: finished epochs, steps in the current one, and what has been recorded.

    There is no generator's state: what is drawn in an epoch is drawn from the seed and the epoch's number.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)  # of the current epoch's losses, weighted by sequences
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None


class Trainer:
    """Network, optimiser and position, saved and restored together."""

    def __init__(self, network: Network, recipe: System) -> None:
        self.network, self.settings = network, recipe.training
        self.device = next(network.parameters()).device
        self.tally = Tally(recipe.trained_family.losses, self.device)
        self.optimiser = self._optimiser()
        plateau = self.settings.plateau
        self.schedule = ReduceLROnPlateau(self.optimiser, factor=plateau.factor, patience=plateau.patience) if plateau else None
        self.position = Position()
        self.best_weights: dict[str, Tensor] = {}

    def _optimiser(self) -> Optimizer:
        parameters, rate = self.network.parameters(), self.settings.learning_rate
        if self.settings.optimiser == "adadelta":
            return Adadelta(parameters, lr=rate, rho=0.95, eps=1e-6)
        optimiser = Adam(parameters, lr=rate, fused=True, capturable=self.device.type == "cuda")
        optimiser.found_inf = self.tally.ended  # type: ignore[attr-defined]  # as torch.amp.GradScaler gives it to fused optimisers
        return optimiser

    def advance(self) -> None:
        """Let the optimiser take a step, which changes nothing from the first on that was not finite; Adadelta has to ask the host."""
        if self.settings.optimiser == "adam" or not self.tally.ended:
            self.optimiser.step()

    def set_rate(self) -> None:
        """Set the coming epoch's learning rate, where it follows a cosine."""
        first, last, n_epochs = self.settings.learning_rate, self.settings.final_learning_rate, self.settings.n_epochs
        if last is None:
            return
        progress = self.position.epoch / max(n_epochs - 1, 1)
        for group in self.optimiser.param_groups:
            group["lr"] = last + (first - last) * (1 + math.cos(math.pi * progress)) / 2

    def keep_best(self, value: float) -> None:
        """Remember the present weights when `value` is the lowest so far."""
        if self.position.best is None or value < self.position.best:
            self.position.best = value
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write the state whole, keeping the one before; `identity` is what a resumed run must agree with.

        Raises DiskFull, and both states before it are still there.
        """
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best_weights.items()}
        n_steps = 0
        for name, parameter in self.network.named_parameters():
            for moment in MOMENTS[self.settings.optimiser] if parameter in self.optimiser.state else ():
                tensors[f"{moment}/{name}"] = self.optimiser.state[parameter][moment]
                n_steps = int(self.optimiser.state[parameter]["step"])
        schedule = self.schedule.state_dict() if self.schedule else None
        rates = [group["lr"] for group in self.optimiser.param_groups]
        metadata = {"identity": identity, "position": asdict(self.position), "n_steps": n_steps, "schedule": schedule, "rates": rates}
        write_tensors(_next(path), tensors, metadata)
        if path.exists():
            path.replace(_previous(path))
        _next(path).replace(path)

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
        self.best_weights = {name: tensor.to(self.device) for name, tensor in part("best/").items()}
        names = MOMENTS[self.settings.optimiser]
        for name, parameter in self.network.named_parameters():
            if f"{names[0]}/{name}" in tensors:
                moments = {moment: tensors[f"{moment}/{name}"].to(self.device) for moment in names}
                n_steps = torch.tensor(float(metadata["n_steps"]), device=self.device)
                self.optimiser.state[parameter] = {"step": n_steps, **moments}
        for group, rate in zip(self.optimiser.param_groups, metadata["rates"], strict=True):
            group["lr"] = rate
        if self.schedule:
            self.schedule.load_state_dict(metadata["schedule"])
        self.position = Position(**metadata["position"])
        self.tally.set(self.position.step_in_epoch, self.position.sums)


def discard(path: Path) -> None:
    """Remove the states of a finished run, and what killed ones left half-written beside them."""
    beginnings = (f".{path.stem}.", ".weights.", ".history.", ".tmp")  # of temporary names; the last is safetensors' own
    half_written = [file for beginning in beginnings for file in path.parent.glob(f"{beginning}*")]
    for candidate in (path, _previous(path), _next(path), *half_written):
        candidate.unlink(missing_ok=True)


def _previous(path: Path) -> Path:
    return path.with_stem(path.stem + ".previous")


def _next(path: Path) -> Path:
    return path.with_stem(path.stem + ".next")


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
