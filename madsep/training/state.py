"""The training state: everything that a killed training needs to resume as if it had never been killed."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor
from torch.optim import Adadelta, Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from madsep.core.errors import InputError
from madsep.core.logs import log
from madsep.models.checkpoint import read_tensors
from madsep.models.network import Network
from madsep.systems.recipe import System
from madsep.training.snapshot import Snapshot, previous
from madsep.training.tally import Tally

MOMENTS = {"adam": ("exp_avg", "exp_avg_sq"), "adadelta": ("square_avg", "acc_delta")}
CLOSED = ConfigDict(extra="forbid")

Natural = Annotated[int, Field(ge=0, le=2**53)]


@dataclass
class Position:
    """The position of a training as last known to the host: finished epochs, steps in the current epoch, and recorded losses.

    No generator state is needed, because each epoch draws from the seed and the epoch's number.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    epoch: Natural = 0
    step_in_epoch: Natural = 0
    step: Natural = 0
    sums: dict[str, float] = field(default_factory=dict)  # of the current epoch's losses, weighted by numbers of sequences
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None


@dataclass
class Saved:
    """The metadata of a saved state."""

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    identity: str  # of the training
    position: Position
    n_steps: Natural  # taken by the optimiser
    rates: list[float]  # learning rates of the optimiser's parameter groups
    schedule: dict[str, Any] | None


class Unusable(InputError):
    """The error for a saved state that cannot be used. An earlier one may be usable."""


class TrainingState:
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
        self.host: dict[str, Tensor] = {}  # memory for one copy

    def _optimiser(self) -> Optimizer:
        parameters, rate = self.network.parameters(), self.settings.learning_rate
        if self.settings.optimiser == "adadelta":
            return Adadelta(parameters, lr=rate, rho=0.95, eps=1e-6)
        optimiser = Adam(parameters, lr=rate, fused=True, capturable=self.device.type == "cuda")
        optimiser.found_inf = self.tally.ended  # type: ignore[attr-defined]  # as torch.amp.GradScaler sets it for fused optimisers
        return optimiser

    def advance(self) -> None:
        """Let the optimiser take a step, unless a step was not finite. For Adadelta, the host must check this."""
        if self.settings.optimiser == "adam" or not self.tally.ended:
            self.optimiser.step()

    def set_rate(self) -> None:
        """Set the next epoch's learning rate if the recipe has a cosine schedule."""
        first, last, n_epochs = self.settings.learning_rate, self.settings.final_learning_rate, self.settings.n_epochs
        if last is None:
            return
        progress = self.position.epoch / max(n_epochs - 1, 1)
        for group in self.optimiser.param_groups:
            group["lr"] = last + (first - last) * (1 + math.cos(math.pi * progress)) / 2

    def keep_best(self, value: float) -> None:
        """Keep a copy of the current weights if `value` is the lowest so far."""
        if self.position.best is None or value < self.position.best:
            self.position.best = value
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def save(self, path: Path, identity: str) -> None:
        """Write the current state with `Snapshot.write`; `identity` is that of the training."""
        Snapshot(self._tensors(), self._metadata(identity)).write(path)

    def snapshot(self, identity: str) -> Snapshot:
        """Return a copy of the state in the host's memory. A GPU copies it before its next step, while the host continues.

        There is room for only one copy. The next call overwrites it.
        """
        for name, tensor in (tensors := self._tensors()).items():
            if name not in self.host:
                self.host[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self.host[name].copy_(tensor.detach(), non_blocking=True)
        arrived = torch.cuda.current_stream(self.device).record_event() if self.device.type == "cuda" else None
        return Snapshot({name: self.host[name] for name in tensors}, self._metadata(identity), arrived)

    def _metadata(self, identity: str) -> dict[str, Any]:
        n_steps = max((int(of_parameter["step"]) for of_parameter in self.optimiser.state.values()), default=0)
        schedule = self.schedule.state_dict() if self.schedule else None
        rates = [group["lr"] for group in self.optimiser.param_groups]
        return asdict(Saved(identity, self.position, n_steps, rates, schedule))

    def resume(self, path: Path, identity: str) -> bool:
        """Resume from `path` or, if it is damaged, from the state saved before it. Return False if there is neither.

        Raises InputError if the state belongs to another training.
        """
        for candidate in (path, previous(path)):
            if not candidate.exists():
                continue
            try:
                tensors, saved = self._read(candidate, identity)
            except Unusable as error:
                log.warning("%s It is ignored. Training resumes from the previous saved state, if there is one.", error)
                candidate.unlink()
                continue
            self._restore(tensors, saved)
            log.info("training resumes from %s: epoch %d, step %d", candidate, self.position.epoch + 1, self.position.step)
            return True
        return False

    def _tensors(self) -> dict[str, Tensor]:
        """Return weights, best weights and moments under their names in a saved state."""
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best_weights.items()}
        for name, parameter in self.network.named_parameters():
            for moment in MOMENTS[self.settings.optimiser] if parameter in self.optimiser.state else ():
                tensors[f"{moment}/{name}"] = self.optimiser.state[parameter][moment]
        return tensors

    def _read(self, path: Path, identity: str) -> tuple[dict[str, Tensor], Saved]:
        """Read a saved state. Raises Unusable if it is damaged or malformed, InputError if it belongs to another training."""
        try:
            tensors, metadata = read_tensors(path)
            saved = TypeAdapter(Saved).validate_python(metadata)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise Unusable(f"{path}: is not a training state that this version can read ({key}: {first['msg']}).") from None
        except InputError as error:
            raise Unusable(str(error)) from None
        if saved.identity != identity:
            other, own = saved.identity[:8], identity[:8]
            raise InputError(f"{path}: belongs to training {other}, but this is training {own}; remove {path.parent} to start again.")
        fault = self._misfit(tensors) or self._inconsistency(saved)
        if fault:
            raise Unusable(f"{path}: is not a state of this training: {fault}.")
        return tensors, saved

    def _misfit(self, tensors: Mapping[str, Tensor]) -> str | None:
        """Return what is wrong with a saved state's tensors, or None if they fit the network."""
        weights, parameters = self.network.state_dict(), dict(self.network.named_parameters())
        moments = MOMENTS[self.settings.optimiser]
        groups: dict[str, Mapping[str, Tensor]] = {"network": weights, "best": weights, **dict.fromkeys(moments, parameters)}
        found: dict[str, set[str]] = {group: set() for group in groups}
        for full_name, tensor in tensors.items():
            group, _, name = full_name.partition("/")
            own = groups.get(group, {}).get(name)
            if own is None or (own.shape, own.dtype) != (tensor.shape, tensor.dtype):
                return f"tensor '{full_name}' does not fit the network"
            found[group].add(name)
        is_complete = found["network"] == weights.keys() and found["best"] in (set(), weights.keys())
        return None if is_complete and found[moments[0]] == found[moments[1]] else "tensors are missing"

    def _inconsistency(self, saved: Saved) -> str | None:
        """Return how a saved state contradicts itself or the recipe, or None if it does not."""
        position, own = saved.position, self.schedule.state_dict() if self.schedule else None
        if position.sums and position.sums.keys() != set(self.tally.losses):
            return "it sums other losses"
        if len(position.history) != position.epoch or position.epoch > self.settings.n_epochs:
            return "its history does not have one row per finished epoch"
        if any(row.keys() != position.history[0].keys() for row in position.history):
            return "the rows of its history differ in their columns"
        if len(saved.rates) != len(self.optimiser.param_groups) or _types(saved.schedule) != _types(own):
            return "its learning rates are those of another schedule"
        return None

    def _restore(self, tensors: dict[str, Tensor], saved: Saved) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        self.network.load_state_dict(part("network/"), strict=True)
        self.best_weights = {name: tensor.to(self.device) for name, tensor in part("best/").items()}
        names = MOMENTS[self.settings.optimiser]
        for name, parameter in self.network.named_parameters():
            if f"{names[0]}/{name}" in tensors:
                moments = {moment: tensors[f"{moment}/{name}"].to(self.device) for moment in names}
                n_steps = torch.tensor(float(saved.n_steps), device=self.device)
                self.optimiser.state[parameter] = {"step": n_steps, **moments}
        for group, rate in zip(self.optimiser.param_groups, saved.rates, strict=True):
            group["lr"] = rate
        if self.schedule and saved.schedule:
            self.schedule.load_state_dict(saved.schedule)
        self.position = saved.position
        self.tally.set(self.position.step_in_epoch, self.position.sums)


def _types(values: Mapping[str, Any] | None) -> dict[str, type] | None:
    return None if values is None else {key: type(value) for key, value in values.items()}
