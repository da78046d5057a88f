"""The two skip-filtering networks: against PyTorch's own GRUs and plain loops, and the identities of the Wiener filter that joins them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from madsep.models import dwf
from madsep.models.checkpoint import build_network
from madsep.systems.families.dwf import DwfLossSettings, DwfSettings, Gates
from madsep.systems.recipe import load_recipe
from madsep.systems.sizes import Sizes

N_BINS, N_FRAMES, N_CONTEXT = 7, 8, 2
INNER = slice(N_CONTEXT, N_FRAMES - N_CONTEXT)
LOSS = DwfLossSettings(voice_energy=1e-4)


def network(gates: Gates = "sigmoid", wiener_exponent: float = 2.0) -> dwf.Dwf:
    settings = DwfSettings(gates=gates, transform_bias=1.0, wiener_exponent=wiener_exponent)
    built = dwf.Dwf(settings, Sizes(N_BINS, N_FRAMES, N_CONTEXT, 1))
    built.initialise(torch.Generator().manual_seed(1))
    return built


def magnitudes(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def gru_with_random_weights(n_inputs: int, n_hidden: int) -> nn.GRU:
    gru = nn.GRU(n_inputs, n_hidden, batch_first=True).double()
    generator = torch.Generator().manual_seed(2)
    for parameter in gru.parameters():
        nn.init.normal_(parameter, std=1.5, generator=generator)
    return gru


def looped(gru: nn.GRU, inputs: Tensor, gate: Callable[[float], float]) -> Tensor:
    """States of a GRU, number by number, from its equations (Cho et al., 2014, with the reset gate after the recurrent product)."""
    weight_ih, weight_hh, bias_ih, bias_hh = (parameter.detach().double().numpy() for parameter in gru.parameters())
    n_hidden = weight_hh.shape[1]
    states = np.zeros((*inputs.shape[:2], n_hidden))
    for sequence in range(inputs.shape[0]):
        state = np.zeros(n_hidden)
        for frame in range(inputs.shape[1]):
            of_inputs = weight_ih @ inputs[sequence, frame].double().numpy() + bias_ih
            of_state = weight_hh @ state + bias_hh
            new_state = state.copy()
            for unit in range(n_hidden):
                reset = gate(of_inputs[unit] + of_state[unit])
                update = gate(of_inputs[n_hidden + unit] + of_state[n_hidden + unit])
                new = math.tanh(of_inputs[2 * n_hidden + unit] + reset * of_state[2 * n_hidden + unit])
                new_state[unit] = update * state[unit] + (1 - update) * new
            states[sequence, frame] = state = new_state
    return torch.from_numpy(states)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def hard_sigmoid(x: float) -> float:
    if x <= -2.5:
        return 0.0
    return 1.0 if x >= 2.5 else x / 5 + 0.5


def test_the_loop_of_this_test_is_pytorchs_gru() -> None:
    gru, inputs = gru_with_random_weights(3, 4), torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(3)).double()
    torch.testing.assert_close(looped(gru, inputs, sigmoid), gru(inputs)[0])


def test_hard_sigmoid_states_are_those_of_the_loop() -> None:
    gru, inputs = gru_with_random_weights(3, 4), torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(3)).double()
    seen: list[float] = []

    def recorded(x: float) -> float:
        seen.append(hard_sigmoid(x))
        return seen[-1]

    expected = looped(gru, inputs, recorded)
    assert min(seen) == 0 and max(seen) == 1 and any(0 < value < 1 for value in seen)
    torch.testing.assert_close(dwf.hard_sigmoid_states(gru, inputs), expected)
    assert not torch.allclose(expected, gru(inputs)[0], atol=1e-2)


@pytest.mark.parametrize(("gates", "gate"), [("sigmoid", sigmoid), ("hard_sigmoid", hard_sigmoid)])
def test_each_network_is_its_description(gates: Gates, gate: Callable[[float], float]) -> None:
    built, mixture = network(gates).double(), magnitudes(4, 2, N_FRAMES, N_BINS).double()
    output = built(mixture)
    for net, found in ((built.voice, output.voice), (built.accompaniment, output.accompaniment)):
        forward = mixture + looped(net.enc_forward, mixture, gate)
        backward = mixture.flip(1) + looped(net.enc_backward, mixture.flip(1), gate)  # not brought back into time order
        mask = looped(net.dec, torch.cat((forward, backward), -1), gate).abs()
        masked = mask[:, INNER] * mixture[:, INNER]
        transform = torch.sigmoid(masked @ net.highway.gate.weight.T + net.highway.gate.bias)
        refined = torch.relu(masked @ net.highway.plain.weight.T + net.highway.plain.bias) * transform + masked * (1 - transform)
        torch.testing.assert_close(found.masked, masked)
        torch.testing.assert_close(found.refined, refined)
        assert (mask <= 1).all() and (found.refined >= 0).all()
    torch.testing.assert_close(output.mixture, mixture[:, INNER])


def test_the_two_networks_begin_differently() -> None:
    built = network()
    assert not torch.equal(built.voice.dec.weight_ih_l0, built.accompaniment.dec.weight_ih_l0)


def test_the_recipe_is_the_published_network() -> None:
    """Count by hand, N = 1025, PyTorch's two biases a gate.

    Encoder: 2 GRUs of 3 * (N * N + N * N) + 2 * 3 * N = 6,309,900 each. Decoder: 3 * (N * 2 N + N * N) + 2 * 3 * N = 9,461,775.
    Highway: 2 * (N * N + N) = 2,103,300. In all 24,184,875 a network.
    """
    recipe = load_recipe("MIM-DWF", {})
    with torch.device("meta"):
        built = build_network(recipe)
        output = built(torch.rand(2, 18, 1025))
        estimate = built.estimate(torch.rand(2, 18, 1025), recipe.separation)
    for net in (built.voice, built.accompaniment):
        assert sum(parameter.numel() for parameter in net.enc_forward.parameters()) == 6_309_900
        assert sum(parameter.numel() for parameter in net.dec.parameters()) == 9_461_775
        assert sum(parameter.numel() for parameter in net.highway.parameters()) == 2_103_300
        assert sum(parameter.numel() for parameter in net.parameters()) == 24_184_875
        assert net.dec.weight_ih_l0.shape == (3 * 1025, 2050) and net.dec.weight_hh_l0.shape == (3 * 1025, 1025)
    assert sum(parameter.numel() for parameter in built.parameters()) == 48_369_750
    assert output.voice.refined.shape == output.accompaniment.masked.shape == (2, 12, 1025)
    assert estimate.shape == (2, 1, 12, 1025)


@pytest.mark.parametrize("n", [1, 7, 20])
def test_parameters_are_those_of_the_layers(n: int) -> None:
    """GRUs have three gates, each with a matrix for its input, one for its state, and two biases; the highway layer has two matrices."""
    built = dwf.Dwf(DwfSettings(gates="sigmoid", transform_bias=1.0, wiener_exponent=2.0), Sizes(n, N_FRAMES, N_CONTEXT, 1))
    encoder, decoder, highway = 2 * 3 * (n * n + n * n + 2 * n), 3 * (2 * n * n + n * n + 2 * n), 2 * (n * n + n)
    assert sum(parameter.numel() for parameter in built.parameters()) == 2 * (encoder + decoder + highway)


def test_the_recipe_with_additional_tracks_differs_in_nothing_else() -> None:
    plain, extra = (load_recipe(name, {}) for name in ("MIM-DWF", "MIM-DWF+"))
    assert not plain.training.extra_tracks and not plain.description.additional_training_data
    assert extra.training.extra_tracks and extra.description.additional_training_data
    assert extra.training.model_copy(update={"extra_tracks": False}) == plain.training
    for section in ("family", "sources", "front_end", "segments", "network", "target", "loss", "separation"):
        assert getattr(extra, section) == getattr(plain, section)


def test_masks_sum_to_one_and_estimates_to_the_mixture() -> None:
    voice, accompaniment, mixture = (10 ** (8 * magnitudes(seed, 50, 40).double() - 6) for seed in (5, 6, 7))
    for exponent in (0.7, 1.0, 2.0):
        of_voice, of_accompaniment = dwf.wiener_masks(voice, accompaniment, exponent)
        assert_allclose(of_voice + of_accompaniment, 1, rtol=1e-12)
        assert_allclose(of_voice * mixture + of_accompaniment * mixture, mixture, rtol=1e-12)
        assert (of_voice >= 0).all() and (of_accompaniment >= 0).all()


def test_masks_of_known_magnitudes() -> None:
    voice, accompaniment = torch.tensor([3.0, 1.0, 0.0, 2.0, 0.0]), torch.tensor([1.0, 3.0, 2.0, 0.0, 0.0])
    assert_allclose(dwf.wiener_masks(voice, accompaniment, 2.0)[0], [0.9, 0.1, 0, 1, 1], atol=1e-6)  # both silent: the voice's
    assert_allclose(dwf.wiener_masks(voice, accompaniment, 1.0)[1], [0.25, 0.75, 1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_the_estimate_is_the_wiener_filter_of_both_networks(exponent: float) -> None:
    """With the networks exchanged it is the accompaniment's, and both add up to the mixture."""
    built, mixture = network(wiener_exponent=exponent).double(), magnitudes(4, 3, N_FRAMES, N_BINS).double() + 0.1
    separation = load_recipe("MIM-DWF", {}).separation
    voice = built.estimate(mixture, separation)
    output = built(mixture)
    s, a = output.voice.refined**exponent, output.accompaniment.refined**exponent
    torch.testing.assert_close(voice[:, 0], s / (s + a) * mixture[:, INNER])
    built.voice, built.accompaniment = built.accompaniment, built.voice
    torch.testing.assert_close(voice + built.estimate(mixture, separation), mixture[:, None, INNER])
    assert (voice >= 0).all() and (voice[:, 0] <= mixture[:, INNER]).all()


def test_a_silent_mixture_gives_silence() -> None:
    estimate = network().estimate(torch.zeros(1, N_FRAMES, N_BINS), load_recipe("MIM-DWF", {}).separation)
    assert (estimate == 0).all()


def divergence(target: Tensor, estimate: Tensor) -> float:
    """As the published code writes it: 1e-6 is added to both before anything else."""
    y, given = target.double().numpy() + 1e-6, estimate.detach().double().numpy() + 1e-6
    return float((y * (np.log(y) - np.log(given)) + (given - y)).sum(-1).mean())


def test_terms_and_objective_are_what_they_say() -> None:
    built, mixture, voice = network(), magnitudes(4, 3, N_FRAMES, N_BINS), magnitudes(5, 3, N_FRAMES - 2 * N_CONTEXT, N_BINS)
    output = built(mixture)
    accompaniment = (mixture[:, INNER] - voice).abs()
    assert (voice > mixture[:, INNER]).any()
    terms = dwf.Dwf.terms(output, voice[:, None], LOSS)
    assert_allclose(terms.kl_voice.item(), divergence(voice, output.voice.refined), rtol=1e-5)
    assert_allclose(terms.kl_voice_masked.item(), divergence(voice, output.voice.masked), rtol=1e-5)
    assert_allclose(terms.kl_accompaniment.item(), divergence(accompaniment, output.accompaniment.refined), rtol=1e-5)
    assert_allclose(terms.kl_accompaniment_masked.item(), divergence(accompaniment, output.accompaniment.masked), rtol=1e-5)
    assert_allclose(terms.kl.item(), terms.kl_voice.item() + terms.kl_accompaniment.item(), rtol=1e-6)
    energies = [float((sequence**2).sum()) for sequence in output.voice.refined.detach().double().numpy()]
    assert_allclose(terms.voice_energy.item(), 16 * sum(energies) / 3, rtol=1e-5)
    loss = built.objective(terms, DwfLossSettings(voice_energy=0.5))
    divergences = terms.kl_voice + terms.kl_voice_masked + terms.kl_accompaniment + terms.kl_accompaniment_masked
    torch.testing.assert_close(loss.total, divergences + 0.5 * terms.voice_energy)
    assert all(getattr(loss, name) is getattr(terms, name) for name in loss._fields[1:])


def test_targets_of_bins_next_to_silence_are_those_of_the_published_code() -> None:
    """X (V + 1e-7) / (X + 1e-7) and X |1 - (V + 1e-7) / (X + 1e-7)|, which are V and |X - V| where X is large."""
    x, v = np.array([0.0, 1e-7, 1e-7, 3e-7, 1e-6, 1.0]), np.array([1e-7, 0.0, 3e-7, 3e-7, 4e-7, 0.25])
    ratio = (v + 1e-7) / (x + 1e-7)
    mixture, voice = (torch.from_numpy(values)[None, None] for values in (x, v))
    estimate = dwf.DwfEstimate(torch.full_like(mixture, 2e-7), torch.full_like(mixture, 5e-7))
    terms = dwf.Dwf.terms(dwf.DwfOutput(mixture, estimate, estimate), voice[:, None], LOSS)
    for kl, target in ((terms.kl_voice, x * ratio), (terms.kl_accompaniment, x * np.abs(1 - ratio))):
        assert_allclose(kl.item(), divergence(torch.from_numpy(target)[None, None], estimate.refined), rtol=1e-9)
        assert abs(kl.item() - divergence(voice if kl is terms.kl_voice else (mixture - voice).abs(), estimate.refined)) > 1e-8


def test_terms_are_means_over_the_sequences() -> None:
    built, mixture, target = network(), magnitudes(4, 4, N_FRAMES, N_BINS), magnitudes(5, 4, 1, N_FRAMES - 2 * N_CONTEXT, N_BINS)
    whole = torch.stack(dwf.Dwf.terms(built(mixture), target, LOSS))
    halves = [torch.stack(dwf.Dwf.terms(built(mixture[part]), target[part], LOSS)) for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(whole, (halves[0] + halves[1]) / 2)


def test_the_energy_is_the_sum_over_a_batch_of_16() -> None:
    """Keras 1.2.2: K.sum(l2 * K.square(x)) over the whole output of the time-distributed layer."""
    refined = magnitudes(6, 16, 4, N_BINS)
    estimate = dwf.DwfEstimate(refined, refined)
    terms = dwf.Dwf.terms(dwf.DwfOutput(torch.ones_like(refined), estimate, estimate), refined[:, None], LOSS)
    torch.testing.assert_close(terms.voice_energy, refined.square().sum())


def test_each_network_learns_from_its_own_source_alone() -> None:
    built, mixture, target = network(), magnitudes(4, 3, N_FRAMES, N_BINS), magnitudes(5, 3, 1, N_FRAMES - 2 * N_CONTEXT, N_BINS)
    terms = dwf.Dwf.terms(built(mixture), target, LOSS)
    (terms.kl_voice + terms.kl_voice_masked + terms.voice_energy).backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in built.accompaniment.parameters())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in built.voice.parameters())
    built.zero_grad()
    (terms.kl_accompaniment + terms.kl_accompaniment_masked).backward()
    assert all(parameter.grad is None for parameter in built.voice.parameters())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in built.accompaniment.parameters())


def test_initial_weights_are_those_of_keras_1_2_2() -> None:
    """Its layers draw from N(0, 2 / (rows + columns)), orthogonal matrices times 1.1, and uniformly within sqrt(6 / (rows + columns)).

    consume_less='gpu' makes one matrix (inputs, 3 * units) of all gates, 'mem' one a gate, whose recurrent one is drawn as the others.
    """
    n = 60
    net = dwf.SkipFilter(DwfSettings(gates="sigmoid", transform_bias=1.0, wiener_exponent=2.0), Sizes(n, 5, 1, 1))
    net.initialise(torch.Generator().manual_seed(1))
    for gru, n_inputs in ((net.enc_forward, n), (net.dec, 2 * n)):
        stacked = gru.weight_hh_l0.detach()
        torch.testing.assert_close(stacked.T @ stacked, 1.21 * torch.eye(n), atol=1e-5, rtol=0)
        assert_allclose(gru.weight_ih_l0.std().item(), (2 / (n_inputs + 3 * n)) ** 0.5, rtol=0.03)
    for matrices in (net.enc_backward.weight_ih_l0, net.enc_backward.weight_hh_l0):
        gates = matrices.detach().chunk(3)
        assert all(gate.std().item() == pytest.approx((2 / (n + n)) ** 0.5, rel=0.04) for gate in gates)
        assert not torch.allclose(gates[0].T @ gates[0], gates[0].T.square().sum() / n * torch.eye(n), atol=0.1)
    for layer in (net.highway.plain, net.highway.gate):
        limit = (6 / (n + n)) ** 0.5
        assert 0.98 * limit < layer.weight.abs().max() <= limit
        assert_allclose(layer.weight.std().item(), limit / 3**0.5, rtol=0.03)
    biases = {name: parameter for name, parameter in net.named_parameters() if "bias" in name}
    assert (biases.pop("highway.gate.bias") == 1).all()
    assert len(biases) == 7 and all((bias == 0).all() for bias in biases.values())


def test_the_recipes_gate_begins_open() -> None:
    """Keras 1.2.2 drops the argument transform_bias and sets the bias to 1, so that a silent frame has a gate of 1 / (1 + 1 / e)."""
    built = build_network(load_recipe("MIM-DWF", {"MIM-DWF": {"front_end": {"window_length": 16, "fft_length": 16, "hop_length": 8}}}))
    built.initialise(torch.Generator().manual_seed(1))
    torch.testing.assert_close(torch.sigmoid(built.voice.highway.gate(torch.zeros(1, 9))), torch.full((1, 9), 0.7310586))


@pytest.mark.parametrize("gates", ["sigmoid", "hard_sigmoid"])
def test_under_bfloat16_products_the_outputs_stay_single_precision(gates: Gates) -> None:
    built, mixture = network(gates), magnitudes(4, 3, N_FRAMES, N_BINS)
    exact = built(mixture)
    with torch.autocast("cpu", torch.bfloat16):
        low = built(mixture)
    for found, expected in ((low.voice, exact.voice), (low.accompaniment, exact.accompaniment)):
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == torch.float32 and not torch.equal(one, other)
            assert (one - other).norm() <= 0.02 * other.norm()


@pytest.mark.parametrize("gates", ["sigmoid", "hard_sigmoid"])
def test_steps_of_adam_lower_the_objective(gates: Gates) -> None:
    built, mixture = network(gates), magnitudes(4, 8, N_FRAMES, N_BINS)
    target = (mixture[:, INNER] * torch.linspace(0.1, 0.9, N_BINS))[:, None]
    optimiser = torch.optim.Adam(built.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = built.objective(dwf.Dwf.terms(built(mixture), target, LOSS), LOSS)
        loss.total.backward()
        optimiser.step()
        losses.append(loss.total.item())
    assert losses[-1] < 0.5 * losses[0]
