"""Options of couplings, with the defaults for the command line and the config. This module must stay quick to import."""

from typing import Literal, NamedTuple

Orientation = Literal["module", "toy"]

JACOBIAN_SEQUENCES = 16  # per group


class Options(NamedTuple):
    """Options of a fit. Iterations and learning rate are those of the published code. Adam's other settings are PyTorch's defaults."""

    orientation: Orientation = "module"  # of S_l: module, (W_l + 1 b_l^T) P_l^T; toy, as in the toy script, P_l (W_l + 1 b_l^T)^T
    seed: int = 218  # of the free matrices' initial values
    double: bool = False  # whether to fit in float64, as a check, instead of float32; both use the same initial values
    frames_at_once: int = 4096  # bounds the memory to a few (N, N) matrices per layer and blocks of this many frames
    n_iterations: int = 600
    learning_rate: float = 1e-4
    tolerance: float | None = None  # stop once the losses of the last 20 iterations differ by less than this fraction of the largest
