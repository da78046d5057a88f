"""Options of couplings and their defaults, which the command line and a config that leaves them out share. Imports stay light."""

from typing import Literal, NamedTuple

Orientation = Literal["module", "toy"]

JACOBIAN_SEQUENCES = 16  # per group


class Options(NamedTuple):
    """How a matrix is fitted. Iterations and learning rate are those of the published code, whose Adam has PyTorch's other defaults."""

    orientation: Orientation = "module"  # of S_l: module, (W_l + 1 b_l^T) P_l^T; toy, as in the toy script, P_l (W_l + 1 b_l^T)^T
    seed: int = 218  # of the initial values of the free matrices
    double: bool = False  # float64, as a check; otherwise float32, from the same initial values
    frames_at_once: int = 4096  # bounds the memory: a few (N, N) matrices per layer, and blocks of this many frames
    n_iterations: int = 600
    learning_rate: float = 1e-4
    tolerance: float | None = None  # stop once the losses of the last 20 iterations differ by less than this fraction of the largest
