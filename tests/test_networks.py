"""What every family says of itself without its network, against what its network does."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch

from madsep.core.errors import InputError
from madsep.models import NETWORKS
from madsep.models.network import Network
from madsep.systems.families import FAMILIES
from madsep.systems.recipe import load_recipe
from madsep.systems.sizes import Sizes

N_BINS, N_FRAMES = 7, 6
SEPARATION = load_recipe("MDL1", {}).separation
RECIPES = {"mad": "MDL1", "dwf": "MIM-DWF", "highway": "MIM-HW", "gra": "GRA", "cha": "CHA", "hel": "HEL1", "dae": "DAE"}
NETWORK: dict[str, Mapping[str, Any]] = {
    "mad": {
        "n_encoder_bins": 3,
        "n_denoiser_hidden": 4,
        "encoder_residual": "output",
        "realign_backward": False,
        "decoder_residual": "none",
        "decoder_width": 2,
        "recurrent_inference": None,
    },
    "dwf": {"gates": "sigmoid", "transform_bias": -2.0, "wiener_exponent": 2.0},
    "highway": {"n_layers": 2, "transform_bias": -2.0},
    "gra": {"members": ["binary", "discriminative"], "n_hidden": 4, "n_hidden_layers": 1, "estimate_gain": 1.0},
    "cha": {
        "n_vertical_filters": 2,
        "n_horizontal_filters": 3,
        "n_horizontal_frames": 4,
        "n_hidden": 5,
        "mask_floor": 5e-9,
        "legacy_bug": False,
    },
    "hel": {"n_layers": 2, "n_hidden": 4},
    "dae": {"n_encoder_layers": 1, "skip_filter": False},
}
# values to combine, among them some that do not fit each other
INFERENCE = {"max_iterations": 1, "tolerance": 0.0, "stop": "sequence"}
VARIED: dict[str, Mapping[str, list[Any]]] = {
    "mad": {
        "n_encoder_bins": [3, N_BINS, N_BINS + 1],
        "encoder_residual": ["output", "recurrent"],
        "decoder_residual": ["none", "enc_recurrent", "mix_output"],
        "decoder_width": [1, 2],
        "recurrent_inference": [None, INFERENCE],
    },
    "cha": {"n_horizontal_frames": [1, N_FRAMES - 1, N_FRAMES, N_FRAMES + 1]},
    "dae": {"skip_filter": [False, True]},
}


def sizes_of(name: str, n_context: int = 0) -> Sizes:
    return Sizes(N_BINS, N_FRAMES, n_context, len(FAMILIES[name].sources))


def combinations(name: str) -> Iterator[tuple[Any, Sizes]]:
    """Settings of the network and sizes, whether they fit or not."""
    varied, kind = VARIED.get(name, {}), FAMILIES[name].network_settings
    for values, n_context in itertools.product(itertools.product(*varied.values()), (0, 1)):
        yield kind.parse({**NETWORK[name], **dict(zip(varied, values, strict=True))}, "test"), sizes_of(name, n_context)


def built(name: str, settings: Any = None, sizes: Sizes | None = None) -> Network:
    settings = FAMILIES[name].network_settings.parse(NETWORK[name], "test") if settings is None else settings
    network = NETWORKS[name](settings, sizes or sizes_of(name))
    network.initialise(torch.Generator().manual_seed(1))
    return network


def magnitudes(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) + 0.1


def works(name: str, settings: Any, sizes: Sizes) -> bool:
    """Whether a network computes its estimates and its objective in the shapes that recipes with these sizes need."""
    n_inner = sizes.n_frames - 2 * sizes.n_context
    try:
        network, mixture = built(name, settings, sizes), magnitudes(3, sizes.n_frames, sizes.n_bins)
        loss = load_recipe(RECIPES[name], {}).loss
        terms = network.terms(network(mixture), magnitudes(3, sizes.n_sources, n_inner, sizes.n_bins), loss)
        network.objective(terms, loss).total.backward()
        n_estimates = sizes.n_sources if sizes.n_sources == 4 else 1
        return network.estimate(mixture, SEPARATION).shape == (3, n_estimates, n_inner, sizes.n_bins)
    except (InputError, RuntimeError, ValueError):
        return False


def passes(name: str, settings: Any, sizes: Sizes) -> bool:
    try:
        FAMILIES[name].check(settings, sizes)
    except InputError:
        return False
    return True


def test_the_two_registries_name_the_same_families() -> None:
    assert {*FAMILIES} == {*NETWORKS} == {*RECIPES} == {*NETWORK}
    for name, family in FAMILIES.items():
        assert family.name == name and type(NETWORKS[name].family) is type(family)
        assert load_recipe(RECIPES[name], {}).trained_family is family


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_pass_the_check_if_and_only_if_a_network_of_them_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(combinations(name))
    passed = [passes(name, *case) for case in cases]
    monkeypatch.setattr(type(FAMILIES[name]), "check", lambda *_: None)
    for case, found in zip(cases, passed, strict=True):
        assert works(name, *case) == found, case
    assert any(passed) and all(passed) == (name in ("dwf", "hel"))  # of which every size works


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_is_not_built_of_sizes_that_do_not_pass(name: str) -> None:
    settings = FAMILIES[name].network_settings.parse(NETWORK[name], "test")
    with pytest.raises(InputError, match=rf"the recipe trains with 3 sources; family {name} expects \d \(vocals"):
        NETWORKS[name](settings, Sizes(N_BINS, N_FRAMES, 0, 3))


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_are_named_as_the_network_gives_them(name: str) -> None:
    network, recipe = built(name), load_recipe(RECIPES[name], {})
    targets = magnitudes(3, len(recipe.sources), N_FRAMES, N_BINS)
    terms = network.terms(network(magnitudes(3, N_FRAMES, N_BINS)), targets, recipe.loss)
    loss = network.objective(terms, recipe.loss)
    assert FAMILIES[name].losses == ("loss", *loss._fields[1:]) and loss._fields[0] == "total"
    assert all(value.shape == () for value in (*terms, *loss))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_family_says_of_its_network_is_true(name: str) -> None:
    family, network, mixture = FAMILIES[name], built(name), magnitudes(3, N_FRAMES, N_BINS)
    parts = network.clipped_alone
    assert (parts != (network,)) == family.clips_parts
    assert sum(1 for part in parts for _ in part.parameters()) == len(list(network.parameters()))
    if family.has_stack:
        assert network.stack(mixture).inputs.shape == (3 * N_FRAMES, N_BINS)
    else:
        with pytest.raises(TypeError, match=f"family {name} has no dense layers on single frames"):
            network.stack(mixture)
    if family.standardises:
        network.standardise(torch.zeros(N_BINS), torch.ones(N_BINS))
    else:
        with pytest.raises(TypeError, match=f"family {name} does not standardise"):
            network.standardise(torch.zeros(N_BINS), torch.ones(N_BINS))


@pytest.mark.parametrize("name", FAMILIES)
def test_masks_give_nothing_where_the_mixture_is_silent(name: str) -> None:
    network, silent = built(name), []
    for number in range(N_BINS):
        mixture = magnitudes(3, N_FRAMES, N_BINS)
        mixture[:, :, number] = 0
        silent.append(network.estimate(mixture, SEPARATION)[..., number])
    assert torch.stack(silent).any().item() != FAMILIES[name].masks


@pytest.mark.parametrize("name", FAMILIES)
def test_a_recipe_without_dense_layers_on_single_frames_is_refused_where_they_are_needed(name: str) -> None:
    recipe = load_recipe(RECIPES[name], {})
    if FAMILIES[name].has_stack:
        recipe.check_stack("here")
        return
    expected = f"here: its family {name} has no dense layers on single frames; expected one of mad, dae, or layers by their names."
    with pytest.raises(InputError, match=expected):
        recipe.check_stack("here")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_latent_threshold_applies_to_h_dec_alone(name: str) -> None:
    network = built(name)
    output = network(magnitudes(3, N_FRAMES, N_BINS))
    assert network.latent(output) is (output.h_dec if name == "mad" else None)


@pytest.mark.parametrize("name", FAMILIES)
def test_sequences_do_not_depend_on_each_other(name: str) -> None:
    network, mixture = built(name), magnitudes(3, N_FRAMES, N_BINS)
    assert network.sequences_independent
    alone = torch.cat([network.estimate(sequence[None], SEPARATION) for sequence in mixture])
    torch.testing.assert_close(network.estimate(mixture, SEPARATION), alone)
