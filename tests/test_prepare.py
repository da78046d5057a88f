"""Prepared arrays against the files they come from, and every faulty track refused."""

import errno
import hashlib
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import musdb
import numpy as np
import pytest
import soundfile as sf
from prepared_tracks import AWKWARD_NAMES, with_sources

from madsep.core.errors import InputError
from madsep.data.datasets import MUSDB18
from madsep.data.prepare import prepare
from madsep.data.prepared import Form, PreparedTrack, read_prepared
from madsep.data.tracks import Track

RATE_HZ = 44_100
N_SAMPLES = RATE_HZ // 2
TEST_SIGNALS = ("mixture", "vocals", "accompaniment")
FORM = Form(TEST_SIGNALS, False, RATE_HZ)
NAME = "A - B"


def make_stems(seed: int = 0) -> dict[str, np.ndarray]:
    """Return five int16 stems of shape (2, n_samples); the mixture is the sum of the others."""
    generator = np.random.default_rng(seed)
    sources = {name: generator.integers(-8000, 8000, (2, N_SAMPLES)).astype(np.int16) for name in MUSDB18.stems[1:]}
    return {"mixture": sum(sources.values()), **sources}


def write_track(root: Path, stems: dict[str, np.ndarray], name: str = NAME, subset: str = "test") -> Track:
    folder = root / name
    folder.mkdir(parents=True)
    for stem, samples in stems.items():
        sf.write(folder / f"{stem}.wav", samples.T, RATE_HZ, subtype="PCM_16")
    return with_sources(Track(name, subset, "wav", str(folder), 0.5, "musdb18"))


def prepare_one(track: Track, tmp_path: Path, form: Form = FORM) -> PreparedTrack:
    prepare([track], form, tmp_path / "out", "job")
    (prepared,) = read_prepared(tmp_path / "out", [track.slug], [track.subset])
    return prepared


def refuse(tracks: list[Track], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        prepare(tracks, FORM, tmp_path / "out", "job")
    assert not (tmp_path / "out/jobs/job.json").exists()


@pytest.fixture
def stem_track(shared: Path, tmp_path: Path) -> Track:
    """A copy of the real stem file, as a test track."""
    path = tmp_path / "test" / "Music Delta - 80s Rock.stem.mp4"
    path.parent.mkdir()
    shutil.copyfile(shared / "data/musdb_sample/train" / path.name, path)
    return with_sources(Track("Music Delta - 80s Rock", "test", "stems", str(path), 6.8, "musdb18"))


def test_stereo_wavs_are_kept_exactly(tmp_path: Path) -> None:
    stems = make_stems()
    track = write_track(tmp_path, stems, "Angels & Co. (feat. X) - I'm Alright")
    prepared = prepare_one(track, tmp_path)
    array = np.load(prepared.file, mmap_mode="r")
    assert array.dtype == np.float32
    assert array.shape == (3, 2, N_SAMPLES)
    accompaniment = stems["drums"].astype(int) + stems["bass"] + stems["other"]
    for found, expected in zip(array, [stems["mixture"], stems["vocals"], accompaniment], strict=True):
        np.testing.assert_array_equal(found * 32768, expected)
    slug = "angels-co-feat-x-i-m-alright-" + hashlib.sha256(track.name.encode()).hexdigest()[:8]
    assert prepared == PreparedTrack(
        file=tmp_path / f"out/{slug}.npy",
        identity=FORM.identity(track),
        sha256=hashlib.sha256((tmp_path / f"out/{slug}.npy").read_bytes()).hexdigest(),
        slug=slug,
        name="Angels & Co. (feat. X) - I'm Alright",
        subset="test",
        layout="wav",
        signals=TEST_SIGNALS,
        n_channels=2,
        n_samples=N_SAMPLES,
        sample_rate_hz=RATE_HZ,
        mixture_residual_db=None,
        notes=(),
        sources={path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(track.path).iterdir()},
        ffmpeg=None,
    )


@pytest.mark.parametrize("subset", ["train", "extra"])
def test_mono_is_the_mean_of_left_and_right(tmp_path: Path, subset: str) -> None:
    stems = make_stems()
    prepared = prepare_one(write_track(tmp_path, stems, subset=subset), tmp_path, Form(("mixture", "vocals"), True, RATE_HZ))
    array = np.load(prepared.file)
    assert array.shape == (2, 1, N_SAMPLES)
    assert (prepared.n_channels, prepared.subset) == (1, subset)
    for found, stem in zip(array, ["mixture", "vocals"], strict=True):
        np.testing.assert_array_equal(found[0] * 65536, stems[stem].astype(int).sum(axis=0))


def write_clip(root: Path, **formats: tuple[int, int]) -> Track:
    """A clip like MIR-1K's, louder than full scale; `formats` gives rate and channels of single stems."""
    voice, music = np.random.default_rng(0).integers(-30_000, 30_000, (2, 800)) / 32768
    (root / "Ani_1_01").mkdir()
    for stem, samples in {"mixture": voice + music, "accompaniment": music, "vocals": voice}.items():
        rate_hz, n_channels = formats.get(stem, (16_000, 1))
        sf.write(root / "Ani_1_01" / f"{stem}.wav", np.stack([samples] * n_channels, axis=1), rate_hz, subtype="FLOAT")
    return with_sources(Track("Ani_1_01", "test", "wav", str(root / "Ani_1_01"), 0.05, "mir1k"))


@pytest.mark.parametrize("mono", [False, True])
def test_mir1k_is_mono_at_16_khz(tmp_path: Path, mono: bool) -> None:
    track = write_clip(tmp_path)
    prepared = prepare_one(track, tmp_path, Form(TEST_SIGNALS, mono, 16_000))
    array = np.load(prepared.file)
    assert (prepared.sample_rate_hz, prepared.n_channels, prepared.n_samples, array.shape) == (16_000, 1, 800, (3, 1, 800))
    assert (prepared.mixture_residual_db, prepared.notes) == (None, ())
    assert sorted(prepared.sources) == ["accompaniment", "mixture", "vocals"]
    for stem, found in zip(TEST_SIGNALS, array, strict=True):
        np.testing.assert_array_equal(found[0], sf.read(Path(track.path) / f"{stem}.wav")[0])
    assert np.abs(array[0]).max() > 1


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        ({"vocals": (16_000, 2)}, r"vocals\.wav: expected mono \(1 channel\), found 2\."),
        ({"mixture": (44_100, 1)}, r"mixture\.wav: expected a sample rate of 16000 Hz, found 44100 Hz\."),
    ],
)
def test_mir1k_of_another_format_is_refused(tmp_path: Path, formats: dict[str, tuple[int, int]], message: str) -> None:
    refuse([write_clip(tmp_path, **formats)], message, tmp_path)


def test_mir1k_has_no_drums(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="drums"):
        prepare_one(write_clip(tmp_path), tmp_path, Form(("mixture", "drums"), False, 16_000))


def test_every_stem_can_be_had(tmp_path: Path) -> None:
    stems = make_stems()
    array = prepare_one(write_track(tmp_path, stems), tmp_path, Form(MUSDB18.stems, False, RATE_HZ)).array()
    np.testing.assert_array_equal(array * 32768, np.stack([stems[stem] for stem in MUSDB18.stems]))


def test_unknown_signals_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="guitar"):
        prepare_one(write_track(tmp_path, make_stems()), tmp_path, Form(("mixture", "guitar"), False, RATE_HZ))


def test_wavs_are_prepared_without_musdb(tmp_path: Path) -> None:
    track = write_track(tmp_path, make_stems())
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["musdb", "stempeg", "museval"]))
from pathlib import Path
from madsep.data.prepare import prepare
from madsep.data.prepared import Form, PreparedTrack, read_prepared
from madsep.data.prepared import Form
from madsep.data.tracks import Track
prepare([{track!r}], Form(("vocals",), False, {RATE_HZ}), Path("out"), "job")
"""
    root = str(Path(__file__).parents[1])
    environment = {"PATH": str(tmp_path), "PYTHONPATH": root}  # no ffmpeg either
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "out/jobs/job.json").exists()


def test_stem_file_is_musdbs_own_decoding(stem_track: Track, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    prepared = prepare_one(stem_track, tmp_path)
    array = np.load(prepared.file)
    (truth,) = musdb.DB(root=str(tmp_path), subsets="test").tracks
    targets = [truth.audio, truth.targets["vocals"].audio, truth.targets["accompaniment"].audio]
    np.testing.assert_array_equal(array, [target.T for target in targets])
    residual = truth.audio - truth.targets["linear_mixture"].audio
    residual_db = 10 * np.log10(np.sum(residual**2) / np.sum(truth.audio**2))
    assert prepared.mixture_residual_db == pytest.approx(residual_db, abs=0.006)
    assert prepared.notes == ()
    assert prepared.n_samples == len(truth.audio)
    assert prepared.ffmpeg
    assert prepared.sources == {"stems": hashlib.sha256(Path(stem_track.path).read_bytes()).hexdigest()}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("n_kept", [0, 10_000, 600_000, 1_100_000, 1_121_358])
def test_truncated_stem_file(stem_track: Track, tmp_path: Path, n_kept: int, capfd: pytest.CaptureFixture) -> None:
    path = Path(stem_track.path)
    path.write_bytes(path.read_bytes()[:n_kept])
    message = "truncated" if n_kept else "is not an mp4 file"
    refuse([stem_track], rf"80s Rock\.stem\.mp4: .*{message}", tmp_path)
    assert capfd.readouterr() == ("", "")


def test_damaged_stem_file_with_its_full_size(stem_track: Track, tmp_path: Path) -> None:
    path = Path(stem_track.path)
    content = path.read_bytes()
    path.write_bytes(content[:600_000] + bytes(len(content) - 600_000))
    refuse([stem_track], r"80s Rock\.stem\.mp4: the file is truncated or damaged: 'mixture' decodes to", tmp_path)


def make_stem_file(tmp_path: Path, durations_s: list[float], rate_hz: int = RATE_HZ, n_channels: int = 2) -> Track:
    path = tmp_path / "A.stem.mp4"
    layout = {1: "mono", 2: "stereo"}[n_channels]
    noises = [f"anoisesrc=r={rate_hz}:d={duration_s}:a=0.1,aformat=cl={layout}" for duration_s in durations_s]
    inputs = [argument for noise in noises for argument in ("-f", "lavfi", "-i", noise)]
    maps = [argument for index in range(len(durations_s)) for argument in ("-map", str(index))]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, *maps, "-c:a", "aac", path], check=True)
    return with_sources(Track("A", "test", "stems", str(path), 1.0, "musdb18"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"durations_s": [0.5] * 4}, r"expected 5 audio streams .*, found 4"),
        ({"durations_s": [0.5, 0.5, 0.4, 0.5, 0.5]}, "the stem 'bass' has .* all stems of a track"),
        ({"durations_s": [0.5] * 5, "rate_hz": 48_000}, "expected a sample rate of 44100 Hz, found 48000 Hz"),
        ({"durations_s": [0.5] * 5, "n_channels": 1}, r"expected stereo \(2 channels\), found 1"),
        ({"durations_s": [0.5] * 5}, r"differs from the sum of its stems by \d+\.\d dB .* not its stems"),
    ],
)
def test_faulty_stem_files(tmp_path: Path, arguments: dict, message: str) -> None:
    refuse([make_stem_file(tmp_path, **arguments)], rf"A\.stem\.mp4: .*{message}", tmp_path)


def test_stem_files_need_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = make_stem_file(tmp_path, [0.5] * 5)
    monkeypatch.setenv("PATH", str(tmp_path))
    refuse([track], "ffmpeg and ffprobe not found", tmp_path)


def test_all_faulty_tracks_are_reported_at_once(tmp_path: Path) -> None:
    tracks = [write_track(tmp_path, make_stems(n), f"Track {n}") for n in range(1, 8)]
    folders = [Path(track.path) for track in tracks]
    mono, short, rate, cut, bad, gone, _ = folders
    prepare(tracks, FORM, tmp_path / "out", "job")  # which the faults then make outdated
    sf.write(mono / "bass.wav", np.zeros(N_SAMPLES), RATE_HZ)
    sf.write(short / "drums.wav", np.zeros((N_SAMPLES - 1, 2)), RATE_HZ)
    sf.write(rate / "other.wav", np.zeros((N_SAMPLES, 2)), 48_000)
    (cut / "vocals.wav").write_bytes((cut / "vocals.wav").read_bytes()[:-4000])
    sf.write(bad / "vocals.wav", np.full((N_SAMPLES, 2), np.nan), RATE_HZ, subtype="FLOAT")
    (gone / "bass.wav").unlink()
    with pytest.raises(InputError) as caught:
        prepare(
            [replace(track, sources={"mixture": "new"}) if track is not tracks[-1] else track for track in tracks],
            FORM,
            tmp_path / "out",
            "job",
        )
    lines = str(caught.value).splitlines()
    expected = [
        f"{mono}/bass.wav: expected stereo (2 channels), found 1.",
        f"{short}/drums.wav: the stem 'drums' has {N_SAMPLES - 1} samples, expected {N_SAMPLES} as in the mixture;",
        f"{rate}/other.wav: expected a sample rate of 44100 Hz, found 48000 Hz.",
        f"{cut}/vocals.wav: the file is truncated: ",
        f"{bad}/vocals.wav: holds NaN or infinite samples, the first at 0.000 s;",
        f"{gone}/bass.wav: no such file.",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)
    assert not (tmp_path / "out/jobs/job.json").exists()
    assert [path.stem for path in (tmp_path / "out/records").iterdir()] == [tracks[-1].slug]


def add_noise(stems: dict[str, np.ndarray], level_db: float) -> dict[str, np.ndarray]:
    """Return the stems with noise of that level, relative to the mixture, added to the mixture."""
    scale = np.sqrt(np.mean(stems["mixture"].astype(float) ** 2)) * 10 ** (level_db / 20)
    noise = np.random.default_rng(9).standard_normal(stems["mixture"].shape) * scale
    return stems | {"mixture": np.rint(stems["mixture"] + noise).clip(-32768, 32767).astype(np.int16)}


def test_a_mixture_that_is_not_quite_the_sum_is_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "madsep"):
        close = prepare_one(write_track(tmp_path, add_noise(make_stems(), -50), "Close"), tmp_path)
        assert not caplog.records
        apart = prepare_one(write_track(tmp_path, add_noise(make_stems(), -30), "Apart"), tmp_path)
    assert close.mixture_residual_db == pytest.approx(-50, abs=0.1)
    assert close.notes == ()
    assert apart.mixture_residual_db == pytest.approx(-30, abs=0.1)
    assert apart.notes == ("the mixture differs from the sum of its stems by -30.0 dB of its energy",)
    assert [record.getMessage() for record in caplog.records] == [f"Apart ({apart.slug}): {apart.notes[0]}"]


def test_a_mixture_of_other_stems_is_refused(tmp_path: Path) -> None:
    stems = make_stems() | {"vocals": make_stems(seed=1)["vocals"]}
    refuse([write_track(tmp_path, stems)], r"A - B: the mixture differs .* at most -10 dB is allowed", tmp_path)


def test_the_known_erratum_of_the_sum_is_only_noted(tmp_path: Path) -> None:
    stems = make_stems()
    stems["mixture"][0] = stems["vocals"][0]
    prepared = prepare_one(write_track(tmp_path, stems, "PR - Oh No"), tmp_path)
    assert prepared.notes[0].startswith("known erratum: the sum of the sources is not the mixture")
    assert prepared.notes[1].startswith("the mixture differs from the sum")
    bleeding = write_track(tmp_path, stems, "Detsky Sad - Walkie Talkie")
    refuse_path = tmp_path / "second"
    refuse([bleeding], "the mixture differs", refuse_path)


@pytest.mark.parametrize("silent", ["vocals", "accompaniment"])
@pytest.mark.parametrize("subset", ["train", "test", "extra"])
def test_a_silent_reference_of_a_test_track_is_noted(tmp_path: Path, silent: str, subset: str) -> None:
    stems = make_stems()
    if silent == "vocals":
        stems["vocals"][1] = -stems["vocals"][0]  # its channels cancel: silent to the scoring
    else:
        stems |= dict.fromkeys(["drums", "bass", "other"], np.zeros((2, N_SAMPLES), np.int16))
    stems["mixture"] = sum(stems[name] for name in MUSDB18.stems[1:])
    prepared = prepare_one(write_track(tmp_path, stems, subset=subset), tmp_path)
    note = f"the {silent} are silent throughout, so this track cannot be scored"
    assert prepared.notes == ((note,) if subset == "test" else ())


def test_a_silent_mixture_is_refused(tmp_path: Path) -> None:
    stems = dict.fromkeys(MUSDB18.stems, np.zeros((2, N_SAMPLES), np.int16))
    refuse([write_track(tmp_path, stems)], "the mixture is silent", tmp_path)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    track = write_track(tmp_path, make_stems())
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    other = write_track(tmp_path, make_stems(), "C - D")
    refuse([track, other], rf"{track.slug}\.npy: the disk is full[^\n]*$", tmp_path)  # once, not for each track
    assert not (tmp_path / "out").exists()


# --- another rate


def write_tones(root: Path) -> Track:
    """One second: vocals of 440 Hz in the left channel and 1 kHz in the right one, other of 12 kHz, above what 16 kHz can hold."""
    time_s = np.arange(RATE_HZ) / RATE_HZ

    def tone(*frequencies_hz: float) -> np.ndarray:
        return np.stack([np.rint(8000 * np.sin(2 * np.pi * frequency_hz * time_s)) for frequency_hz in frequencies_hz]).astype(np.int16)

    sources = {"vocals": tone(440, 1000), "drums": tone(100, 100), "bass": tone(50, 70), "other": tone(12_000, 12_000)}
    return write_track(root, {"mixture": sum(sources.values()), **sources}, subset="train")


def test_at_another_rate_tones_keep_their_frequency_and_their_phase(tmp_path: Path) -> None:
    prepared = prepare_one(write_tones(tmp_path), tmp_path, Form(("mixture", "vocals", "other"), False, 16_000))
    assert (prepared.sample_rate_hz, prepared.n_samples, prepared.n_channels) == (16_000, 16_000, 2)
    array = np.load(prepared.file)
    assert array.dtype == np.float32 and array.shape == (3, 2, 16_000)
    inner, time_s = slice(1000, -1000), np.arange(16_000) / 16_000
    for channel, frequency_hz in enumerate((440, 1000)):
        expected = 8000 / 32768 * np.sin(2 * np.pi * frequency_hz * time_s)
        np.testing.assert_allclose(array[1, channel, inner], expected[inner], atol=1e-4)
    assert np.abs(array[2, :, inner]).max() < 1e-3
    low = 8000 / 32768 * (np.sin(2 * np.pi * 100 * time_s) + np.sin(2 * np.pi * 50 * time_s))
    np.testing.assert_allclose((array[0, 0] - array[1, 0])[inner], low[inner], atol=2e-3)


def test_mono_at_another_rate_is_the_mean(tmp_path: Path) -> None:
    track = write_tones(tmp_path)
    mono, stereo = (prepare_one(track, tmp_path / f"{mono}", Form(("mixture", "vocals"), mono, 16_000)).array() for mono in (True, False))
    assert mono.shape == (2, 1, 16_000)
    np.testing.assert_allclose(mono[:, 0], stereo.mean(axis=1), atol=1e-6)


# --- identity


def stamps(folder: Path) -> dict[str, int]:
    """When each file was written, in nanoseconds."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}


def test_what_is_prepared_already_is_left_as_it_is_wherever_its_sources_lie(tmp_path: Path) -> None:
    tracks = [write_track(tmp_path / "one", make_stems(seed), f"Track {seed}") for seed in range(2)]
    prepare(tracks, FORM, tmp_path / "out", "job")
    before = stamps(tmp_path / "out") | stamps(tmp_path / "out/records")
    (tmp_path / "one").rename(tmp_path / "two")
    moved = [replace(track, path=track.path.replace("/one/", "/two/")) for track in tracks]
    prepare(moved[1:], FORM, tmp_path / "out", "other")
    prepare(moved, FORM, tmp_path / "out", "job")
    assert stamps(tmp_path / "out") | stamps(tmp_path / "out/records") == before
    assert sorted(path.name for path in (tmp_path / "out/jobs").iterdir()) == ["job.json", "other.json"]


def test_a_stem_that_was_replaced_prepares_its_track_alone_again(tmp_path: Path) -> None:
    tracks = [write_track(tmp_path, make_stems(seed), f"Track {seed}") for seed in range(2)]
    prepare(tracks, FORM, tmp_path / "out", "job")
    first, second = (prepare_one(track, tmp_path) for track in tracks)
    stems = make_stems(7)
    for name, samples in stems.items():
        sf.write(Path(tracks[0].path) / f"{name}.wav", samples.T, RATE_HZ, subtype="PCM_16")
    before = stamps(tmp_path / "out")
    prepare([with_sources(tracks[0]), tracks[1]], FORM, tmp_path / "out", "job")
    after = stamps(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {first.file.name}
    np.testing.assert_array_equal(first.array()[0] * 32768, stems["mixture"])
    assert prepare_one(tracks[1], tmp_path) == second


@pytest.mark.parametrize(
    "form", [Form(TEST_SIGNALS[:2], False, RATE_HZ), Form(TEST_SIGNALS, True, RATE_HZ), Form(TEST_SIGNALS, False, 16_000)]
)
def test_another_form_prepares_again(tmp_path: Path, form: Form) -> None:
    track = write_track(tmp_path, make_stems())
    before, after = prepare_one(track, tmp_path), prepare_one(track, tmp_path, form)
    assert before.identity != after.identity and before.sha256 != after.sha256
    assert after.array().shape == (len(form.signals), 1 if form.mono else 2, N_SAMPLES * form.sample_rate_hz // RATE_HZ)


def test_a_track_that_becomes_a_training_track_says_so(tmp_path: Path) -> None:
    track = write_track(tmp_path, make_stems(), subset="extra")
    assert prepare_one(track, tmp_path).subset == "extra"
    assert prepare_one(replace(track, subset="train"), tmp_path).subset == "train"


def test_sources_that_change_during_the_run_are_refused_and_the_other_tracks_are_made(tmp_path: Path) -> None:
    tracks = [write_track(tmp_path, make_stems(seed), f"Track {seed}") for seed in range(3)]
    sf.write(Path(tracks[1].path) / "vocals.wav", make_stems(1)["vocals"].T, RATE_HZ, subtype="PCM_24")
    refuse(tracks, rf"^{tracks[1].path}: changed while the run was under way; run the same command again\.$", tmp_path)
    records = {path.stem for path in (tmp_path / "out/records").iterdir()}
    assert records == {tracks[0].slug, tracks[2].slug}
    tracks[1] = with_sources(tracks[1])
    prepare(tracks, FORM, tmp_path / "out", "job")
    assert len(read_prepared(tmp_path / "out", [track.slug for track in tracks], ["test"])) == 3


def test_a_failed_preparation_after_a_finished_one_is_not_finished(tmp_path: Path) -> None:
    track = write_track(tmp_path, make_stems())
    prepare([track], FORM, tmp_path / "out", "job")
    sf.write(Path(track.path) / "bass.wav", np.zeros(N_SAMPLES), RATE_HZ)
    refuse([with_sources(track)], "expected stereo", tmp_path)
    with pytest.raises(InputError, match="is missing; run the same command again"):
        read_prepared(tmp_path / "out", [track.slug], ["test"])


def test_names_of_all_kinds(tmp_path: Path) -> None:
    silence = np.zeros((64, 2), np.int16)
    tracks = []
    for number, name in enumerate(AWKWARD_NAMES):
        (tmp_path / "musdb" / name).mkdir(parents=True)
        for stem in MUSDB18.stems:
            samples = silence + np.int16(number + 1) if stem in ("mixture", "vocals") else silence
            sf.write(tmp_path / "musdb" / name / f"{stem}.wav", samples, RATE_HZ, subtype="PCM_16")
        tracks.append(with_sources(Track(name, "test", "wav", str(tmp_path / "musdb" / name), 0.0, "musdb18")))
    prepare(tracks, FORM, tmp_path / "out", "job")
    prepared = read_prepared(tmp_path / "out", [track.slug for track in tracks], ["test"])
    assert [track.name for track in prepared] == list(AWKWARD_NAMES)
    assert [track.signal("vocals")[0, 0] * 32768 for track in prepared] == list(range(1, len(AWKWARD_NAMES) + 1))
    assert all(track.file.name.isascii() and len(track.file.name) < 80 for track in prepared)
