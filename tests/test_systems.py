"""Recipes: the papers' constants, building on one another, overrides, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from madsep.core.errors import InputError
from madsep.models.checkpoint import build_network
from madsep.systems import recipe
from madsep.systems.families import FAMILIES
from madsep.systems.overlays import variants
from madsep.systems.recipe import Recipe, load_recipe, parse_recipe, recipe_names

NAMES = ["GRU-NRI", "GRU-RIS-l", "GRU-RIS-s", "MDL1", "MDL1-branch", "MDLT"]
OTHERS = ["CHA", "GRA", "GRA2", "GRA3", "HEL1", "HEL1-base", "MIM-DWF", "MIM-DWF+", "MIM-HW"]
OF_COUPLINGS = ["DAE", "DAE-mir1k", "MSS-DAE", "MSS-DAE-mir1k", "SF", "SF-mir1k"]
NAMES_16K = ["GRU-NRI-mir1k", "GRU-RIS-l-mir1k", "GRU-RIS-s-mir1k", "MDL1-16k", "MDL1-16k-aug", "MDL1-mir1k", "MDLT-mir1k"]
LARGE = ["MDL1-mir1k-large"]


def plain(recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = recipe.model_dump(mode="json", serialize_as_any=True)
    return values


def at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def nested(path: str, value: object) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def test_the_recipes_that_ship_load() -> None:
    assert recipe_names() == sorted([*NAMES, *NAMES_16K, *LARGE, *OTHERS, *OF_COUPLINGS])
    recipes = [load_recipe(name, {}) for name in recipe_names()]
    assert [recipe.name for recipe in recipes] == recipe_names()


def test_settings_at_their_default_do_not_change_what_a_training_is() -> None:
    """Weights trained before these keys existed stay valid."""
    half = load_recipe("MDL1", {}).training_half()
    assert "latent_norm" not in half["loss"] and "block_s" not in half["training"]
    same = load_recipe("MDL1", {"MDL1": {"loss": {"latent_norm": "l1"}, "training": {"block_s": None}}})
    assert same.training_half() == half
    other = load_recipe("MDL1", {"MDL1": {"loss": {"latent_norm": "nuclear"}, "training": {"block_s": 30.0}}})
    assert other.training_half()["loss"]["latent_norm"] == "nuclear" and other.training_half()["training"]["block_s"] == 30
    assert parse_recipe(other.values(), "test") == other


def test_each_recipe_has_a_short_name_of_its_own() -> None:
    short_names = [load_recipe(name, {}).short_name for name in recipe_names()]
    assert len(set(short_names)) == len(recipe_names())
    assert all(len(short_name) <= 4 for short_name in short_names)


PUBLISHED = {
    "front_end": {
        "sample_rate_hz": 44100,
        "window": "hamming",
        "periodic": False,
        "scale": "sqrt_fft_length",
        "gain": 1.0,
        "window_length": 2049,
        "fft_length": 4096,
        "hop_length": 384,
    },
    "segments": {"n_frames": 60, "n_context": 10, "overlap": 0},
    "network.n_encoder_bins": 744,
    "network.n_denoiser_hidden": 1024,
    "network.encoder_residual": "output",
    "network.realign_backward": False,
    "network.decoder_residual": "none",
    "network.decoder_width": 2,
    "loss.gate": {"masker": 1.5, "denoiser": 0.25},
    "loss.decoder_l2": 1e-4,
    "target.clip": 1.0,
    "target.input_clip": 1.0,
    "training.n_epochs": 100,
    "training.batch_size": 16,
    "training.learning_rate": 1e-4,
    "training.gradient_norm_clip": 0.5,
    "training.edge_frames_dropped": 3,
    "training.plateau": None,
    "training.final_learning_rate": None,
    "training.augmentation": None,
}
ICASSP = PUBLISHED | {
    "target.definition": "irm_mixture_x2",
    "loss.latent_l1": 0.0,
    "loss.mask_diagonal_l1": 1e-2,
    "separation.griffin_lim_iterations": 10,
    "separation.latent_threshold": 0.0,
}
SISEC = PUBLISHED | {
    "target.definition": "irm_background",
    "network.recurrent_inference": None,
    "loss.latent_l1": 2e-7,
    "training.validation": False,
    "training.selection": "last",
    "separation.framing": "full",
    "separation.griffin_lim_iterations": 0,
}
INFERENCE = "network.recurrent_inference"
CONSTANTS = {
    "MDL1": SISEC | {"short_name": "MDL1", "separation.latent_threshold": 0.0},
    "MDLT": SISEC | {"short_name": "MDLT", "weights_from": "MDL1", "separation.latent_threshold": 0.2},
    "GRU-NRI": ICASSP | {INFERENCE: None},
    "GRU-RIS-s": ICASSP | {f"{INFERENCE}.max_iterations": 3, f"{INFERENCE}.tolerance": 1e-2},
    "GRU-RIS-l": ICASSP | {f"{INFERENCE}.max_iterations": 10, f"{INFERENCE}.tolerance": 1e-3},
    "MDL1-branch": {
        "network.n_encoder_bins": 1025,
        "network.n_denoiser_hidden": 2049,
        "network.encoder_residual": "output",
        "network.decoder_residual": "enc_recurrent",
        "loss": {
            "gate": None,
            "latent_l1": 0.0,
            "mask_l1": 1e-4,
            "mask_diagonal_l1": 0.0,
            "mask_diagonal_detached": True,
            "decoder_l2": 0.0,
        },
        "target.definition": "irm_background",
        "training.gradient_norm_clip": 1.5,
        "training.plateau": {"factor": 0.8, "patience": 3, "first_epoch": 10},
        "training.learning_rate": 1e-4,
        "separation.griffin_lim_iterations": 0,
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_recipes_hold_the_published_constants(name: str) -> None:
    values = plain(load_recipe(name, {}))
    assert {path: at(values, path) for path in CONSTANTS[name]} == CONSTANTS[name]


@pytest.mark.parametrize(("name", "count"), [("MDL1", 27_195_538), ("MDLT", 27_195_538), ("MDL1-branch", 50_450_499)])
def test_parameter_counts(name: str, count: int) -> None:
    with torch.device("meta"):
        network = build_network(load_recipe(name, {}))
    assert sum(parameter.numel() for parameter in network.parameters()) == count


HEAVY = ("torch", "scipy", "numpy", "pandas", "matplotlib")


def test_reading_all_recipes_loads_neither_networks_nor_numerics() -> None:
    """In a process of its own, over what is really loaded."""
    code = f"""
import sys
from madsep.systems.recipe import load_recipe, parse_recipe, recipe_names
for name in recipe_names():
    recipe = load_recipe(name, {{}})
    parse_recipe(recipe.values(), name)
    recipe.trained_family.method_of(recipe.network), recipe.trained_family.losses, recipe.training_half()
    print(name, *(module for module in {HEAVY} + ("madsep.models", "madsep.front_end") if module in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == recipe_names()


VARIANTS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "variants.json").read_text())


def flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_what_the_fixture_says_and_nothing_else(name: str) -> None:
    """variants.json holds what each differed in when it was a recipe of its own."""
    changed = VARIANTS[name]
    below, values = (dict(flat(plain(load_recipe(of, {})))) for of in (name.rpartition("-")[0], name))
    replaced = {key for key in below if any(other.startswith(f"{key}.") for other in changed)}  # null, now a section
    assert values == {key: value for key, value in below.items() if key not in replaced} | changed


def test_every_variant_is_in_the_fixture() -> None:
    assert {*VARIANTS} == {name for name in recipe_names() if not (recipe.RECIPES / f"{name}.yaml").is_file()}
    made = variants(recipe.RECIPES / "overlays")
    assert {*made} == {*VARIANTS} and all({*variant.overlay.families} <= {*FAMILIES} for variant in made.values())


@pytest.mark.parametrize(
    ("overridden", "reached", "not_reached"),
    [
        ("MDL1", ["MDL1-16k", "MDL1-16k-aug", "MDL1-mir1k", "MDLT-mir1k", "GRU-RIS-l-mir1k"], ["DAE-mir1k"]),
        ("GRU-NRI", ["GRU-NRI-mir1k", "GRU-RIS-l-mir1k"], ["MDL1-mir1k"]),
        ("MDL1-16k", ["MDL1-16k-aug"], ["MDL1", "MDL1-mir1k"]),
        ("MDL1-mir1k", ["MDL1-mir1k", "MDLT-mir1k", "GRU-NRI-mir1k", "GRU-RIS-s-mir1k"], ["MDL1", "MDL1-16k", "DAE-mir1k"]),
        ("GRU-NRI-mir1k", ["GRU-RIS-s-mir1k"], ["MDL1-mir1k", "GRU-NRI"]),
        ("DAE-mir1k", ["SF-mir1k", "MSS-DAE-mir1k"], ["DAE", "MDL1-mir1k"]),
    ],
)
def test_an_override_reaches_the_variants_that_build_on_it(overridden: str, reached: list[str], not_reached: list[str]) -> None:
    overrides = {overridden: {"training": {"seed": 7}}}
    for name in (*reached, *not_reached):
        assert (load_recipe(name, overrides).training.seed == 7) == (name in reached), name


def test_the_nearest_override_wins_over_the_overlay_and_the_overlay_over_the_rest() -> None:
    def clip(**clips: float) -> float | None:
        overrides = {name.replace("_", "-"): {"target": {"clip": value}} for name, value in clips.items()}
        return load_recipe("GRU-NRI-mir1k", overrides).target.clip

    assert clip(MDL1=2.0, GRU_NRI=3.0) is None
    assert clip(MDL1=2.0, MDL1_mir1k=4.0) == 4.0
    assert clip(MDL1_mir1k=4.0, GRU_NRI_mir1k=5.0) == 5.0


@pytest.mark.parametrize("name", ["MDL1-16k", "MDL1-16k-aug"])
def test_the_front_end_at_16_khz_has_the_lengths_in_ms_of_the_one_at_44_khz(name: str) -> None:
    recipe, original = load_recipe(name, {}), load_recipe("MDL1", {}).front_end
    front_end, scale = recipe.front_end, 16_000 / 44_100
    assert front_end.sample_rate_hz == 16_000
    assert (front_end.window_length, front_end.hop_length) == (round(scale * original.window_length), round(scale * original.hop_length))
    assert front_end.window_length <= front_end.fft_length < 2 * front_end.window_length
    network = plain(recipe)["network"]
    assert (network["n_encoder_bins"], network["n_denoiser_hidden"]) == (front_end.n_bins, front_end.n_bins // 2)


DIFFERENT = [
    ("network", "n_encoder_bins"),
    ("network", "n_denoiser_hidden"),
    ("network", "realign_backward"),
    ("target", "clip"),
    ("target", "input_clip"),
]


@pytest.mark.parametrize("name", ["GRU-NRI", "GRU-RIS-l", "GRU-RIS-s", "MDL1", "MDLT"])
def test_recipes_for_mir1k_differ_from_those_for_musdb18_where_the_recipe_says_so_only(name: str) -> None:
    values, original = plain(load_recipe(f"{name}-mir1k", {})), plain(load_recipe(name, {}))
    for values_of_one in (values, original):
        for key in ("front_end", "training", "name", "short_name", "weights_from", "description"):
            del values_of_one[key]
        for section, key in DIFFERENT:
            del values_of_one[section][key]
    assert values == original


def test_mdl1_at_16_khz_differs_in_the_front_end_alone_and_then_in_the_augmentation_alone() -> None:
    plain_one, scaled, augmented = (plain(load_recipe(name, {})) for name in ("MDL1", "MDL1-16k", "MDL1-16k-aug"))
    assert {key for key in scaled if scaled[key] != plain_one[key]} == {"front_end", "network", "name", "short_name", "description"}
    assert scaled["training"] | {"augmentation": augmented["training"]["augmentation"]} == augmented["training"]
    assert {key for key in scaled if scaled[key] != augmented[key]} == {"training", "name", "short_name", "description"}


def test_augmentation_is_off_in_mdl1_as_submitted_and_on_in_what_is_compared() -> None:
    trained = {name: load_recipe(name, {}).training for name in (*NAMES, *NAMES_16K)}
    assert {name for name, training in trained.items() if training.augmentation} == {*NAMES_16K} - {"MDL1-16k"}
    assert all(trained[name] == trained["MDL1-mir1k"] for name in NAMES_16K if name.endswith("-mir1k"))
    mdl1, mdlt = load_recipe("MDL1-mir1k", {}), load_recipe("MDLT-mir1k", {})
    assert mdlt.weights_from == mdl1.name and mdlt.training_half() == mdl1.training_half()


def test_a_rate_follows_a_plateau_or_a_cosine_but_not_both() -> None:
    both = {"plateau": {"factor": 0.5, "patience": 1, "first_epoch": 1}, "final_learning_rate": 1e-6}
    with pytest.raises(InputError, match="both a plateau and a final_learning_rate"):
        load_recipe("MDL1", {"MDL1": {"training": both}})


def test_mdlt_is_trained_as_mdl1_and_separates_otherwise() -> None:
    mdl1, mdlt = load_recipe("MDL1", {}), load_recipe("MDLT", {})
    assert mdlt.training_half() == mdl1.training_half()
    assert plain(mdl1)["separation"] | {"latent_threshold": 0.2} == plain(mdlt)["separation"]


def test_the_training_half_leaves_out_what_needs_no_training() -> None:
    half = load_recipe("MDL1", {}).training_half()
    assert set(half) == {"family", "sources", "front_end", "segments", "network", "target", "loss", "training"}
    assert half["network"]["n_encoder_bins"] == 744 and half["loss"]["latent_l1"] == 2e-7  # of the family's own settings
    separation = {"MDL1": {"separation": {"griffin_lim_iterations": 5}, "description": {"title": "other"}, "short_name": "X"}}
    assert load_recipe("MDL1", separation).training_half() == half


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("front_end.hop_length", 512),
        ("segments.n_context", 5),
        ("network.n_denoiser_hidden", 7),
        ("network.recurrent_inference", {"max_iterations": 2, "tolerance": 0.5, "stop": "batch"}),
        ("target.clip", 2.0),
        ("loss.gate", None),
        ("training.n_epochs", 3),
    ],
)
def test_an_override_of_mdl1_reaches_mdlt(path: str, value: object) -> None:
    overrides = {"MDL1": nested(path, value)}
    changed = {name: plain(load_recipe(name, overrides)) for name in ("MDL1", "MDLT")}
    for name, values in changed.items():
        assert at(values, path) == value != at(plain(load_recipe(name, {})), path)
    assert load_recipe("MDLT", overrides).training_half() == load_recipe("MDL1", overrides).training_half()


def test_an_override_changes_nothing_else_and_nobody_else() -> None:
    overrides = {"GRU-NRI": {"training": {"n_epochs": 3}}}
    expected = plain(load_recipe("GRU-NRI", {}))
    expected["training"]["n_epochs"] = 3
    assert plain(load_recipe("GRU-NRI", overrides)) == expected
    assert load_recipe("MDL1", overrides) == load_recipe("MDL1", {})
    assert load_recipe("GRU-RIS-s", overrides).training.n_epochs == 3


@pytest.mark.parametrize("section", ["family", "front_end", "segments", "network", "target", "loss", "training"])
def test_what_decides_the_weights_of_mdlt_is_overridden_at_mdl1_only(section: str) -> None:
    with pytest.raises(InputError, match=rf"overrides\.MDLT: '{section}' decides the weights.* from MDL1; override MDL1"):
        load_recipe("MDLT", {"MDLT": {section: {}}})


def test_separation_of_mdlt_may_be_overridden() -> None:
    assert load_recipe("MDLT", {"MDLT": {"separation": {"latent_threshold": 0.3}}}).separation.latent_threshold == 0.3


AUGMENTATION = {"circular_shift": True, "other_accompaniments": False, "gain_db": 0.0, "speed": 0.0}


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("MDL2", {}, r"there is no recipe 'MDL2'; did you mean 'MDL"),
        ("GRU-RIS", {}, r"there is no recipe 'GRU-RIS'; did you mean 'GRU-RIS-.*known: CHA, DAE, .*GRU-RIS-l"),
        ("MDL1", {"MLD1": {}}, r"overrides: there is no recipe 'MLD1'; did you mean 'MDL1'"),
        ("MDL1", {"MDL1": {"trainign": {}}}, r"recipe MDL1: unknown key 'trainign'; did you mean 'training'"),
        ("MDL1", {"MDL1": {"training": {"epochs": 1}}}, r"unknown key 'training.epochs'; did you mean 'n_epochs'"),
        (
            "MDL1",
            {"MDL1": {"network": {"encoder_bins": 1}}},
            r"recipe MDL1: network: unknown key 'encoder_bins'; did you mean 'n_encoder_bins'",
        ),
        ("MDL1", {"MDL1": {"loss": {"gate": {"maskers": 1}}}}, r"unknown key 'gate.maskers'; did you mean 'masker'"),
        ("MDL1", {"MDL1": {"family": "madd"}}, r"unknown model family 'madd'; did you mean 'mad'"),
        ("MDL1", {"MDL1": {"training": {"n_epochs": 0}}}, r"'training.n_epochs' is 0: .*greater than or equal to 1"),
        ("MDL1", {"MDL1": {"network": {"decoder_width": 3}}}, r"network: 'decoder_width' is 3: .*less than or equal to 2"),
        ("MDL1", {"MDL1": {"loss": {"latent_l1": -1}}}, r"loss: 'latent_l1' is -1: .*greater than or equal to 0"),
        ("MDL1", {"MDL1": {"short_name": "TOOLONG"}}, r"'short_name' is 'TOOLONG'"),
        ("MDL1", {"MDL1": {"segments": {"n_context": 30}}}, r"n_frames is 60; expected more than 2 \* n_context \+ overlap = 60"),
        ("MDL1", {"MDL1": {"training": {"selection": "best"}}}, r"'best', which needs training.validation: true"),
        ("GRU-NRI", {"GRU-NRI": {"training": {"validation": False}}}, r"'best', which needs training.validation: true"),
        ("MDL1", {"MDL1": {"front_end": {"fft_length": 2048}}}, r"expected hop_length <= window_length <= fft_length"),
        ("MDL1", {"MDL1": {"front_end": {"hop_length": 2050}}}, r"expected hop_length <= window_length <= fft_length"),
        ("HEL1", {"HEL1": {"front_end": {"hop_length": 256}}}, r"front_end: with hops of 256, the hann window gives no weight to some"),
        ("MIM-HW", {"MIM-HW": {"front_end": {"hop_length": 2048}}}, r"the bartlett window .* expected a hop_length of at most 2047\."),
        ("MDL1", {"MDL1": {"sources": ["vocals", "background"]}}, r"sources are \[vocals, background\]; family mad expects \[vocals\]\."),
        ("GRA", {"GRA": {"sources": ["vocals"]}}, r"sources are \[vocals\]; family gra expects \[vocals, background\]\."),
        ("CHA", {"CHA": {"sources": ["vocals", "bass", "drums", "other"]}}, r"family cha expects \[vocals, drums, bass, other\]\."),
        ("HEL1", {"HEL1": {"sources": ["vocals"]}}, r"sources are \[vocals\]; family hel expects \[vocals, drums, bass, other\]\."),
        ("MIM-HW", {"MIM-HW": {"separation": {"channels": "mean"}}}, r"family highway has no masks; expected 'each'"),
        ("CHA", {"CHA": {"separation": {"framing": "legacy"}}}, r"'legacy' does not support segments.overlap; expected 'full', or overlap"),
        ("CHA", {"CHA": {"segments": {"overlap": 30}}}, r"n_frames is 30; expected more than 2 \* n_context \+ overlap = 30"),
        ("HEL1", {"HEL1": {"training": {"augmentation": AUGMENTATION}}}, r"augmentation mixes vocals and accompaniment; expected null, or"),
        ("CHA", {"CHA": {"training": {"augmentation": AUGMENTATION}}}, r"augmentation mixes vocals and accompaniment; expected null, or"),
        ("MDL1", {"MDL1": {"front_end": {"window": "kaiser"}}}, r"'front_end.window' is 'kaiser': .*'bartlett'"),
        ("MDL1", {"MDL1": {"training": {"optimiser": "sgd"}}}, r"'training.optimiser' is 'sgd': .*'adadelta'"),
    ],
)
def test_faults_name_what_was_expected(name: str, overrides: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(name, overrides)


@pytest.mark.parametrize(("name", "longest"), [("HEL1", 255), ("MIM-HW", 2047), ("MDL1", 2049)])
def test_the_longest_hop_that_covers_every_sample_is_accepted_and_the_next_refused(name: str, longest: int) -> None:
    """Of a periodic Hann, a symmetric Bartlett and a symmetric Hamming window."""
    assert load_recipe(name, {name: {"front_end": {"hop_length": longest}}}).front_end.hop_length == longest
    with pytest.raises(InputError, match=r"gives no weight|expected hop_length <= window_length"):
        load_recipe(name, {name: {"front_end": {"hop_length": longest + 1}}})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that stands for the folder of recipes."""
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    return tmp_path


def write(folder: Path, stem: str, **values: object) -> None:
    (folder / f"{stem}.yaml").write_text(yaml.safe_dump(values))


@pytest.mark.parametrize("bases", [{"A": "A"}, {"A": "B", "B": "A"}, {"A": "B", "B": "C", "C": "B"}])
def test_a_recipe_that_builds_on_itself_is_refused(folder: Path, bases: Mapping[str, str]) -> None:
    for name, base in bases.items():
        write(folder, name, name=name, base=base)
    with pytest.raises(InputError, match=r"builds on itself \(A -> "):
        load_recipe("A", {})


def test_a_recipe_on_an_unknown_one_is_refused(folder: Path) -> None:
    write(folder, "A", name="A", base="BB")
    write(folder, "BBB", name="BBB")
    with pytest.raises(InputError, match="A: there is no recipe 'BB'; did you mean 'BBB'"):
        load_recipe("A", {})


def write_mdl1(folder: Path) -> None:
    write(folder, "MDL1", **yaml.safe_load((Path(recipe.__file__).parent / "recipes/MDL1.yaml").read_text()))


def test_weights_from_another_recipe_bring_all_that_decided_them(folder: Path) -> None:
    """Also where the recipe that takes them builds on a third one and says otherwise."""
    write_mdl1(folder)
    write(folder, "Trained", base="MDL1", name="Trained", short_name="T", training={"seed": 5}, network={"n_denoiser_hidden": 7})
    write(folder, "Taker", base="MDL1", name="Taker", short_name="U", weights_from="Trained", loss={"gate": None})
    overrides = {"Trained": {"target": {"clip": 2.0}}}
    taker, trained = load_recipe("Taker", overrides), load_recipe("Trained", overrides)
    assert taker.training_half() == trained.training_half()
    assert (taker.training.seed, taker.target.clip, taker.short_name) == (5, 2.0, "U")


def test_a_recipe_says_only_what_differs_from_its_base(folder: Path) -> None:
    write_mdl1(folder)
    write(folder, "New", base="MDL1", name="New", short_name="NEW", training={"seed": 5}, loss={"gate": None})
    recipe = load_recipe("New", {})
    assert (recipe.name, recipe.short_name, recipe.training.seed, recipe.training.n_epochs) == ("New", "NEW", 5, 100)
    assert plain(recipe)["loss"]["gate"] is None


def test_voice_and_background_may_be_augmented() -> None:
    assert load_recipe("GRA", {"GRA": {"training": {"augmentation": AUGMENTATION}}}).training.augmentation is not None


@pytest.mark.parametrize(
    ("name", "n_sources", "estimated"),
    [("MDL1", 1, ("vocals",)), ("GRA", 2, ("vocals",)), ("CHA", 4, ("vocals", "drums", "bass", "other")), ("MIM-DWF", 1, ("vocals",))],
)
def test_what_is_estimated_follows_from_the_sources(name: str, n_sources: int, estimated: tuple[str, ...]) -> None:
    recipe = load_recipe(name, {})
    assert recipe.sizes.n_sources == n_sources and recipe.estimated == estimated


@pytest.mark.parametrize("name", [*NAMES, *NAMES_16K, *OTHERS])
def test_plain_values_are_read_back_as_the_same_recipe(name: str) -> None:
    recipe = load_recipe(name, {})
    again = parse_recipe(plain(recipe), "test")
    assert again == recipe and type(again.network) is type(recipe.network)


def test_an_overlay_makes_a_variant_of_each_recipe_that_it_names(folder: Path) -> None:
    write_mdl1(folder)
    (folder / "overlays").mkdir()
    everywhere = {"training": {"seed": 5, "n_epochs": 9}}
    families = {"mad": {"training": {"n_epochs": 8}}, "dae": {"training": {"seed": 1}}}
    write(folder / "overlays", "x", everywhere=everywhere, families=families, recipes={"MDL1": {"short_name": "X"}})
    assert recipe_names() == ["MDL1", "MDL1-x"]
    found = load_recipe("MDL1-x", {})
    assert (found.name, found.short_name, found.training.seed, found.training.n_epochs) == ("MDL1-x", "X", 5, 8)


@pytest.mark.parametrize(
    ("recipes", "message"),
    [({"MDL2": {}}, "MDL2-x: there is no recipe 'MDL2'"), ({"MDL1": {"loss": {"gates": 1}}}, "unknown key 'gates'")],
)
def test_a_faulty_overlay_is_refused(folder: Path, recipes: Mapping[str, Any], message: str) -> None:
    write_mdl1(folder)
    (folder / "overlays").mkdir()
    write(folder / "overlays", "x", everywhere={}, families={}, recipes=recipes)
    with pytest.raises(InputError, match=message):
        load_recipe(f"{next(iter(recipes))}-x", {})
    write(folder / "overlays", "x", everywhere={}, family={}, recipes=recipes)
    with pytest.raises(InputError, match="overlay x: key 'families' is missing\noverlay x: unknown key 'family'; did you mean 'families'"):
        load_recipe("MDL1", {})


def test_a_missing_section_is_named() -> None:
    values = plain(load_recipe("MDL1", {}))
    del values["segments"]
    with pytest.raises(InputError, match="here: key 'segments' is missing"):
        parse_recipe(values, "here")
