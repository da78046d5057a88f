"""The front end against the authors' published vectors, torch.stft, and perfect reconstruction."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_recipe

from madsep.core.settings import FrontEnd
from madsep.front_end.stft import Stft, magnitude
from madsep.front_end.windows import scaled_window
from madsep.systems.coverage import n_weighted
from madsep.systems.recipe import load_recipe

PUBLISHED = load_recipe("MDL1", {}).front_end
TINY = tiny_recipe().front_end


def front_end(window_length: int, fft_length: int, hop_length: int) -> FrontEnd:
    return PUBLISHED.model_copy(update={"window_length": window_length, "fft_length": fft_length, "hop_length": hop_length})


FRONT_ENDS = {
    "published": PUBLISHED,
    "tiny": TINY,
    "hop 1": front_end(5, 8, 1),
    "no overlap": front_end(16, 16, 16),
    "odd": front_end(33, 64, 7),
}
OVERLAPPING = ["published", "tiny", "odd"]


def noise(n_samples: int, n_channels: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n_channels, n_samples, generator=torch.Generator().manual_seed(n_samples), dtype=torch.float64).to(dtype)


@pytest.fixture(scope="module")
def vectors(shared):
    with np.load(shared / "data/reference/stft_icassp2018_code.npz") as stored:
        assert (stored["window_size"], stored["n_fft"], stored["hop"]) == (2049, 4096, 384)
        return dict(stored)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_magnitudes_are_those_of_the_published_code(vectors, dtype: torch.dtype) -> None:
    expected = vectors["magnitude"]
    n_filled = int(expected.any(axis=1).sum())
    assert n_filled == 79 and not expected[n_filled:].any()  # the published code leaves its last rows empty
    magnitude = Stft(PUBLISHED, dtype=dtype).transform(torch.from_numpy(vectors["signal"]).to(dtype)).abs().numpy()
    floor = 0 if dtype == torch.float64 else 1e-6 * expected.max()
    np.testing.assert_allclose(magnitude[:n_filled], expected[:n_filled], rtol=1e-5, atol=floor)


def test_resynthesis_is_that_of_the_published_code_away_from_the_edges(vectors) -> None:
    stft, signal = Stft(PUBLISHED, dtype=torch.float64), torch.from_numpy(vectors["signal"])
    estimate = stft.inverse(stft.transform(signal), len(signal)).numpy()
    np.testing.assert_allclose(estimate[2049:-2049], vectors["resynthesis"][2049 : len(signal) - 2049], atol=2e-8)


def test_full_scale_sinusoid_at_a_bins_centre_peaks_at_8_64() -> None:
    k, n_samples = 200, 20_000
    sinusoid = torch.sin(2 * torch.pi * k / 4096 * torch.arange(n_samples, dtype=torch.float64))
    spectrum = Stft(PUBLISHED, dtype=torch.float64).transform(sinusoid).abs()[30]
    assert spectrum.argmax() == k
    assert spectrum.max().item() == pytest.approx(8.64, rel=0.01)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_agrees_with_torch_stft(name: str) -> None:
    sizes, signal = FRONT_ENDS[name], noise(4321, 2)
    stft = Stft(sizes, dtype=torch.float64)
    ours = stft.transform(signal)
    lead = (sizes.fft_length - sizes.window_length) // 2  # torch centres the window in its frame
    padded = torch.nn.functional.pad(signal, (3 * sizes.hop_length + lead, 3 * sizes.hop_length + sizes.fft_length))
    window = torch.from_numpy(np.hamming(sizes.window_length) / np.sqrt(sizes.fft_length))
    theirs = torch.stft(
        padded, sizes.fft_length, sizes.hop_length, sizes.window_length, window, center=False, return_complex=True
    ).transpose(1, 2)
    turn = torch.exp(2j * torch.pi * lead / sizes.fft_length * torch.arange(sizes.n_bins, dtype=torch.float64))
    advanced = theirs * turn
    torch.testing.assert_close(ours, advanced[:, : ours.shape[1]], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", FRONT_ENDS)
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6000))
def test_inverse_gives_back_the_signal_at_every_length_in_double_precision(name: str, n_samples: int) -> None:
    stft, signal = Stft(FRONT_ENDS[name], dtype=torch.float64), noise(n_samples, 2)
    torch.testing.assert_close(stft.inverse(stft.transform(signal), n_samples), signal, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", OVERLAPPING)
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6000))
def test_inverse_gives_back_the_signal_at_every_length_in_single_precision(name: str, n_samples: int) -> None:
    stft, signal = Stft(FRONT_ENDS[name]), noise(n_samples, 2, torch.float32)
    signal = signal / signal.abs().max()
    torch.testing.assert_close(stft.inverse(stft.transform(signal), n_samples), signal, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("n_samples", [1, 100, 4321])
def test_frames_cover_the_signal_and_three_hops_of_zeros(name: str, n_samples: int) -> None:
    """The count is the smallest number of windows that reaches over all of it, found by laying one after another."""
    sizes = FRONT_ENDS[name]
    n_frames, end = 1, sizes.window_length
    while end < n_samples + 6 * sizes.hop_length:
        n_frames, end = n_frames + 1, end + sizes.hop_length
    stft = Stft(sizes)
    assert stft.n_frames(n_samples) == n_frames == stft.transform(torch.zeros(n_samples)).shape[0]
    assert stft.n_span(n_frames) == end
    assert stft.first_sample(0) == -3 * sizes.hop_length


def test_a_block_of_frames_is_those_rows_of_the_whole_transform() -> None:
    stft, signal = Stft(TINY, dtype=torch.float64), noise(5000, 2)
    whole = stft.transform(signal)
    first, n_frames = 11, 7
    start = stft.first_sample(first)
    block = stft.analyse(signal[:, start : start + stft.n_span(n_frames)])
    torch.testing.assert_close(block, whole[:, first : first + n_frames], atol=1e-14, rtol=0)


def test_inverse_is_the_least_squares_signal_of_an_inconsistent_spectrum() -> None:
    """No neighbour of the inverse has a transform nearer to the bins: the gradient of the distance vanishes there."""
    stft = Stft(TINY, dtype=torch.float64)
    n_samples = 700
    n_frames = stft.n_frames(n_samples)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(n_frames, TINY.window_length, generator=generator, dtype=torch.float64)  # overlaps that disagree
    bins = torch.fft.rfft(frames, n=TINY.fft_length)
    signal = stft.inverse(bins, n_samples).requires_grad_()
    frames_of_signal = torch.fft.irfft(stft.transform(signal), n=TINY.fft_length)[:, : TINY.window_length]
    (frames_of_signal - frames).square().sum().backward()
    assert signal.grad is not None
    torch.testing.assert_close(signal.grad, torch.zeros(n_samples, dtype=torch.float64), atol=1e-12, rtol=0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4000), st.data())
def test_window_energy_of_a_range_is_that_slice_of_the_whole(n_samples: int, data: st.DataObject) -> None:
    stft = Stft(TINY, dtype=torch.float64)
    n_frames = stft.n_frames(n_samples)
    whole = np.zeros(stft.n_span(n_frames))
    for frame in range(n_frames):
        whole[frame * 96 : frame * 96 + 257] += np.hamming(257) ** 2 / 512
    low = data.draw(st.integers(0, len(whole) - 1))
    high = data.draw(st.integers(low + 1, len(whole)))
    energy = stft.window_energy(low + stft.first_sample(0), high - low, n_frames)
    np.testing.assert_allclose(energy.numpy(), whole[low:high], atol=1e-15)


def test_window_energy_is_zero_where_no_frame_reaches() -> None:
    stft = Stft(TINY)
    energy = stft.window_energy(stft.first_sample(0) - 50, 100, 4)
    assert not energy[:50].any() and energy[50:].all()
    assert not stft.window_energy(100_000, 10, 4).any()


def test_magnitudes_are_those_of_complex_numbers_to_the_last_bit() -> None:
    scales = torch.logspace(-35, 37, 500)
    bins = torch.cat([torch.view_as_complex(torch.randn(500, 2)) * scales, torch.tensor([0j, complex("inf"), complex("nan")])])
    torch.testing.assert_close(magnitude(bins), bins.abs(), rtol=torch.finfo(torch.float32).eps, atol=0, equal_nan=True)


def test_signal_is_not_modified() -> None:
    stft, signal = Stft(TINY), noise(1000, 1, torch.float32)
    before = signal.clone()
    bins = stft.transform(signal)
    bins_before = bins.clone()
    stft.inverse(bins, 1000)
    assert torch.equal(signal, before) and torch.equal(bins, bins_before)


# --- windows

COSINES = {"hamming": [0.54, 0.46], "hann": [0.5, 0.5], "blackman_harris": [0.35875, 0.48829, 0.14128, 0.01168]}


def unscaled(name: str, length: int, periodic: bool) -> np.ndarray:
    """The windows' textbook formulas (Harris, Proc. IEEE 66(1), 1978), over length - 1 or, periodic, length samples a period."""
    phase = np.arange(length) / (length if periodic else length - 1)
    if name == "bartlett":
        return 1 - np.abs(2 * phase - 1)
    return sum((-1) ** k * weight * np.cos(2 * np.pi * k * phase) for k, weight in enumerate(COSINES[name]))


@pytest.mark.parametrize("length", [256, 257])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("name", ["hamming", "hann", "bartlett", "blackman_harris"])
def test_windows_are_those_of_the_formulas(name: str, periodic: bool, length: int) -> None:
    plain = unscaled(name, length, periodic)
    for scale, divisor in {"one": 1.0, "window_sum": plain.sum(), "sqrt_fft_length": 512**0.5}.items():
        for gain in (1.0, 0.3):
            values = {"window": name, "periodic": periodic, "scale": scale, "gain": gain, "window_length": length}
            window = scaled_window(TINY.model_copy(update=values))
            assert window.dtype == torch.float64
            np.testing.assert_allclose(window, gain * plain / divisor, atol=1e-15)


def test_a_full_scale_sinusoid_has_half_the_gain_where_the_window_is_divided_by_its_sum() -> None:
    values = {"window": "hann", "periodic": True, "scale": "window_sum", "gain": 3.0, "window_length": 256, "fft_length": 256}
    sinusoid = torch.sin(2 * torch.pi * 20 / 256 * torch.arange(5000, dtype=torch.float64))
    magnitudes = Stft(TINY.model_copy(update=values), dtype=torch.float64).transform(sinusoid).abs()[20]
    assert magnitudes.argmax() == 20 and magnitudes[20].item() == pytest.approx(1.5, rel=1e-9)


@pytest.mark.parametrize(
    ("window", "periodic", "length", "hop", "covered"),
    [
        ("hamming", False, 16, 16, True),
        ("hamming", False, 16, 17, False),  # samples between the frames
        ("hann", True, 16, 16, False),  # the first sample of a period is 0
        ("hann", True, 16, 15, True),
        ("hann", False, 16, 16, False),
        ("hann", False, 16, 15, False),  # both ends are 0 and fall on each other
        ("hann", False, 16, 14, True),
        ("bartlett", False, 5, 4, False),
        ("bartlett", False, 5, 3, True),
        ("blackman_harris", False, 16, 16, True),  # ends of 6e-5
    ],
)
def test_every_sample_needs_weight(window: str, periodic: bool, length: int, hop: int, covered: bool) -> None:
    values = {"window": window, "periodic": periodic, "window_length": length, "fft_length": 32, "hop_length": hop}
    assert (hop <= n_weighted(TINY.model_copy(update=values))) is covered
    energy = np.zeros(40 * hop + length)
    for frame in range(41):
        energy[frame * hop : frame * hop + length] += unscaled(window, length, periodic) ** 2
    assert bool((energy[20 * hop : 21 * hop] > 1e-30).all()) is covered


@pytest.mark.parametrize("name", ["hamming", "hann", "bartlett", "blackman_harris"])
@pytest.mark.parametrize("periodic", [False, True])
def test_hops_that_cover_every_sample_are_known_without_the_window(name: str, periodic: bool) -> None:
    """Against scipy's windows: folded onto one hop, every sample has weight if and only if the hop is at most that number."""
    for length in [*range(1, 40), 255, 256, 257, 1024, 2049]:
        sizes = TINY.model_copy(update={"window": name, "periodic": periodic, "window_length": length, "fft_length": 4096})
        energy, known = scaled_window(sizes).square().numpy(), n_weighted(sizes)
        assert (energy > 0).sum() == known
        for hop in {1, known // 2, known - 1, known, known + 1, length, length + 1} - {0, -1}:
            folded = np.pad(energy, (0, -length % hop)).reshape(-1, hop).sum(0)
            assert bool((folded > 0).all()) == (hop <= known), (length, hop)


@pytest.mark.parametrize("name", ["hann", "bartlett", "blackman_harris"])
@pytest.mark.parametrize("periodic", [False, True])
def test_every_window_has_an_inverse(name: str, periodic: bool) -> None:
    sizes = TINY.model_copy(update={"window": name, "periodic": periodic, "scale": "window_sum", "gain": 0.3})
    stft, signal = Stft(sizes, dtype=torch.float64), noise(3000, 2)
    torch.testing.assert_close(stft.inverse(stft.transform(signal), 3000), signal, atol=1e-12, rtol=0)
