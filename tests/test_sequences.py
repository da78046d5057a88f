"""Training sequences: spans against slices of the tracks, held against streamed, augmentation, features and the reading thread."""

import dataclasses
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from prepared_tracks import write_prepared_track
from scipy import stats
from tiny import tiny_recipe
from trainings import Tracks

from madsep.core.settings import Augmentation, Target
from madsep.front_end.stft import Stft
from madsep.systems.recipe import Recipe, load_recipe
from madsep.training import spans as spans_module
from madsep.training.sequences import Sequences
from madsep.training.spans import N_AHEAD, READER, Streamed, at_speed, fits, n_read_for, read_circular

N_SPAN = 11 * 96 + 257  # samples of 12 frames
LENGTHS = (12_000, 9_001, 500, 40_000)  # the third is shorter than a span
NAMES = ("Ann - A", "Bob - B", "Cy - C", "Di - D")
ALL = Augmentation(circular_shift=True, other_accompaniments=True, gain_db=3.0, speed=0.0)
SHIFT = Augmentation(circular_shift=True, other_accompaniments=False, gain_db=0.0, speed=0.0)
OTHER = Augmentation(circular_shift=False, other_accompaniments=True, gain_db=0.0, speed=0.0)
GAIN = Augmentation(circular_shift=False, other_accompaniments=False, gain_db=6.0, speed=0.0)
SPEED = Augmentation(circular_shift=True, other_accompaniments=True, gain_db=3.0, speed=0.2)
AUGMENTATIONS = {"none": None, "all": ALL, "shift": SHIFT, "other": OTHER, "gain": GAIN, "speed": SPEED}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Tracks:
    folder, generator, written = tmp_path_factory.mktemp("prepared"), np.random.default_rng(5), []
    for name, length in zip(NAMES, LENGTHS, strict=True):
        voice, accompaniment = 0.1 * generator.standard_normal((2, 1, length))
        written.append(write_prepared_track(folder, name, {"mixture": voice + accompaniment, "vocals": voice}, subset="train"))
    return written


def sequences_of(songs: Tracks, augmentation: Augmentation | None = None, held: bool | None = None, edge: int = 3) -> Sequences:
    values = augmentation and augmentation.model_dump()
    recipe = tiny_recipe(training={"augmentation": values, "edge_frames_dropped": edge})
    return Sequences(songs, recipe, Stft(recipe.front_end), augmented=True, held=held)


def drawn(songs: Tracks, augmentation: Augmentation | None, held: bool = False, seed: int = 3) -> Sequences:
    sequences = sequences_of(songs, augmentation, held)
    sequences.draw(torch.Generator().manual_seed(seed))
    return sequences


def spans_of(sequences: Sequences, batch_size: int = 7) -> np.ndarray:
    """Spans of all sequences, in their order, from batches in another."""
    order = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(1))
    found = np.full((len(sequences), 2, N_SPAN), np.nan, np.float32)
    for numbers, spans in sequences.stream(order.split(batch_size)):
        assert spans.dtype == torch.float32 and spans.shape == (len(numbers), 2, N_SPAN)
        found[numbers.numpy()] = spans.numpy()
    return found


def slices(sequences: Sequences) -> np.ndarray:
    """Spans of all sequences, cut from the tracks with 10,000 zeros at either side."""
    padded = [np.pad(signal[:, 0], ((0, 0), (10_000, 10_000))) for signal in sequences.signals]
    begins = [(track, 10_000 + (frame - 3) * 96) for track, frame in sequences.index]
    return np.stack([padded[track][:, begin : begin + N_SPAN] for track, begin in begins])


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    yield
    assert readers() == []


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(READER)]


# --- the audio of batches


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("edge", [0, 3, 20])
def test_spans_are_slices_of_the_tracks(songs: Tracks, held: bool, edge: int) -> None:
    """With edges of 0 the first spans begin in the silence before the track; with 20 the short track's lies wholly behind its end."""
    sequences = sequences_of(songs, None, held, edge)
    expected = slices(sequences)
    assert (expected[:, :, -1] == 0).any() and (expected != 0).any()
    np.testing.assert_array_equal(spans_of(sequences), expected)


def test_blocks_leave_sequences_out(songs: Tracks) -> None:
    """Blocks of 40 frames, with sequences of 12 frames every 8: of M frames count the first floor(M / 12), at least 1."""
    everything = sequences_of(songs, None, False)
    recipe = everything.recipe.model_copy(update={"training": everything.recipe.training.model_copy(update={"block_s": 40 * 96 / 44100})})
    kept = Sequences(songs, recipe, Stft(recipe.front_end), augmented=False)
    expected = []
    for track, frame in everything.index.tolist():
        n_left = everything.stft.n_frames(LENGTHS[track]) - frame // 40 * 40
        if frame % 40 < 8 * max(min(n_left, 40) // 12, 1):
            expected.append([track, frame])
    assert kept.index.tolist() == expected and len(expected) < 0.8 * len(everything)
    np.testing.assert_array_equal(spans_of(kept), slices(kept))


def test_audio_that_is_held_is_the_audio_that_is_streamed(songs: Tracks) -> None:
    for augmentation in AUGMENTATIONS.values():
        held, streamed = (drawn(songs, augmentation, held) for held in (True, False))
        np.testing.assert_array_equal(spans_of(held), spans_of(streamed))
        np.testing.assert_array_equal(spans_of(held, 1), spans_of(streamed, 50))


@pytest.mark.parametrize("held", [False, True])
def test_an_epoch_that_goes_on_in_its_middle_is_the_same(songs: Tracks, held: bool) -> None:
    batches = torch.arange(30).split(4)
    whole = list(drawn(songs, ALL, held).stream(batches))
    rest = list(drawn(songs, ALL, held).stream(batches[3:]))
    assert len(rest) == 5 and len(whole) == 8
    for (numbers, spans), (expected_numbers, expected) in zip(rest, whole[3:], strict=True):
        assert torch.equal(numbers, expected_numbers) and torch.equal(spans, expected)
    assert list(drawn(songs, ALL, held).stream([])) == []


@pytest.mark.parametrize(("n_bytes", "kind", "expected"), [(500, "cuda", True), (501, "cuda", False), (0, "cpu", False)])
def test_audio_is_held_where_it_takes_half_of_the_free_memory(
    monkeypatch: pytest.MonkeyPatch, n_bytes: int, kind: str, expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 5000))
    assert fits(n_bytes, torch.device(kind)) is expected


def test_the_log_says_where_the_audio_is(songs: Tracks, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "madsep")
    sequences_of(songs)
    sequences_of(songs, held=True)
    sequences_of([], held=True)
    assert caplog.messages == ["audio of 4 tracks, 0.00 GB: read from disk while cpu computes", "audio of 4 tracks, 0.00 GB: held on cpu"]


# --- augmentation


@pytest.mark.parametrize("first", [-1, 0, 3, 9, 23, -12])
@pytest.mark.parametrize("n_samples", [1, 7, 10, 11, 35])
def test_reading_goes_on_at_the_tracks_beginning(first: int, n_samples: int) -> None:
    signals = np.arange(20, dtype=np.float32).reshape(2, 10)
    expected = [[(first + sample) % 10 + 10 * row for sample in range(n_samples)] for row in range(2)]
    np.testing.assert_array_equal(read_circular(signals, first, n_samples), expected)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("augmentation", [ALL, SHIFT, OTHER, GAIN])
def test_a_mixture_is_the_voice_and_the_drawn_accompaniment(songs: Tracks, augmentation: Augmentation, held: bool) -> None:
    sequences = drawn(songs, augmentation, held)
    found, mixtures = spans_of(sequences), sequences.mixtures
    assert mixtures is not None
    np.testing.assert_array_equal(found[:, 1], slices(sequences)[:, 1])
    wrapped = 0
    for number, (mixture, voice) in enumerate(found):
        signal = sequences.signals[mixtures.accompaniment.track[number]][:, 0]
        first, n_samples = mixtures.accompaniment.first[number], signal.shape[1]
        accompaniment = np.take(signal[0] - signal[1], np.arange(first, first + N_SPAN), mode="wrap")
        wrapped += first + N_SPAN > n_samples
        np.testing.assert_array_equal(mixture, voice + mixtures.gain[number] * accompaniment)
        np.testing.assert_allclose(mixture - mixtures.gain[number] * accompaniment, voice, atol=1e-6)
    assert wrapped > 0


def test_what_is_not_asked_for_stays_the_sequences_own(songs: Tracks) -> None:
    for augmentation in (SHIFT, OTHER, GAIN):
        sequences = drawn(songs, augmentation)
        own, mixtures = sequences.places, sequences.mixtures
        assert mixtures is not None
        assert (mixtures.accompaniment.track == own.track).all() == (augmentation is not OTHER)
        assert (mixtures.accompaniment.first == own.first).all() == (augmentation is not SHIFT)
        assert (mixtures.gain == 1).all() == (augmentation is not GAIN)


def test_a_faster_tone_is_a_higher_tone() -> None:
    """Sines played at a speed are sines of as many times the frequency, within the interpolation's error."""
    n_span, speeds = 1000, torch.tensor([0.8, 1.0, 1.17], dtype=torch.float64)
    samples = torch.arange(-1, n_read_for(n_span, 1.2) - 1, dtype=torch.float64)
    blocks = torch.sin(0.1 * samples + 0.3).float().expand(3, -1)
    played = at_speed(blocks, speeds, n_span)
    expected = torch.sin(0.1 * speeds[:, None] * torch.arange(n_span) + 0.3).float()
    torch.testing.assert_close(played, expected, atol=5e-5, rtol=0)
    assert torch.equal(played[1], blocks[1, 1 : n_span + 1])


@pytest.mark.parametrize("held", [False, True])
def test_voice_and_accompaniment_have_speeds_of_their_own(tmp_path: Path, held: bool) -> None:
    """A voice and an accompaniment of one tone each: every span's tones are the drawn speeds times theirs."""
    samples = np.arange(40_000)
    voice, accompaniment = np.sin(0.1 * samples), np.sin(0.4 * samples)
    signals = {"mixture": (voice + accompaniment)[None], "vocals": voice[None]}
    sequences = drawn([write_prepared_track(tmp_path, "Tone - A", signals, subset="train")], SPEED, held)
    mixtures = sequences.mixtures
    assert mixtures is not None
    for speeds in (mixtures.voice_speed, mixtures.accompaniment_speed):
        assert 0.8 <= speeds.min() < 0.85 and 1.15 < speeds.max() <= 1.2
    assert np.abs(np.corrcoef(mixtures.voice_speed, mixtures.accompaniment_speed)[0, 1]) < 0.2
    for number, (mixture, alone) in enumerate(spans_of(sequences)[20:60], start=20):  # no edges
        for audio, tone, speed in (
            (alone, 0.1, mixtures.voice_speed[number]),
            (mixture - alone, 0.4, mixtures.accompaniment_speed[number]),
        ):
            spectrum = np.abs(np.fft.rfft(audio * np.hanning(N_SPAN), 1 << 16))
            assert np.argmax(spectrum) / (1 << 16) * 2 * np.pi == pytest.approx(tone * speed, rel=0.02)


def test_draws_are_uniform(songs: Tracks) -> None:
    """Tracks, offsets around each track and gains in dB, over 4,000 sequences' draws."""
    sequences = drawn(songs, ALL)
    tracks, offsets, gains_db = [], [], []
    while len(tracks) < 4000:
        sequences.draw(torch.Generator().manual_seed(len(tracks)))
        assert sequences.mixtures is not None
        places = sequences.mixtures.accompaniment
        assert (places.first >= 0).all() and (places.first < np.array(LENGTHS)[places.track]).all()
        tracks += places.track.tolist()
        offsets += (places.first / np.array(LENGTHS)[places.track]).tolist()
        gains_db += (20 * np.log10(sequences.mixtures.gain)).tolist()
    assert stats.chisquare(np.bincount(tracks, minlength=4)).pvalue > 0.01
    assert stats.kstest(offsets, "uniform").pvalue > 0.01
    assert stats.kstest(gains_db, "uniform", (-3, 6)).pvalue > 0.01


def test_draws_depend_on_the_generator_alone(songs: Tracks) -> None:
    sequences, epochs = sequences_of(songs, ALL, held=False), []
    for epoch in (1, 2, 1):
        sequences.draw(torch.Generator().manual_seed(epoch))
        epochs.append(spans_of(sequences))
    np.testing.assert_array_equal(epochs[0], epochs[2])
    different = (epochs[0][:, 0] != epochs[1][:, 0]).any(axis=1)
    assert different.all()
    np.testing.assert_array_equal(epochs[0][:, 1], epochs[1][:, 1])


def test_an_augmentation_must_be_drawn(songs: Tracks) -> None:
    with pytest.raises(ValueError, match="has not been drawn"):
        sequences_of(songs, ALL).stream([torch.arange(2)])


def test_tracks_of_a_batch_are_named(songs: Tracks) -> None:
    plain = sequences_of(songs)
    numbers = torch.tensor([len(plain) - 1, 0, 1])
    assert plain.tracks_of(numbers) == ["Ann - A", "Di - D"]
    sequences = drawn(songs, OTHER)
    assert sequences.mixtures is not None
    for number in range(len(sequences)):
        both = {NAMES[sequences.index[number, 0]], NAMES[sequences.mixtures.accompaniment.track[number]]}
        assert sequences.tracks_of(torch.tensor([number])) == sorted(both)


# --- features


def test_features_are_the_numpy_computation(songs: Tracks) -> None:
    """Window, transform, clip and target of each sequence, from its samples; the last one of a track reads beyond its end."""
    target = Target(definition="irm_background", clip=0.1, input_clip=0.2)
    sequences = sequences_of(songs)
    sequences.recipe = sequences.recipe.model_copy(update={"target": target})
    numbers = torch.tensor([0, 14, len(sequences) - 1, 28, 7])
    (_, spans), *_ = sequences.stream([numbers])
    mixture, wanted = sequences.features(spans)
    assert mixture.shape == (5, 12, 257) and wanted.shape == (5, 1, 8, 257)
    samples = slices(sequences)[numbers.numpy()].astype(np.float64)
    frames = np.stack([samples[..., 96 * frame : 96 * frame + 257] for frame in range(12)], axis=2)
    bins = np.fft.rfft(frames * np.hamming(257) / np.sqrt(512), 512)
    x, v, b = np.abs(bins[:, 0]), np.abs(bins[:, 1]), np.abs(bins[:, 0] - bins[:, 1])
    ratio = (x * v / (v + b + 1e-15))[:, 2:-2]
    assert (x > 0.2).any() and (ratio > 0.1).any()
    np.testing.assert_allclose(mixture, np.minimum(x, 0.2), atol=1e-5)
    np.testing.assert_allclose(wanted[:, 0], np.minimum(ratio, 0.1), atol=1e-5)
    doubled_target = target.model_copy(update={"definition": "irm_mixture_x2"})
    sequences.recipe = sequences.recipe.model_copy(update={"target": doubled_target})
    doubled = sequences.features(spans)[1][:, 0]
    np.testing.assert_allclose(doubled, np.minimum((2 * x * v / (v + x + 1e-15))[:, 2:-2], 0.1), atol=1e-5)


# --- several sources

STEMS = ("mixture", "vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> Tracks:
    """Two tracks with four stems; a mixture differs a little from their sum, as those of stem files do."""
    folder, generator, written = tmp_path_factory.mktemp("stems"), np.random.default_rng(6), []
    for name, length in zip(NAMES[:2], LENGTHS[:2], strict=True):
        sources = 0.1 * generator.standard_normal((4, 1, length)) * np.array([1.0, 0.5, 2.0, 0.2])[:, None, None]
        mixture = sources.sum(axis=0, keepdims=True) + 0.001 * generator.standard_normal((1, 1, length))
        written.append(write_prepared_track(folder, name, dict(zip(STEMS, [mixture[0], *sources], strict=True)), subset="train"))
    return written


def with_sources(name: str, definition: str) -> Recipe:
    """Recipe GRA or HEL1 with the tiny recipe's front end and segments."""
    front_end = tiny_recipe().front_end.model_dump()
    segments = {"n_frames": 12, "n_context": 0, "overlap": 4}
    return load_recipe(name, {name: {"front_end": front_end, "segments": segments, "target": {"definition": definition, "clip": 0.1}}})


def bins_of(stems: Tracks, sequences: Sequences, numbers: list[int]) -> np.ndarray:
    """Complex bins (n, 5, 12, 257) of mixture and stems in some sequences, which begin every 8 frames."""
    tracks = [np.pad(track.array()[:, 0].astype(np.float64), ((0, 0), (3 * 96, 5000))) for track in stems]
    assert (np.diff(sequences.index[sequences.index[:, 0] == 0, 1]) == 8).all()
    places = sequences.index[numbers]
    spans = np.stack([tracks[track][:, 96 * frame : 96 * frame + N_SPAN] for track, frame in places])
    frames = np.stack([spans[..., 96 * frame : 96 * frame + 257] for frame in range(12)], axis=2)
    return np.fft.rfft(frames * np.hamming(257) / np.sqrt(512), 512)


NUMBERS = [0, 3, 14, 9]


def found_features(sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
    ((_, spans),) = sequences.stream([torch.tensor(NUMBERS)])
    mixture, targets = sequences.features(spans)
    return mixture.numpy(), targets.numpy()


def expected_target(definition: str, x: np.ndarray, v: np.ndarray, b: np.ndarray) -> np.ndarray:
    if definition == "magnitude":
        return np.minimum(v, 0.1)
    return np.minimum(x * v / (v + b + 1e-15) if definition == "irm_background" else 2 * x * v / (v + x + 1e-15), 0.1)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("definition", ["magnitude", "irm_background", "irm_mixture_x2"])
def test_each_of_four_sources_has_its_own_target(stems: Tracks, definition: str, held: bool) -> None:
    recipe = with_sources("HEL1", definition)
    sequences = Sequences(stems, recipe, Stft(recipe.front_end), augmented=False, held=held)
    bins = bins_of(stems, sequences, NUMBERS)
    mixture, targets = found_features(sequences)
    assert targets.shape == (4, 4, 12, 257)
    np.testing.assert_allclose(mixture, np.abs(bins[:, 0]), atol=1e-5)
    for source in range(4):
        of_source, rest = np.abs(bins[:, 1 + source]), np.abs(bins[:, 0] - bins[:, 1 + source])
        expected = expected_target(definition, np.abs(bins[:, 0]), of_source, rest)
        np.testing.assert_allclose(targets[:, source], expected, atol=1e-5)
    assert (targets == np.float32(0.1)).any() and not np.allclose(targets[:, 0], targets[:, 2], atol=0.02)


@pytest.mark.parametrize("definition", ["magnitude", "irm_background"])
def test_the_background_is_what_the_voice_leaves_of_the_mixture(stems: Tracks, definition: str) -> None:
    """Tracks may hold more signals than a recipe trains with."""
    recipe = with_sources("GRA", definition)
    sequences = Sequences(stems, recipe, Stft(recipe.front_end), augmented=False)
    bins = bins_of(stems, sequences, NUMBERS)
    _, targets = found_features(sequences)
    assert targets.shape == (4, 2, 12, 257)
    x, v, b = np.abs(bins[:, 0]), np.abs(bins[:, 1]), np.abs(bins[:, 0] - bins[:, 1])
    np.testing.assert_allclose(targets[:, 0], expected_target(definition, x, v, b), atol=1e-5)
    np.testing.assert_allclose(targets[:, 1], expected_target(definition, x, b, v), atol=1e-5)


def test_four_sources_that_are_held_are_those_that_are_streamed(stems: Tracks) -> None:
    recipe = with_sources("HEL1", "magnitude")
    batches = torch.randperm(20, generator=torch.Generator().manual_seed(1)).split(6)
    pairs = [list(Sequences(stems, recipe, Stft(recipe.front_end), augmented=False, held=held).stream(batches)) for held in (True, False)]
    for (numbers, spans), (expected_numbers, expected) in zip(*pairs, strict=True):
        assert spans.shape == (len(numbers), 5, N_SPAN)
        assert torch.equal(numbers, expected_numbers) and torch.equal(spans, expected)


@pytest.mark.parametrize(
    ("recipe", "signals"),
    [
        ("HEL1", ("mixture", "vocals")),
        ("HEL1", ("mixture", "vocals", "bass", "drums", "other")),
        ("HEL1", STEMS[1:]),
        ("GRA", ("mixture", "accompaniment", "vocals")),
    ],
)
def test_other_signals_than_the_recipes_sources_are_refused(stems: Tracks, recipe: str, signals: tuple[str, ...]) -> None:
    trained = with_sources(recipe, "magnitude")
    with pytest.raises(ValueError, match=r"ann-a-[0-9a-f]{8}\.npy: has the signals .*; expected mixture, vocals.* first"):
        Sequences([dataclasses.replace(stems[0], signals=signals)], trained, Stft(trained.front_end), augmented=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_batches_are_those_of_the_cpu_and_nothing_waits(songs: Tracks) -> None:
    recipe, batches = tiny_recipe(training={"augmentation": ALL.model_dump()}), torch.arange(40).split(8)
    expected = list(drawn(songs, ALL).stream(batches))
    for held in (True, False):
        sequences = Sequences(songs, recipe, Stft(recipe.front_end, "cuda"), augmented=True, held=held)
        sequences.draw(torch.Generator().manual_seed(3))
        found = list(sequences.stream(batches))
        assert all(torch.equal(spans.cpu(), other) for (_, spans), (_, other) in zip(found, expected, strict=True))
        stream = sequences.stream(batches)
        static = next(stream)[1].clone()
        graph = torch.cuda.CUDAGraph()
        sequences.features(static)
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # the reader allocates pinned memory meanwhile
            captured = sequences.features(static)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _, spans in stream:
                static.copy_(spans)
                graph.replay()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        for one, other in zip(captured, drawn(songs, ALL).features(expected[-1][1]), strict=True):
            torch.testing.assert_close(one.cpu(), other, atol=1e-5, rtol=1e-5)


# --- the reading thread


@pytest.mark.usefixtures("no_thread_left")
def test_an_error_of_the_thread_ends_the_loop(songs: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Streamed.read

    def failing(self: Streamed, numbers: torch.Tensor, mixtures: Any) -> Any:
        if 9 in numbers:
            raise OSError("the disk is gone")
        return read(self, numbers, mixtures)

    monkeypatch.setattr(Streamed, "read", failing)
    arrived = []
    with pytest.raises(OSError, match="the disk is gone"):
        for numbers, _ in sequences_of(songs).stream(torch.arange(30).split(4)):
            arrived += numbers.tolist()
    assert arrived == list(range(8))


@pytest.mark.usefixtures("no_thread_left")
def test_leaving_early_ends_the_thread(songs: Tracks) -> None:
    stream = sequences_of(songs).stream(torch.arange(30).split(2))
    next(stream)
    assert len(readers()) == 1
    stream.close()
    assert readers() == []
    for _ in sequences_of(songs).stream(torch.arange(30).split(2)):
        break


@pytest.mark.usefixtures("no_thread_left")
def test_the_thread_reads_a_few_batches_ahead_and_no_more(songs: Tracks) -> None:
    taken: list[int] = []

    def batches() -> Iterator[torch.Tensor]:
        for number in itertools.count():
            taken.append(number)
            yield torch.arange(3)

    stream = sequences_of(songs).stream(batches())
    for _ in range(3):
        next(stream)
    assert len(taken) == 3 + N_AHEAD
    stream.close()


def test_waiting_is_measured(songs: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second each time that it is read, which is before and after each wait."""
    sequences, held = drawn(songs, ALL), drawn(songs, ALL, held=True)
    monkeypatch.setattr(spans_module, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    batches = torch.arange(32).split(4)
    assert sequences.wait_s == 0
    list(sequences.stream(batches))
    assert sequences.wait_s == 8
    sequences.draw(torch.Generator())
    assert sequences.wait_s == 0
    list(held.stream(batches))
    assert held.wait_s == 0
