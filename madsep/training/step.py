"""One optimisation step on the device, from spans of audio. The host never waits for it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.core.logs import log
from madsep.core.precision import products
from madsep.systems.recipe import System
from madsep.training.sequences import Sequences
from madsep.training.state import TrainingState

TINY = 1e-6  # added to a norm before a clip, as PyTorch does
WARM_UP_STEPS = 3  # before a CUDA graph is captured: libraries initialise, and autograd and the optimiser allocate

Replay = Callable[[], None]


class Step:
    """Features, network, objective, gradient, clip and Adam for one batch, in parts if it does not fit into the GPU's memory.

    If the optimiser divides gradients itself, as Adam on a GPU can, clipping only passes it the divisor.
    """

    def __init__(self, recipe: System, state: TrainingState, sequences: Sequences) -> None:
        self.recipe, self.state, self.sequences = recipe, state, sequences
        self.clipped = state.network.clipped_alone
        self.divides = state.device.type == "cuda" and recipe.training.optimiser == "adam" and len(self.clipped) == 1
        self.n_parts = 1

    def __call__(self, spans: Tensor) -> None:
        """Take one step on spans (B, 1 + S, n_span) of mixture and sources, and add its losses to `state.tally`.

        Raises InputError if the smallest possible part does not fit into the GPU's memory.
        """
        losses = self._gradient_that_fits(spans)
        while losses is None:
            self._split(len(spans))
            losses = self._gradient_that_fits(spans)
        self._update(losses, len(spans))

    def whole(self, spans: Tensor) -> None:
        """Take one step with the number of parts found so far. Raises torch.OutOfMemoryError if these are too few."""
        self._update(self._gradient(spans), len(spans))

    def _gradient_that_fits(self, spans: Tensor) -> Tensor | None:
        try:
            return self._gradient(spans)
        except torch.OutOfMemoryError:
            return None  # the caller retries, because the exception keeps the step's tensors until it is gone

    def _split(self, n_sequences: int) -> None:
        if self.n_parts >= n_sequences or not self.state.network.sequences_independent:
            inseparable = f"a batch of {n_sequences}, which cannot be split because recurrent inference stops per batch"
            raise InputError(
                f"the GPU's memory does not hold a training step of {'one sequence' if self.n_parts >= n_sequences else inseparable}. "
                "Close other programs that use the GPU, use a GPU with more memory, or lower training.batch_size."
            )
        self.n_parts *= 2
        log.warning(
            "the GPU's memory does not hold a batch of %d. From now on, batches are computed in %d parts, with the same gradients",
            n_sequences,
            self.n_parts,
        )

    def _gradient(self, spans: Tensor) -> Tensor:
        """Store the objective's gradient in the parameters and return the batch's losses."""
        self.state.optimiser.zero_grad(set_to_none=True)
        mixture, targets = self.sequences.features(spans)
        if self.n_parts > 1:
            return self._gradient_in_parts(mixture, targets)
        loss = self._objective(self._terms(mixture, targets))
        loss.total.backward()
        return torch.stack(tuple(loss)).detach()

    def _gradient_in_parts(self, mixture: Tensor, targets: Tensor) -> Tensor:
        """Do as `_gradient` does, holding only one part's intermediate results at a time.

        The terms of the whole batch are computed first. The objective's derivatives by these terms then weight the terms of each part.
        Penalties on the network's weights contribute their gradient once, with the whole batch.
        """
        parts = list(zip(mixture.chunk(self.n_parts), targets.chunk(self.n_parts), strict=True))
        shares = [len(part) / len(mixture) for part, _ in parts]
        with torch.no_grad():
            found = [self._terms(*part) for part in parts]
            weighted = [share * torch.stack(tuple(terms)) for share, terms in zip(shares, found, strict=True)]
        batch = torch.stack(weighted).sum(0).requires_grad_()
        loss = self._objective(found[0]._make(batch.unbind()))
        loss.total.backward()
        assert batch.grad is not None
        for share, part in zip(shares, parts, strict=True):
            (share * (batch.grad * torch.stack(tuple(self._terms(*part)))).sum()).backward()
        return torch.stack(tuple(loss)).detach()

    def _terms(self, mixture: Tensor, targets: Tensor) -> Any:
        with products(self.recipe.training.precision, mixture.device):
            output = self.state.network(mixture)
        return self.state.network.terms(output, targets, self.recipe.loss)

    def _objective(self, terms: Any) -> Any:
        return self.state.network.objective(terms, self.recipe.loss)

    def _update(self, losses: Tensor, n_sequences: int) -> None:
        clip = self.recipe.training.gradient_norm_clip or math.inf
        self.state.tally.add(losses, self._norm(clip), n_sequences)
        self.state.advance()

    def _norm(self, clip: float) -> Tensor:
        """Clip the gradient and return its norm before: the largest if parts are clipped separately, NaN if one is NaN."""
        if not self.divides:
            return torch.stack([nn.utils.clip_grad_norm_(part.parameters(), clip) for part in self.clipped]).max()
        norm = nn.utils.get_total_norm([weight.grad for weight in self.state.network.parameters() if weight.grad is not None])
        self.state.optimiser.grad_scale = ((norm + TINY) / clip).clamp_min(1.0)  # type: ignore[attr-defined]  # as found_inf
        return norm


class GraphStep:
    """Steps that replay one captured step on whole batches. Smaller batches, or all if capturing fails, use `Step` directly."""

    def __init__(self, step: Step, batch_size: int, capture: Callable[[Replay, Replay], Replay]) -> None:
        """`capture(warm_up, step)` calls `warm_up` a few times, captures one call of `step` and returns a function that replays it."""
        self.step, self.batch_size, self.capture = step, batch_size, capture
        self.capturable = True
        self.replay: Replay | None = None
        self.rate: float | None = None  # learning rate of the captured step

    def __call__(self, spans: Tensor) -> None:
        """Take one step on spans (B, 1 + S, n_span), as `Step` does."""
        if self.capturable and len(spans) == self.batch_size and self.rate != self._rate():
            self._capture(spans)
        if self.replay is None or len(spans) != self.batch_size:
            self.step(spans)
        else:
            self.spans.copy_(spans)
            self.replay()

    def _rate(self) -> float:
        rate: float = self.step.state.optimiser.param_groups[0]["lr"]
        return rate

    def _capture(self, spans: Tensor) -> None:
        self.replay, self.spans, self.rate = None, spans.clone(), self._rate()
        try:
            with self.step.state.tally.held():
                self.replay = self.capture(lambda: self.step(self.spans), lambda: self.step.whole(self.spans))
        except RuntimeError as error:  # from CUDA and its libraries, also if memory is too small for the graph
            self.capturable = False
            reason = str(error).partition("\n")[0]
            log.warning("the training step cannot be captured as a CUDA graph (%s); it runs kernel by kernel, which is slower", reason)


def capture_cuda(device: torch.device, warm_up: Replay, step: Replay) -> Replay:
    """Capture `step` as a CUDA graph after some calls of `warm_up` on the same stream. Other threads may use the device meanwhile."""
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                warm_up()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            step()
    return graph.replay


def stepper(recipe: System, state: TrainingState, sequences: Sequences, device: torch.device) -> Callable[[Tensor], None]:
    """Return a function that takes steps on a device: replayed on a GPU, unless the optimiser needs the host at each step."""
    step = Step(recipe, state, sequences)
    if device.type != "cuda" or recipe.training.optimiser != "adam":
        return step
    return GraphStep(step, recipe.training.batch_size, lambda warm_up, captured: capture_cuda(device, warm_up, captured))
