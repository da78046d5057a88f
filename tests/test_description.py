"""description.md: follows the settings, and keeps the campaign's template."""

from pathlib import Path
from typing import Any

import pytest

from madsep.submission.check import check_submission
from madsep.submission.description import describe
from madsep.systems.recipe import Recipe, load_recipe, recipe_names

SCORING = {"engine": "museval"}
NOBODY = {"authors": None, "affiliations": None, "contact": None}
SOMEBODY = {"authors": "Ada Lovelace, Charles Babbage", "affiliations": "Analytical Engines", "contact": "ada@example.org"}
PLATEAU = {"plateau": {"factor": 0.5, "patience": 7, "first_epoch": 2}}
AUGMENTATION = {"augmentation": {"circular_shift": False, "other_accompaniments": True, "gain_db": 2.5, "speed": 0.15}}
UNSAID = {"batch_size"}  # of the separation: results do not depend on it


def recipe(section: str = "training", **values: object) -> Recipe:
    return load_recipe("MDL1", {"MDL1": {section: values}})


def faults(folder: Path, text: str) -> list[str]:
    folder.mkdir()
    (folder / "description.md").write_text(text, encoding="utf-8")
    return [fault for fault in check_submission(folder) if fault.startswith("description.md")]


@pytest.mark.parametrize("authors", [NOBODY, SOMEBODY])
@pytest.mark.parametrize("name", recipe_names())
def test_the_campaigns_template_is_kept(tmp_path: Path, name: str, authors: dict[str, str | None]) -> None:
    chosen = load_recipe(name, {})
    assert faults(tmp_path / chosen.short_name, describe(chosen, SCORING, authors)) == []


def test_the_check_itself_would_see_a_fault(tmp_path: Path) -> None:
    text = describe(recipe(), SCORING, NOBODY)
    assert faults(tmp_path / "MDLX", text) != []
    assert faults(tmp_path / "MDL1", text.replace("## Method", "## Methods")) != []


def test_authors_are_those_given_or_the_originals_with_the_word_reproduction() -> None:
    given, original = describe(recipe(), SCORING, SOMEBODY), describe(recipe(), SCORING, NOBODY)
    assert all(value in given for value in SOMEBODY.values())
    assert "Reproduction" not in given and "Mimilakis and Konstantinos Drossos <!-- Authors -->" not in given
    assert "Reproduction with madsep of the system by Stylianos Ioannis Mimilakis and Konstantinos Drossos" in original
    assert "Affiliations not given" in original and "Contact: not given" in original


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("front_end", {"sample_rate_hz": 16000}),
    ("front_end", {"window": "bartlett"}),
    ("front_end", {"periodic": True}),
    ("front_end", {"scale": "window_sum"}),
    ("front_end", {"gain": 0.3}),
    ("front_end", {"window_length": 2047}),
    ("front_end", {"fft_length": 8192}),
    ("front_end", {"hop_length": 385}),
    ("segments", {"n_frames": 61}),
    ("segments", {"n_context": 11}),
    ("segments", {"overlap": 3}),
    ("network", {"n_encoder_bins": 745}),
    ("network", {"n_denoiser_hidden": 1025}),
    ("network", {"encoder_residual": "recurrent"}),
    ("network", {"realign_backward": True}),
    ("network", {"decoder_residual": "mix_output"}),
    ("network", {"decoder_width": 1}),
    ("network", {"recurrent_inference": {"max_iterations": 3, "tolerance": 0.123, "stop": "batch"}}),
    ("target", {"definition": "irm_mixture_x2"}),
    ("target", {"definition": "magnitude"}),
    ("target", {"clip": 1.1}),
    ("target", {"input_clip": 1.1}),
    ("target", {"clip": None}),
    ("target", {"input_clip": None}),
    ("loss", {"gate": None}),
    ("loss", {"latent_l1": 3e-7}),
    ("loss", {"latent_norm": "nuclear"}),
    ("loss", {"mask_l1": 0.5}),
    ("loss", {"mask_diagonal_l1": 0.5}),
    ("loss", {"mask_diagonal_detached": False}),
    ("loss", {"decoder_l2": 0.5}),
    ("training", {"optimiser": "adadelta"}),
    ("training", {"extra_tracks": True}),
    ("training", {"block_s": 31.0}),
    ("training", {"n_epochs": 99}),
    ("training", {"batch_size": 17}),
    ("training", {"learning_rate": 2e-4}),
    ("training", {"gradient_norm_clip": 0.6}),
    ("training", {"gradient_norm_clip": None}),
    ("training", {"edge_frames_dropped": 4}),
    ("training", PLATEAU),
    ("training", {"validation": True}),
    ("training", {"validation": True, "selection": "best"}),
    ("training", {"seed": 219}),
    ("training", {"final_learning_rate": 3e-6}),
    ("training", {"precision": "tf32"}),
    ("training", AUGMENTATION),
    ("separation", {"framing": "legacy"}),
    ("separation", {"channels": "mean"}),
    ("separation", {"griffin_lim_iterations": 10}),
    ("separation", {"latent_threshold": 0.2}),
    ("separation", {"precision": "fp32"}),
    ("description", {"title": "Another title"}),
    ("description", {"code": "another page"}),
    ("description", {"demos": "another page"}),
    ("description", {"is_blind": True}),
    ("description", {"additional_training_data": True}),
    ("description", {"references": ["A paper."]}),
]


@pytest.mark.parametrize(("section", "values"), CHANGES)
def test_a_changed_setting_changes_the_text(section: str, values: dict[str, Any]) -> None:
    changed, plain = describe(recipe(section, **values), SCORING, NOBODY), describe(recipe(), SCORING, NOBODY)
    assert changed != plain
    for value in values.values():
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert str(value) in changed


@pytest.mark.parametrize("section", ["front_end", "segments", "network", "target", "loss", "training", "separation"])
def test_every_setting_is_among_those_tested(section: str) -> None:
    """A new setting must be told in the text, or excused here."""
    tested = {key for name, values in CHANGES for key in values if name == section}
    known = set(type(getattr(recipe(), section)).model_fields)
    assert known - tested == (UNSAID if section == "separation" else set())


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        (
            "training",
            {},
            "Adam with a learning rate of 0.0001, which is constant, for 100 epochs with batches of 16 sequences and seed 218.",
        ),
        ("training", {}, "The gradient norm is clipped at 0.5."),
        ("training", {}, "Data: all training tracks are used, and the last epoch is kept."),
        ("training", {"extra_tracks": True}, "Data: all training tracks and further tracks are used"),
        (
            "training",
            {"validation": True, "selection": "best"},
            "held out for validation, all others are used, and the best epoch is kept.",
        ),
        ("training", PLATEAU, "multiplied by 0.5 after 7 epochs without progress from epoch 2,"),
        ("training", {"final_learning_rate": 3e-6}, "a learning rate of 0.0001, which falls to 3e-06 along half a cosine,"),
        ("training", {}, "left out. There is no augmentation. Inputs: not normalised. There is no dropout."),
        (
            "training",
            AUGMENTATION,
            "voices are mixed with the accompaniments of randomly drawn tracks, with gains of up to +-2.5 dB. Both are played at speeds",
        ),
        ("target", {}, "clipped at 1.0. The input is clipped at 1.0."),
        ("target", {"input_clip": None}, "clipped at 1.0. The input is not clipped."),
        ("target", {}, "the target is X V / (V + B)"),
        ("target", {"definition": "irm_mixture_x2"}, "the target is 2 X V / (V + X)"),
        ("loss", {}, "latent_l1 2e-07"),
        ("separation", {}, "each channel is separated alone, with the mixture's phase. Every frame is estimated."),
        ("separation", {"griffin_lim_iterations": 10}, "10 iterations of Griffin and Lim's algorithm"),
        ("separation", {"latent_threshold": 0.2}, "Entries of H_dec with a magnitude of up to 0.2 are set to zero."),
        ("separation", {"framing": "legacy"}, "last incomplete batch of sequences"),
        ("description", {}, "__is_blind:__ no"),
        ("description", {"additional_training_data": True}, "__additional_training_data:__ yes"),
    ],
)
def test_the_text_says_what_runs(section: str, values: dict[str, Any], said: str) -> None:
    assert said in describe(recipe(section, **values), SCORING, NOBODY)


def test_the_published_sizes_stand_in_mdl1s_text() -> None:
    text = describe(recipe(), SCORING, NOBODY)
    for said in (
        "44100 Hz",
        "2049 samples divided by sqrt(4096)",
        "a hop of 384 samples, which gives 2049 bins",
        "Sequences have 60 frames. The 10 frames at either end are context only.",
        "n_encoder_bins 744",
    ):
        assert said in text


def test_the_engine_and_its_audit_are_told() -> None:
    assert "Scores: museval (BSSEval v4, with a window and a hop of 1 s)." in describe(recipe(), SCORING, NOBODY)
    audited = {"engine": "fast", "audit_by_museval": {"worst_difference_db": {"A - B": 2e-6, "C - D": 1e-5}}}
    assert "museval scored 2 tracks again and differed by at most 1.0e-05 dB" in describe(recipe(), audited, NOBODY)
