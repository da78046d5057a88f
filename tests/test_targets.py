"""Training targets against numbers worked by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from madsep.core.settings import Target
from madsep.training.targets import training_target

DEFINITIONS = ["irm_background", "irm_mixture_x2"]
WIDE = 1e9


def target(definition: str, mixture: float, voice: float, background: float, clip: float = WIDE) -> float:
    settings = Target.parse({"definition": definition, "clip": clip, "input_clip": 1.0}, "test")
    values = (torch.tensor([value], dtype=torch.float64) for value in (mixture, voice, background))
    return training_target(*values, settings).item()


@pytest.mark.parametrize("definition", DEFINITIONS)
@given(st.floats(1e-6, 10))
def test_a_silent_background_gives_the_voice(definition: str, voice: float) -> None:
    assert target(definition, voice, voice, 0.0) == pytest.approx(voice, rel=1e-9)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("irm_background", 3 * 1 / (1 + 4)),
        ("irm_mixture_x2", 2 * 3 * 1 / (1 + 3)),
    ],
)
def test_definitions_by_hand(definition: str, expected: float) -> None:
    """X = 3, V = 1, B = 4: the three differ and do not add up, so that none can stand for another."""
    assert target(definition, 3.0, 1.0, 4.0) == pytest.approx(expected, rel=1e-12)


def test_a_weak_voice_is_doubled_by_the_mixture_form_only() -> None:
    assert target("irm_mixture_x2", 1.0, 1e-4, 1.0) == pytest.approx(2e-4, rel=1e-3)
    assert target("irm_background", 1.0, 1e-4, 1.0) == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_the_target_is_clipped(definition: str) -> None:
    assert target(definition, 5.0, 5.0, 0.0, clip=1.3) == 1.3
    assert target(definition, 1.2, 1.2, 0.0, clip=1.3) == pytest.approx(1.2)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_silence_gives_silence_and_no_nan(definition: str) -> None:
    assert target(definition, 0.0, 0.0, 0.0) == 0.0
    settings = Target.parse({"definition": definition, "clip": 1.0, "input_clip": 1.0}, "test")
    assert not training_target(torch.zeros(3), torch.zeros(3), torch.zeros(3), settings).any()  # single precision


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_shape_is_kept_and_inputs_are_not_modified(definition: str) -> None:
    settings = Target.parse({"definition": definition, "clip": 0.1, "input_clip": 0.1}, "test")
    magnitudes = [torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    before = [magnitude.clone() for magnitude in magnitudes]
    assert training_target(*magnitudes, settings).shape == (2, 3, 5)
    assert all(torch.equal(magnitude, was) for magnitude, was in zip(magnitudes, before, strict=True))


def test_without_a_clip_nothing_is_bounded():
    settings = Target.parse({"definition": "irm_background", "clip": None, "input_clip": None}, "test")
    loud = torch.tensor([0.5, 3.0, 8.0])
    torch.testing.assert_close(training_target(loud, loud, torch.zeros(3), settings), loud)


def test_a_sources_own_magnitude_is_the_target_whatever_is_around_it() -> None:
    assert target("magnitude", 3.0, 1.0, 4.0) == target("magnitude", 0.0, 1.0, 0.0) == 1.0
    assert target("magnitude", 3.0, 5.0, 4.0, clip=1.3) == 1.3
