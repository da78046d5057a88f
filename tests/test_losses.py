"""The generalised Kullback-Leibler divergence against loops over scalars."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import kl_div

from madsep.core.errors import InputError
from madsep.models.losses import generalised_kl, summed_norms
from madsep.systems.families.mad import LatentNorm


def magnitudes(seed: int, shape: tuple[int, ...] = (2, 3, 5)) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_scalar_loops_give_the_same() -> None:
    target, estimate = magnitudes(1), magnitudes(2)
    target[0, 0, 0] = estimate[1, 2, 3] = 0.0
    total = 0.0
    for sequence in range(2):
        for frame in range(3):
            for k in range(5):
                y, z = target[sequence, frame, k].item(), estimate[sequence, frame, k].item()
                total += y * (math.log(y + 1e-6) - math.log(z + 1e-6)) + (z - y)
    assert generalised_kl(target, estimate).item() == pytest.approx(total / 6, rel=1e-12)


def test_scipy_gives_the_same_away_from_zero() -> None:
    target, estimate = magnitudes(1) + 0.5, magnitudes(2) + 0.5
    expected = kl_div(target.numpy(), estimate.numpy()).sum(-1).mean()
    assert generalised_kl(target, estimate).item() == pytest.approx(expected, rel=1e-4)


def test_norms_by_hand() -> None:
    """[[3, 0], [4, 0]] has one singular value, 5; [[3, 0], [0, -4]] has two, 3 and 4."""
    matrices = torch.tensor([[[3.0, 0.0], [4.0, 0.0]], [[3.0, 0.0], [0.0, -4.0]]])
    expected = {"l1": (7, 7), "frobenius": (5, 5), "nuclear": (5, 7), "induced_1": (7, 4)}
    for kind, norms in expected.items():
        assert [summed_norms(matrix[None], kind, torch.float32).item() for matrix in matrices] == pytest.approx(norms)
        assert summed_norms(matrices, kind, torch.float64).item() == pytest.approx(sum(norms))


@pytest.mark.parametrize(("kind", "order"), [("frobenius", "fro"), ("nuclear", "nuc"), ("induced_1", 1)])
def test_norms_are_numpys(kind: LatentNorm, order: Any) -> None:
    matrices = magnitudes(4, (3, 6, 9)) - 0.5
    expected = sum(np.linalg.norm(matrix, order) for matrix in matrices.numpy())
    assert summed_norms(matrices, kind, torch.float64).item() == pytest.approx(expected, rel=1e-12)


def test_equal_inputs_give_zero_and_others_more() -> None:
    target = magnitudes(3)
    assert generalised_kl(target, target).item() == 0.0
    assert generalised_kl(target, target * 1.1).item() > 0
    assert generalised_kl(target, target * 0.9).item() > 0


def test_mean_over_sequences_and_frames_does_not_depend_on_the_batch() -> None:
    target, estimate = magnitudes(1), magnitudes(2)
    twice = generalised_kl(target.repeat(2, 1, 1), estimate.repeat(2, 1, 1))
    torch.testing.assert_close(twice, generalised_kl(target, estimate))
    wide = generalised_kl(target.repeat(1, 1, 2), estimate.repeat(1, 1, 2))
    torch.testing.assert_close(wide, 2 * generalised_kl(target, estimate))


def test_gradient_is_the_analytic_one() -> None:
    target, estimate = magnitudes(1), magnitudes(2).requires_grad_()
    generalised_kl(target, estimate).backward()
    expected = (1 - target / (estimate.detach() + 1e-6)) / 6
    assert estimate.grad is not None
    torch.testing.assert_close(estimate.grad, expected)


def test_silence_stays_finite() -> None:
    assert np.isfinite(generalised_kl(magnitudes(1), torch.zeros(2, 3, 5, dtype=torch.float64)).item())


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1), (3, 5), (1, 3, 5)])
def test_other_shapes_are_refused_and_never_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(2, 3, 5\).*must be equal"):
        generalised_kl(magnitudes(1), magnitudes(2, shape))
