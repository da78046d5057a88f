"""The neural couplings algorithm (NCA): one matrix that maps a network's input magnitudes to its output magnitudes.

Mimilakis, Drossos, Cano and Schuller, "Examining the Mapping Functions of Denoising Autoencoders in Singing Voice Separation", IEEE/ACM
TASLP 28, 2020, as in their public code (github.com/Js-Mim/nca_mss, modules/cls_mapping.py).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.core.precision import products
from madsep.couplings.composition import Layer, Pullback, check_stack, compose
from madsep.couplings.options import Options
from madsep.models.stack import Stack

WINDOW = 20  # iterations over which the convergence test compares the loss
Progress = Callable[[int, float], None]  # iterations done, and the loss relative to |X_t|_1


class Fit(NamedTuple):
    """A fitted matrix and its losses."""

    couplings: Tensor  # (N, N), C: from mixture bin j (column) to target bin i (row)
    losses: list[float]  # entrywise sum |X_t - X_s C^T|_1 after 0, 1, 2, ... iterations; the last one belongs to `couplings`
    target_l1: float  # |X_t|_1
    converged: bool  # whether the convergence test ended the fit; never true without a tolerance

    @property
    def relative_losses(self) -> list[float]:
        """|X_t - X_s C^T|_1 / |X_t|_1: 0 for a perfect fit, 1 for a matrix of zeros."""
        return [loss / self.target_l1 for loss in self.losses]


def neural_couplings(stack: Stack, options: Options, progress: Progress | None = None) -> Fit:
    """Distil `stack` into one matrix C = C_L ... C_1 with C_l = ReLU(S_l) * W_l. Adam optimises only the free matrices P_l of S_l.

    P_l is (in, in) and starts as Glorot normal. The fit minimises |X_t - X_s C^T|_1 over all frames at once, for the stack's inputs X_s and
    outputs X_t. If outputs are the product of a mask and the inputs, C has to account for that product too. `composition.with_bias`
    defines the bias of layers that are not square. The fit runs on the device of the layers' weights, but frames may be on another device.
    With fewer frames than bins, C is underdetermined. Raises InputError for layers or frames that do not fit, for outputs of zeros, and
    for a loss that is not finite.
    """
    layers = _layers(stack, options)
    generator = torch.Generator().manual_seed(options.seed)
    free = [_glorot(weight.shape[1], generator, weight) for weight, _ in layers]
    return _fit(free, lambda matrices: compose(layers, matrices, options.orientation), _Frames(stack, options), progress)


def untrained_couplings(stack: Stack, options: Options) -> Tensor:
    """Return the baseline C (N, N) in which all P_l are ones and nothing is optimised: the published code's `optimization=False`.

    Raises InputError for layers or frames that do not fit.
    """
    layers = _layers(stack, options)
    ones = [weight.new_ones(weight.shape[1], weight.shape[1]) for weight, _ in layers]
    with torch.no_grad(), products("fp32", ones[0].device):
        return compose(layers, ones, options.orientation)[0]


def student(stack: Stack, options: Options, progress: Progress | None = None) -> Fit:
    """Fit one free matrix (N, N) that does not use the layers and starts as Glorot normal: the baseline of direct distillation.

    Loss, optimiser and errors are those of `neural_couplings`.
    """
    weight = _layers(stack, options)[0][0]
    free = [_glorot(weight.shape[1], torch.Generator().manual_seed(options.seed), weight)]
    return _fit(free, lambda matrices: (matrices[0], lambda gradient: [gradient]), _Frames(stack, options), progress)


def loss_and_gradient(couplings: Tensor, blocks: Iterator[tuple[Tensor, Tensor]]) -> tuple[float, Tensor]:
    """Return |X_t - X_s C^T|_1 and its gradient with respect to C, sign(X_s C^T - X_t)^T X_s (N, N), summed over blocks (X_s, X_t)."""
    loss = torch.zeros((), dtype=torch.float64, device=couplings.device)
    gradient = torch.zeros_like(couplings)
    for inputs, outputs in blocks:
        error = (inputs @ couplings.T).sub_(outputs)
        loss += error.abs().sum(dtype=torch.float64)
        gradient.addmm_(error.sign_().T, inputs)
    return float(loss), gradient


class _Frames:
    """A stack's inputs and outputs in blocks, and the options of the fit."""

    def __init__(self, stack: Stack, options: Options) -> None:
        self.stack, self.options = stack, options
        self.target_l1 = sum(float(block.abs().sum(dtype=torch.float64)) for block in torch.split(stack.outputs, options.frames_at_once))
        if self.target_l1 == 0:
            raise InputError("the network's outputs are zero in all frames, so there is nothing to fit. Use tracks with vocals.")

    def blocks(self, like: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and outputs (frames_at_once, N) on the device and in the precision of `like`."""
        n_at_once = self.options.frames_at_once
        for inputs, outputs in zip(torch.split(self.stack.inputs, n_at_once), torch.split(self.stack.outputs, n_at_once), strict=True):
            yield inputs.to(like), outputs.to(like)


@torch.no_grad()
def _fit(free: list[Tensor], made_of: Callable[[list[Tensor]], tuple[Tensor, Pullback]], frames: _Frames, progress: Progress | None) -> Fit:
    options = frames.options
    optimiser = torch.optim.Adam(free, lr=options.learning_rate)
    with products("fp32", free[0].device):
        losses, converged = [_evaluate(free, made_of, frames)], False
        while len(losses) <= options.n_iterations and not converged:
            optimiser.step()
            losses.append(_evaluate(free, made_of, frames))
            if progress is not None:
                progress(len(losses) - 1, losses[-1] / frames.target_l1)
            converged = options.tolerance is not None and _is_flat(losses, options.tolerance)
        return Fit(made_of(free)[0], losses, frames.target_l1, converged)


def _evaluate(free: list[Tensor], made_of: Callable[[list[Tensor]], tuple[Tensor, Pullback]], frames: _Frames) -> float:
    """Return the loss and store its gradients in the free matrices. Intermediate results are freed."""
    couplings, pullback = made_of(free)
    loss, gradient = loss_and_gradient(couplings, frames.blocks(couplings))
    if not loss < float("inf"):
        raise InputError(f"the fit's loss is {loss}. Expected finite magnitudes and weights; use a smaller learning rate or float64.")
    for matrix, of_matrix in zip(free, pullback(gradient), strict=True):
        matrix.grad = of_matrix
    return loss


def _is_flat(losses: list[float], tolerance: float) -> bool:
    """Whether the losses of the last WINDOW iterations differ by less than the fraction `tolerance` of the largest."""
    recent = losses[-WINDOW - 1 :]
    return len(recent) > WINDOW and max(recent) - min(recent) < tolerance * max(recent)


def _layers(stack: Stack, options: Options) -> list[Layer]:
    """Check the stack and return its weights and biases in the precision of the fit."""
    check_stack(stack, options.orientation)
    dtype = torch.float64 if options.double else torch.float32
    return [(weight.detach().to(dtype), bias.detach().to(dtype)) for weight, bias in stack.layers]


def _glorot(n: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """Return a Glorot normal matrix (n, n) with the same values on every device and in every precision."""
    return nn.init.xavier_normal_(torch.empty(n, n), generator=generator).to(like)
