"""The distortion filters: least-squares projections onto delayed references (Vincent, Gribonval, Fevotte 2006, section III)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from madsep.bsseval import toeplitz

DEPENDENT = 1e-13  # a channel is dependent if the others explain its energy up to this share
ILL_POSED = 1e-16  # reciprocal condition number below which the references' rounding errors dominate
NOISE = 1e-10  # energy of the white noise that is added to such systems, relative to a channel's energy


@dataclass(frozen=True)
class System:
    """Normal equations of one projection: lags (n_lags, m, m) of m channels, and their products with k columns (n_lags, m, k)."""

    lags: np.ndarray
    products: np.ndarray


@dataclass(frozen=True)
class Solution:
    """Filters (n_lags, m, k), the channels that were left out, whether the system was nearly singular and whether noise was added."""

    filters: np.ndarray
    left_out: tuple[int, ...] = ()
    nearly_singular: bool = False
    noise_added: bool = False


def solve_all(systems: Sequence[System]) -> list[Solution]:
    """Return the filters of each system. All systems have the same number of lags.

    G x = d with block-Toeplitz G[(k, a), (l, b)] = r_ab(k - l). Channels are first scaled to unit energy. None may be zero. Channels that
    others explain at lag zero get zero filters, which does not change the projection. If the rest is still singular, it is solved as if
    each channel contained white noise 100 dB below itself.
    """
    solutions: list[Solution | None] = [None] * len(systems)
    for shape in {system.products.shape for system in systems}:
        numbers = [number for number, system in enumerate(systems) if system.products.shape == shape]
        for number, solution in zip(numbers, _solve_alike([systems[number] for number in numbers]), strict=True):
            solutions[number] = solution
    return [solution for solution in solutions if solution is not None]


def independent_channels(gram: np.ndarray) -> list[int]:
    """Return the channels, in order, that span all others. `gram` (m, m) has the products at lag zero of channels of unit energy.

    This is a Cholesky factorisation that takes the channel with the largest remaining energy first.
    """
    rest, kept = gram.copy(), []
    for _ in range(len(gram)):
        pivot = int(np.argmax(np.diag(rest)))
        if rest[pivot, pivot] <= DEPENDENT:
            break
        kept.append(pivot)
        rest = rest - np.outer(rest[:, pivot], rest[pivot]) / rest[pivot, pivot]
        rest[pivot, :] = rest[:, pivot] = 0.0
    return sorted(kept)


def _solve_alike(systems: Sequence[System]) -> list[Solution]:
    scaled, scales = zip(*(_scaled(system) for system in systems), strict=True)
    kept = [independent_channels(system.lags[0]) for system in scaled]
    if all(len(channels) == system.lags.shape[1] for channels, system in zip(kept, scaled, strict=True)):
        found = _solve_regular(scaled)
    else:
        found = [_solve_dependent(system, channels) for system, channels in zip(scaled, kept, strict=True)]
    return [replace(solution, filters=solution.filters * scale[:, None]) for solution, scale in zip(found, scales, strict=True)]


def _scaled(system: System) -> tuple[System, np.ndarray]:
    scale = 1 / np.sqrt(np.diag(system.lags[0]))
    return System(system.lags * np.outer(scale, scale), system.products * scale[:, None]), scale


def _solve_dependent(system: System, kept: list[int]) -> Solution:
    filters = np.zeros(system.products.shape)
    left_out = tuple(channel for channel in range(system.lags.shape[1]) if channel not in kept)
    part = System(np.ascontiguousarray(system.lags[:, kept][:, :, kept]), np.ascontiguousarray(system.products[:, kept]))
    (solution,) = _solve_regular([part])
    filters[:, kept] = solution.filters
    return replace(solution, filters=filters, left_out=left_out)


def _solve_regular(systems: Sequence[System]) -> list[Solution]:
    """Solve all systems with Levinson's recursion. If it is not accurate enough, solve them one by one with other methods."""
    inverse = toeplitz.invert(np.stack([system.lags for system in systems]))
    if inverse is not None:
        filters = toeplitz.solve(inverse, np.stack([system.products for system in systems]))
        if filters is not None:
            return [Solution(one) for one in filters]
    if len(systems) > 1:
        return [_solve_regular([system])[0] for system in systems]
    return [_solve_hard(systems[0])]


def _solve_hard(system: System) -> Solution:
    filters = toeplitz.solve_dense(system.lags, system.products, ILL_POSED)
    if filters is not None:
        return Solution(filters, nearly_singular=True)
    noisy = system.lags.copy()
    noisy[0] += NOISE * np.eye(len(noisy[0]))
    filters = toeplitz.solve_dense(noisy, system.products, 0.0)
    if filters is None:
        raise FloatingPointError("the projection cannot be solved even with noise at -100 dB: the correlations are not positive")
    return Solution(filters, noise_added=True)
