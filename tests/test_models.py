"""The Masker-and-Denoiser against the authors' published implementations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import ArrayLike, NDArray
from reference import load_reference

from madsep.core.errors import InputError
from madsep.models import mad
from madsep.models.losses import generalised_kl
from madsep.systems.families.mad import MadLossSettings, MadSettings, RecurrentInference
from madsep.systems.sizes import Sizes

VECTORS = ["mad_icassp2018_code.npz", "mad_nmr_eval_code.npz"]


def close(actual: torch.Tensor, expected: ArrayLike) -> None:
    """Within 1e-5 of the largest value, and of each value that is not near zero."""
    expected = np.asarray(expected)
    assert_allclose(actual.detach().numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", VECTORS)
def test_network_gives_the_published_codes_numbers(shared: Path, name: str) -> None:
    path = shared / "data/reference" / name
    vectors = np.load(path)
    output = load_reference(path)(torch.from_numpy(vectors["x"]))
    for field in ("h_enc", "h_dec", "mask", "masked", "denoised"):
        close(getattr(output, field), vectors[field])
    target = torch.from_numpy(vectors["target"])
    close(generalised_kl(target, output.denoised), vectors["kl_denoised"])
    close(generalised_kl(target, output.masked), vectors["kl_masked"])
    close(output.h_dec.abs().sum(), vectors["h_dec_l1"])


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize(("key", "iterations", "tolerance"), [("ris_s", 3, 1e-2), ("ris_l", 10, 1e-3)])
def test_recurrent_inference_gives_the_published_codes_numbers(
    shared: Path, name: str, key: str, iterations: int, tolerance: float
) -> None:
    path = shared / "data/reference" / name
    vectors = np.load(path)
    network = load_reference(path)
    inference = RecurrentInference(max_iterations=iterations, tolerance=tolerance, stop="batch")
    network.settings = network.settings.model_copy(update={"recurrent_inference": inference})
    output = network(torch.from_numpy(vectors["x"]))
    close(output.h_dec, vectors[f"{key}/h_dec"])
    close(output.denoised, vectors[f"{key}/denoised"])


def settings(**changes: object) -> MadSettings:
    values = {
        "n_encoder_bins": 6,
        "n_denoiser_hidden": 8,
        "encoder_residual": "output",
        "realign_backward": False,
        "decoder_residual": "none",
        "decoder_width": 2,
        "recurrent_inference": None,
    }
    return MadSettings.parse(values | changes, "test")


def network(n_bins: int = 17, n_context: int = 2, **changes: object) -> mad.Mad:
    built = mad.Mad(settings(**changes), Sizes(n_bins, 12, n_context, 1))
    built.initialise(torch.Generator().manual_seed(1))
    return built


@pytest.mark.parametrize(("n_low", "n_hidden", "count"), [(744, 1024, 27_195_538), (1025, 2049, 50_450_499)])
def test_parameter_counts_of_the_two_candidate_recipes(n_low: int, n_hidden: int, count: int) -> None:
    with torch.device("meta"):
        built = mad.Mad(settings(n_encoder_bins=n_low, n_denoiser_hidden=n_hidden), Sizes(2049, 60, 10, 1))
    assert sum(p.numel() for p in built.parameters()) == count


@pytest.mark.parametrize(("f", "n", "n_hidden", "width"), [(3, 5, 2, 2), (3, 5, 2, 1), (6, 17, 8, 2), (320, 513, 256, 2)])
def test_parameters_are_those_of_the_layers(f: int, n: int, n_hidden: int, width: int) -> None:
    """A GRU has three gates, each with a matrix for its input, one for its state, and two biases."""
    with torch.device("meta"):
        built = mad.Mad(settings(n_encoder_bins=f, n_denoiser_hidden=n_hidden, decoder_width=width), Sizes(n, 12, 2, 1))
    latent = width * f
    encoder, decoder = 2 * 3 * (f * f + f * f + 2 * f), 3 * (2 * f * latent + latent * latent + 2 * latent)
    mask, denoiser = latent * n + n, n * n_hidden + n_hidden + n_hidden * n + n
    assert sum(p.numel() for p in built.parameters()) == encoder + decoder + mask + denoiser


def test_fused_and_stepwise_gru_agree_without_a_residual() -> None:
    """The step loop minus its residual is PyTorch's own GRU: run both on inputs for which the residual is zero."""
    gru = torch.nn.GRU(3, 3, batch_first=True)
    zeros = torch.zeros(2, 7, 3)
    torch.testing.assert_close(mad.recurrent_residual(gru, zeros), gru(zeros)[0])


@pytest.mark.parametrize(("tolerance", "passes"), [(0.0, 11), (1e30, 2)])
@pytest.mark.parametrize("stop", ["batch", "sequence"])
def test_recurrent_inference_runs_2_to_11_passes(tolerance: float, passes: int, stop: str) -> None:
    built = network(recurrent_inference={"max_iterations": 10, "tolerance": tolerance, "stop": stop})
    calls = []
    built.dec.register_forward_hook(lambda *_: calls.append(1))
    built(torch.rand(3, 12, 17))
    assert len(calls) == passes


def test_recurrent_inference_per_sequence_does_not_depend_on_the_batch() -> None:
    built = network(recurrent_inference={"max_iterations": 10, "tolerance": 1e-4, "stop": "sequence"}).double()
    mixture = torch.rand(5, 12, 17, dtype=torch.float64) * torch.logspace(-1, 1, 5, dtype=torch.float64)[:, None, None]
    alone = torch.cat([built(sequence[None]).denoised for sequence in mixture])
    torch.testing.assert_close(built(mixture).denoised, alone)


@pytest.mark.parametrize("n_context", [0, 2])
def test_realigned_backward_half_is_the_other_one_flipped(n_context: int) -> None:
    mixture = torch.rand(2, 12, 17)
    plain, realigned = network(n_context=n_context), network(n_context=n_context, realign_backward=True)
    realigned.load_state_dict(plain.state_dict())
    torch.testing.assert_close(realigned(mixture).h_enc[..., 6:], plain(mixture).h_enc[..., 6:].flip(1))


@pytest.mark.parametrize("residual", ["output", "recurrent"])
def test_the_encoder_without_context_gives_the_inner_frames_of_the_whole(residual: str) -> None:
    mixture = torch.rand(2, 12, 17)
    whole, inner = network(n_context=0, encoder_residual=residual), network(n_context=3, encoder_residual=residual)
    inner.load_state_dict(whole.state_dict())
    torch.testing.assert_close(inner(mixture).h_enc, whole(mixture).h_enc[:, 3:-3])


def test_mixture_is_added_to_the_decoders_output() -> None:
    mixture = torch.rand(2, 12, 17)
    plain, added = network(), network(decoder_residual="mix_output")
    added.load_state_dict(plain.state_dict())
    torch.testing.assert_close(added(mixture).h_dec, plain(mixture).h_dec + mixture[:, 2:-2, :12])


def test_narrow_decoder_has_one_f() -> None:
    assert network(decoder_width=1)(torch.rand(1, 12, 17)).h_dec.shape == (1, 8, 6)


def test_a_narrow_decoder_cannot_read_its_own_output() -> None:
    with pytest.raises(InputError, match=r"expected decoder_width 2, or recurrent_inference null\."):
        network(decoder_width=1, recurrent_inference={"max_iterations": 3, "tolerance": 1e-2, "stop": "sequence"})


def test_latent_threshold_zeroes_small_entries_only() -> None:
    built, mixture = network(), torch.rand(2, 12, 17)
    plain, thresholded = built(mixture).h_dec, built(mixture, latent_threshold=0.2).h_dec
    assert (plain.abs() <= 0.2).any() and (plain.abs() > 0.2).any()
    torch.testing.assert_close(thresholded, plain * (plain.abs() > 0.2))


def loss_settings(**changes: object) -> MadLossSettings:
    values = {
        "gate": None,
        "latent_l1": 0.0,
        "mask_l1": 0.0,
        "mask_diagonal_l1": 0.0,
        "mask_diagonal_detached": False,
        "decoder_l2": 0.0,
    }
    return MadLossSettings.parse(values | changes, "test")


def losses(built: mad.Mad, batch: int = 3, **changes: object) -> mad.MadLoss:
    generator = torch.Generator().manual_seed(2)
    mixture = torch.rand(batch, 12, 17, generator=generator)
    settings = loss_settings(**changes)
    terms = mad.Mad.terms(built(mixture), torch.rand(batch, 1, 8, 17, generator=generator), settings)
    return built.objective(terms, settings)


def test_penalties_are_the_norms_they_say() -> None:
    built = network()
    plain = losses(built).total
    w_mask, w_dec = built.mask.weight.detach(), built.denoiser_dec.weight.detach()
    for key, norm in (
        ("mask_l1", w_mask.abs().sum()),
        ("mask_diagonal_l1", torch.stack([w_mask[i, i].abs() for i in range(12)]).sum()),
        ("decoder_l2", (w_dec**2).sum()),
        ("latent_l1", losses(built).latent),
    ):
        torch.testing.assert_close(losses(built, **{key: 0.5}).total, plain + 0.5 * norm)


NORMS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "l1": lambda matrix: np.abs(matrix).sum(),
    "frobenius": lambda matrix: np.sqrt((matrix**2).sum()),
    "nuclear": lambda matrix: np.sqrt(np.linalg.eigvalsh(matrix @ matrix.T).clip(0)).sum(),
    "induced_1": lambda matrix: max(np.abs(column).sum() for column in matrix.T),
}


@pytest.mark.parametrize("norm", NORMS)
def test_latent_norm_is_the_sum_over_a_batch_of_16(norm: str) -> None:
    built, mixture, target, settings = network(), torch.rand(16, 12, 17), torch.rand(16, 1, 8, 17), loss_settings(latent_norm=norm)
    with torch.no_grad():
        latents = built(mixture).h_dec
        whole = mad.Mad.terms(built(mixture), target, settings).latent
        halves = [mad.Mad.terms(built(mixture[i : i + 8]), target[i : i + 8], settings).latent for i in (0, 8)]
    assert whole.item() == pytest.approx(sum(NORMS[norm](latent) for latent in latents.double().numpy()), rel=1e-5)
    torch.testing.assert_close(whole, sum(halves) / 2)


def test_the_norm_decides_the_gradient() -> None:
    gradients = []
    for norm in NORMS:
        built = network()
        losses(built, latent_l1=1.0, latent_norm=norm).total.backward()
        gradients.append(built.dec.weight_hh_l0.grad)
    for number, one in enumerate(gradients):
        assert one.isfinite().all() and not any(torch.allclose(one, other) for other in gradients[:number])


def test_a_norm_that_is_not_said_is_l1_and_does_not_change_what_a_recipe_is() -> None:
    plain = loss_settings()
    assert plain.latent_norm == "l1" and "latent_norm" not in plain.model_dump()
    assert plain == loss_settings(latent_norm="l1")
    assert loss_settings(latent_norm="nuclear").model_dump()["latent_norm"] == "nuclear"


def test_detached_diagonal_changes_the_value_and_not_the_gradient() -> None:
    plain = network()
    without = losses(plain).total
    without.backward()
    norm = torch.stack([plain.mask.weight[i, i].abs() for i in range(12)]).sum()
    gradients = {}
    for detached in (True, False):
        built = network()
        loss = losses(built, mask_diagonal_l1=1.0, mask_diagonal_detached=detached)
        torch.testing.assert_close(loss.total, without + norm)
        loss.total.backward()
        gradients[detached] = built.mask.weight.grad
    torch.testing.assert_close(gradients[True], plain.mask.weight.grad)
    assert not torch.allclose(gradients[False], plain.mask.weight.grad)


@pytest.mark.parametrize(("masker", "denoiser", "counts"), [(0.0, 0.0, 1), (1e9, 0.0, 0), (0.0, 1e9, 0)])
def test_gate_closes_when_either_divergence_is_small(masker: float, denoiser: float, counts: int) -> None:
    loss = losses(network(), gate={"masker": masker, "denoiser": denoiser})
    torch.testing.assert_close(loss.total, loss.kl_denoised + counts * loss.kl_masked)


def test_initialisation_is_orthogonal_glorot_and_zero() -> None:
    built = mad.Mad(settings(n_encoder_bins=40), Sizes(129, 12, 2, 1))
    built.initialise(torch.Generator().manual_seed(3))
    stacked = built.enc_forward.weight_hh_l0
    torch.testing.assert_close(stacked.T @ stacked, torch.eye(40), atol=1e-5, rtol=0)
    expected = (2 / (129 + 80)) ** 0.5
    assert abs(built.mask.weight.std().item() / expected - 1) < 0.05
    assert all(not p.any() for name, p in built.named_parameters() if "bias" in name)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(InputError, match="is not a file of reference vectors"):
        load_reference(tmp_path / "other.npz")
