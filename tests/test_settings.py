"""Settings: closed, frozen, ranges; messages that name the place, the key and what was expected."""

import re

import pydantic
import pytest

from madsep.core.errors import InputError, nearest
from madsep.core.settings import Plateau, Segments, Separation, Settings, Target, Training
from madsep.systems.recipe import load_recipe

TRAINING = {
    "optimiser": "adam",
    "n_epochs": 3,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "final_learning_rate": None,
    "gradient_norm_clip": 0.5,
    "edge_frames_dropped": 3,
    "plateau": {"factor": 0.5, "patience": 2, "first_epoch": 10},
    "validation": True,
    "selection": "best",
    "precision": "fp32",
    "augmentation": {"circular_shift": True, "other_accompaniments": False, "gain_db": 3.0, "speed": 0.1},
    "extra_tracks": False,
    "seed": 1,
}
SEPARATION = {
    "framing": "full",
    "channels": "each",
    "griffin_lim_iterations": 0,
    "latent_threshold": 0.0,
    "batch_size": 16,
    "precision": "bf16",
}
TARGET = {"definition": "irm_background", "clip": 1.0, "input_clip": 1.0}


def test_values_are_kept_and_typed() -> None:
    training = Training.parse(TRAINING, "here")
    assert training.model_dump() == TRAINING
    assert isinstance(training.plateau, Plateau) and training.plateau.factor == 0.5
    assert Training.parse(TRAINING | {"plateau": None}, "here").plateau is None


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError):
        Training.parse(TRAINING, "here").n_epochs = 4  # type: ignore[misc]


def test_derived_counts() -> None:
    assert load_recipe("MDL1", {}).front_end.n_bins == 2049
    assert Segments(n_frames=60, n_context=10, overlap=5).step == 35


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_epoch": 3}, "here: unknown key 'n_epoch'; did you mean 'n_epochs'? (known: optimiser, n_epochs, batch_size, "),
        ({"zzzzz": 3}, "here: unknown key 'zzzzz' (known: optimiser, n_epochs, "),
        (
            {"plateau": {"patients": 1}},
            "here: unknown key 'plateau.patients'; did you mean 'patience'? (known: factor, patience, first_epoch)",
        ),
        ({"n_epochs": 0}, "here: 'n_epochs' is 0: input should be greater than or equal to 1"),
        ({"n_epochs": 2.5}, "here: 'n_epochs' is 2.5: input should be a valid integer"),
        ({"selection": "lasst"}, "here: 'selection' is 'lasst': input should be 'last' or 'best'"),
        ({"plateau": {"factor": 1.0, "patience": 1, "first_epoch": 0}}, "here: 'plateau.factor' is 1.0: input should be less than 1"),
        ({"learning_rate": float("inf")}, "here: 'learning_rate' is inf: input should be a finite number"),
        ({"learning_rate": "fast"}, "here: 'learning_rate' is 'fast': input should be a valid number"),
    ],
)
def test_faults_say_where_what_and_what_was_expected(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        Training.parse(TRAINING | changes, "here")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "values", "key", "refused"),
    [
        (Training, TRAINING, "batch_size", 0),
        (Training, TRAINING, "learning_rate", 0.0),
        (Training, TRAINING, "gradient_norm_clip", 0.0),
        (Training, TRAINING, "final_learning_rate", 0.0),
        (Training, TRAINING, "edge_frames_dropped", -1),
        (Training, TRAINING, "precision", "fp16"),
        (Separation, SEPARATION, "griffin_lim_iterations", -1),
        (Separation, SEPARATION, "latent_threshold", -0.1),
        (Separation, SEPARATION, "framing", "half"),
        (Separation, SEPARATION, "batch_size", 0),
        (Target, TARGET, "clip", -1.0),
        (Target, TARGET, "input_clip", float("nan")),
        (Target, TARGET, "definition", "irm"),
    ],
)
def test_values_out_of_range_are_refused(kind: type[Settings], values: dict[str, object], key: str, refused: object) -> None:
    kind.parse(values, "here")
    with pytest.raises(InputError, match=f"here: '{key}' is "):
        kind.parse(values | {key: refused}, "here")


@pytest.mark.parametrize("key", TRAINING)
def test_every_key_must_be_said(key: str) -> None:
    with pytest.raises(InputError, match=f"here: key '{key}' is missing"):
        Training.parse({name: value for name, value in TRAINING.items() if name != key}, "here")


def test_several_faults_are_told_at_once() -> None:
    with pytest.raises(InputError) as error:
        Training.parse(TRAINING | {"n_epochs": 0, "batch_size": 0, "seeds": 1}, "here")
    lines = str(error.value).splitlines()
    assert len(lines) == 3 and all(line.startswith("here: ") for line in lines)


def test_missing_keys_are_told_in_one_line() -> None:
    with pytest.raises(InputError) as error:
        Training.parse({"n_epochs": 1}, "here")
    assert re.fullmatch(r"here: keys 'optimiser', '\w+', '\w+' and \d+ more are missing", str(error.value))


def test_nearest_hints_only_at_what_is_near() -> None:
    assert nearest("trainign", ["training", "target"]) == "; did you mean 'training'?"
    assert nearest("qqq", ["training", "target"]) == ""


@pytest.mark.parametrize(
    "override",
    [
        {"separation": {"griffin_lim_iterations": 10**9}},
        {"separation": {"batch_size": 10**9}},
        {"separation": {"batch_size": 65_536}},
        {"network": {"recurrent_inference": {"max_iterations": 10**9}}},
        {"network": {"n_encoder_bins": 10**12}},
        {"network": {"n_denoiser_hidden": 10**12}},
        {"front_end": {"window_length": 1 << 30}},
        {"front_end": {"fft_length": 10**18}},
        {"front_end": {"hop_length": 1}},
        {"front_end": {"sample_rate_hz": 1}},
        {"front_end": {"sample_rate_hz": 10**9}},
        {"segments": {"n_frames": 10**9}},
        {"segments": {"n_frames": 60_000}},
        {"segments": {"n_frames": 2000, "n_context": 2, "overlap": 1995}},
        {"training": {"batch_size": 10**9}},
    ],
)
def test_sizes_that_no_system_has_are_refused_before_anything_is_built(override: dict[str, dict[str, object]]) -> None:
    with pytest.raises(InputError, match=r"^recipe GRU-RIS-l: [^\n]*(expected|input should be)[^\n]*$"):
        load_recipe("GRU-RIS-l", {"GRU-RIS-l": override})


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("HEL1", {"n_layers": 10**6}),
        ("MIM-HW", {"n_layers": 101}),
        ("DAE", {"n_encoder_layers": 10**9}),
        ("GRA", {"n_hidden_layers": 10**5}),
    ],
)
def test_no_network_has_so_many_layers(name: str, override: dict[str, int]) -> None:
    with pytest.raises(InputError, match="less than or equal to 100"):
        load_recipe(name, {name: {"network": override}})
