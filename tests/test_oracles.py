"""The oracles against the campaign's public code, written down again plainly, and against what masks and filters must obey."""

import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import istft, lfilter, stft

from madsep.bsseval import frame_sdr
from madsep.data.stems import read_stems
from madsep.data.tracks import Track
from madsep.separation import oracles
from madsep.separation.oracles import ORACLES, oracle_estimates
from madsep.synth.songs import render_song

Signals = Mapping[str, np.ndarray]
EPS = np.finfo(np.float64).eps
SOURCES = ("drums", "bass", "other", "vocals")


def published(name: str, mixture: np.ndarray, references: Signals) -> dict[str, np.ndarray]:
    """The estimates of sigsep-mus-oracle's IBM.py, IRM.py and MWF.py (stereo), whole spectrograms at a time."""
    x = stft(mixture.astype(np.float64), nperseg=2048)[-1]
    sources = {source: stft(reference.astype(np.float64), nperseg=2048)[-1] for source, reference in references.items()}
    if name == "MWF":
        separated = published_mwf(x, sources)
    elif name.startswith("IBM"):
        alpha = int(name[-1])
        separated = {source: x * (np.abs(y) ** alpha / (EPS + np.abs(x) ** alpha) >= 0.5) for source, y in sources.items()}
    else:
        alpha = int(name[-1])
        model = EPS + sum(np.abs(y) ** alpha for y in sources.values())
        separated = {source: x * (np.abs(y) ** alpha / model) for source, y in sources.items()}
    estimates = {source: istft(y)[1][:, : mixture.shape[1]] for source, y in separated.items()}
    estimates["accompaniment"] = estimates["drums"] + estimates["bass"] + estimates["other"]
    return estimates


def published_mwf(x: np.ndarray, sources: Signals) -> dict[str, np.ndarray]:
    """MWF.py: (2, F, T) spectrograms; with its trace over the first two of the axes (F, 2, 2)."""
    density, spatial = {}, {}
    for source, y in sources.items():
        observed = np.empty((*x.shape[1:], 2, 2), complex)
        for a, b in np.ndindex(2, 2):
            observed[..., a, b] = y[a] * np.conj(y[b])
        first = np.mean(np.abs(y) ** 2, axis=0)
        mean = np.mean(observed / (EPS + first[..., None, None]), axis=1)
        spatial[source] = mean * 2 / np.trace(mean) + EPS * np.eye(2)
        inverse = published_inverse(spatial[source])
        density[source] = np.zeros(first.shape)
        for a, b in np.ndindex(2, 2):
            density[source] += 1 / 2 * np.real(inverse[:, a, b][:, None] * observed[..., b, a])
    covariance = sum(density[source][..., None, None] * spatial[source][:, None] for source in sources)
    inverse = published_inverse(covariance)
    separated = {}
    for source in sources:
        model = density[source][..., None, None] * spatial[source][:, None]
        gain = np.zeros(inverse.shape, np.complex64)
        for a, b, c in np.ndindex(2, 2, 2):
            gain[..., a, b] += model[..., a, c] * inverse[..., c, b]
        separated[source] = np.stack([gain[..., a, 0] * x[0] + gain[..., a, 1] * x[1] for a in (0, 1)])
    return separated


def published_inverse(m: np.ndarray) -> np.ndarray:
    scale = 1 / (EPS + m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0])
    inverse = np.empty(m.shape, complex)
    inverse[..., 0, 0], inverse[..., 1, 1] = scale * m[..., 1, 1], scale * m[..., 0, 0]
    inverse[..., 0, 1], inverse[..., 1, 0] = -scale * m[..., 0, 1], -scale * m[..., 1, 0]
    return inverse


def noises(n_channels: int, n_samples: int, names: tuple[str, ...] = SOURCES) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A mixture and its sources: coloured noise that comes and goes, each source from a direction of its own."""
    rng = np.random.default_rng(3)
    sources = {}
    for number, name in enumerate(names):
        shared, own = rng.standard_normal((1, n_samples)), rng.standard_normal((n_channels, n_samples))
        loudness = 0.15 + 0.1 * np.sin(np.arange(n_samples) * (number + 1) / 3000)
        noise = lfilter([1], [1, 0.5 - 0.4 * number], rng.uniform(0.2, 1, (n_channels, 1)) * shared + 0.3 * own)
        sources[name] = (loudness * noise).astype(np.float32)
    return sum(sources.values(), start=np.zeros((n_channels, n_samples), np.float32)), sources


def sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """The median over frames of BSSEval v4's SDR; signals (n_channels, n_samples) at 44.1 kHz."""
    return float(np.nanmedian(frame_sdr([reference.T], [estimate.T], 44_100, 44_100)))


def targets(sources: Signals) -> dict[str, np.ndarray]:
    return {**sources, "accompaniment": sources["drums"] + sources["bass"] + sources["other"]}


@pytest.fixture(scope="module")
def real(shared: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    path = next((shared / "data" / "musdb_sample" / "train").glob("*.stem.mp4"))
    stems = read_stems(Track("Music Delta - 80s Rock", "train", "stems", str(path), 6.8, "musdb18"))
    return stems.pop("mixture"), stems


def check_against_published(name: str, mixture: np.ndarray, sources: Signals) -> None:
    """Scores are within 0.01 dB of the published code's and beat the mixture's for every target."""
    estimates, expected = oracle_estimates(ORACLES[name], mixture, sources), published(name, mixture, sources)
    assert estimates.keys() == expected.keys()
    for target, reference in targets(sources).items():
        found = sdr_db(reference, estimates[target])
        assert found == pytest.approx(sdr_db(reference, expected[target]), abs=0.01), target
        assert found > sdr_db(reference, mixture) + 1, target


@pytest.mark.parametrize("name", ORACLES)
def test_the_real_track_scores_as_with_the_published_code(name: str, real: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    check_against_published(name, *real)


@pytest.mark.parametrize("name", ORACLES)
def test_a_synthetic_song_scores_as_with_the_published_code(name: str) -> None:
    sources = {stem: audio.T.astype(np.float32) for stem, audio in render_song(2.5, np.random.default_rng(5)).items()}
    check_against_published(name, sum(sources.values(), start=np.zeros_like(sources["drums"])), sources)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("n_samples", [2048, 9 * 1024, 9 * 1024 + 1, 21_000])
def test_blocks_give_the_samples_of_the_whole(name: str, n_samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracles, "BLOCK", 4 * 1024)
    mixture, sources = noises(2, n_samples)
    estimates, expected = oracle_estimates(ORACLES[name], mixture, sources), published(name, mixture, sources)
    for target, estimate in estimates.items():
        assert estimate.dtype == np.float32
        np.testing.assert_allclose(estimate, expected[target], atol=2e-6)


def test_blocks_add_up_in_the_published_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a source that is the same in both channels, the last bit of the spatial covariance decides about the estimate."""
    monkeypatch.setattr(oracles, "BLOCK", 4 * 1024)
    _, sources = noises(2, 60_000)
    for name in ("vocals", "bass"):
        sources[name][1] = sources[name][0]
    mixture = sum(sources.values(), start=np.zeros_like(sources["vocals"]))
    estimates, expected = oracle_estimates(ORACLES["MWF"], mixture, sources), published("MWF", mixture, sources)
    for target, estimate in estimates.items():
        np.testing.assert_allclose(estimate, expected[target], atol=2e-6)


@pytest.mark.parametrize("name", ["IRM1", "IRM2", "MWF"])
@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_ratio_masks_and_the_multichannel_filter_share_the_mixture_out(name: str, n_channels: int) -> None:
    mixture, sources = noises(n_channels, 10_000)
    estimates = oracle_estimates(ORACLES[name], mixture, sources)
    np.testing.assert_allclose(estimates["vocals"] + estimates["accompaniment"], mixture, atol=1e-5)


@pytest.mark.parametrize(("name", "exponent"), [("IBM1", 1), ("IBM2", 2)])
def test_binary_masks_are_0_or_1_by_half_the_mixture(name: str, exponent: int) -> None:
    rng = np.random.default_rng(0)
    mixture, source = rng.standard_normal((2, 1, 5, 40, 2)).view(complex)[..., 0]
    source *= 0.5
    separated = ORACLES[name].make_filter({})(mixture, {"vocals": source})["vocals"]
    kept = np.abs(source) ** exponent > 0.5 * np.abs(mixture) ** exponent
    assert 0.2 < kept.mean() < 0.8
    np.testing.assert_array_equal(separated, np.where(kept, mixture, 0))


def test_a_bin_at_half_the_mixture_is_the_sources() -> None:
    mixture = np.full((1, 1, 1), 2.0**60 + 0j)  # so loud that EPS is nothing
    for name, part in (("IBM1", 0.5), ("IBM2", np.sqrt(0.5) * (1 + EPS))):
        assert ORACLES[name].make_filter({})(mixture, {"vocals": part * mixture})["vocals"] == mixture


def test_of_one_channel_the_multichannel_filter_is_the_ratio_of_powers() -> None:
    mixture, sources = noises(1, 10_000)
    wiener, ratio = (oracle_estimates(ORACLES[name], mixture, sources) for name in ("MWF", "IRM2"))
    for target in ratio:
        np.testing.assert_allclose(wiener[target], ratio[target], atol=1e-5)


def test_the_multichannel_filter_tells_the_centre_from_what_surrounds_it() -> None:
    """Two noises of one spectrum, one alike in both channels, one not: masks of single channels cannot use that."""
    rng = np.random.default_rng(1)
    shared, own = 0.1 * rng.standard_normal((1, 44_100)), 0.1 * rng.standard_normal((2, 44_100))
    sources = {"vocals": (shared + own / 50).astype(np.float32), "accompaniment": own.astype(np.float32)}
    mixture = sources["vocals"] + sources["accompaniment"]
    scores = {name: sdr_db(sources["vocals"], oracle_estimates(ORACLES[name], mixture, sources)["vocals"]) for name in ("IRM2", "MWF")}
    assert scores["MWF"] > scores["IRM2"] + 0.5


def test_the_accompaniment_is_added_unless_it_is_a_source() -> None:
    mixture, sources = noises(2, 5000)
    estimates = oracle_estimates(ORACLES["IBM1"], mixture, sources)
    np.testing.assert_array_equal(estimates["accompaniment"], estimates["drums"] + estimates["bass"] + estimates["other"])
    mixture, sources = noises(1, 5000, ("accompaniment", "vocals"))
    estimates = oracle_estimates(ORACLES["IBM1"], mixture, sources)
    assert estimates.keys() == {"accompaniment", "vocals"}
    assert np.abs(estimates["accompaniment"] - sources["accompaniment"]).max() < np.abs(sources["vocals"]).max()


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("n_samples", [1, 500, 1024])
def test_short_signals_keep_their_length(name: str, n_samples: int) -> None:
    mixture, sources = noises(2, n_samples)
    for estimate in oracle_estimates(ORACLES[name], mixture, sources).values():
        assert estimate.shape == mixture.shape
        assert np.isfinite(estimate).all()


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("channel", [0, 1])
def test_silent_and_one_sided_sources_are_separated(name: str, channel: int) -> None:
    _, sources = noises(2, 30_000)
    sources["bass"][:] = 0
    sources["drums"][channel] = 0
    sources["other"][1] = sources["other"][0] / 2
    mixture = sources["drums"] + sources["other"] + sources["vocals"]
    estimates = oracle_estimates(ORACLES[name], mixture, sources)
    assert not estimates["bass"].any()
    for target in ("drums", "other", "vocals", "accompaniment"):
        assert np.isfinite(estimates[target]).all()
        assert sdr_db(targets(sources)[target], estimates[target]) > sdr_db(targets(sources)[target], mixture), target


def test_memory_does_not_grow_with_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracles, "BLOCK", 8 * 1024)
    peaks = []
    for n_blocks in (4, 16):
        mixture, sources = noises(2, n_blocks * 8 * 1024)
        tracemalloc.start()
        estimates = oracle_estimates(ORACLES["MWF"], mixture, sources)
        peaks.append(tracemalloc.get_traced_memory()[1] - sum(estimate.nbytes for estimate in estimates.values()))
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_inputs_are_not_changed() -> None:
    mixture, sources = noises(2, 5000)
    before = {"mixture": mixture.copy(), **{name: source.copy() for name, source in sources.items()}}
    for oracle in ORACLES.values():
        oracle_estimates(oracle, mixture, sources)
    for name, signal in {"mixture": mixture, **sources}.items():
        np.testing.assert_array_equal(signal, before[name])


def test_shapes_that_do_not_fit_are_refused() -> None:
    mixture, sources = noises(2, 3000)
    with pytest.raises(ValueError, match=r"reference of bass has shape \(2, 2999\); expected \(2, 3000\)"):
        oracle_estimates(ORACLES["IRM1"], mixture, {**sources, "bass": sources["bass"][:, :-1]})
    with pytest.raises(ValueError, match="true sources"):
        oracle_estimates(ORACLES["IRM1"], mixture, {})
    with pytest.raises(ValueError, match=r"shape \(3000,\)"):
        oracle_estimates(ORACLES["IRM1"], mixture[0], sources)


def test_the_oracles_are_those_of_the_campaign() -> None:
    assert list(ORACLES) == ["IBM1", "IBM2", "IRM1", "IRM2", "MWF"]
    assert all(oracle.name == name for name, oracle in ORACLES.items())
    assert "magnitude" in ORACLES["IRM1"].method
    assert "power" in ORACLES["IRM2"].method
