"""The stage for callables, folders of estimates and oracles: the files, their records, and every fault of a folder."""

import importlib
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile as sf
from prepared_tracks import AWKWARD_NAMES, write_prepared_track
from wavs import RATE_HZ, noise_stems, prepare_test_tracks, write_track

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import read_json, sha256
from madsep.data.choices import Layout
from madsep.data.datasets import ALL_TARGETS, STEMS, TARGETS
from madsep.data.layouts import song_file
from madsep.data.prepared import PreparedTrack
from madsep.separation.estimates import separate_external
from madsep.separation.external import External, external_targets
from madsep.separation.oracles import ORACLES, oracle_estimates

NAMES = ("Artist & Co. - It's (Mine)", 'P.I.L. - "Quoted" No. 2')
TWO = ("vocals", "accompaniment")
ROOT = Path(__file__).resolve().parents[1]


class Tracks(NamedTuple):
    """Two test tracks of different lengths, in `root`, and prepared with all signals and with two; not to be changed."""

    root: Path
    all: list[PreparedTrack]
    two: list[PreparedTrack]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Tracks:
    folder = tmp_path_factory.mktemp("tracks")
    for number, name in enumerate(NAMES):
        write_track(folder / "musdb/test" / name, noise_stems(number, 0.2 + 0.03 * number))
    write_track(folder / "musdb/train/Somebody - Else", noise_stems(9, 0.1))
    prepared = [
        prepare_test_tracks(folder / "musdb", folder / name, signals)
        for name, signals in {"all": ["mixture", *ALL_TARGETS], "two": ["mixture", *TARGETS]}.items()
    ]
    return Tracks(folder / "musdb/test", *prepared)


@pytest.fixture
def separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module, importable from the current folder, that tests may write as `tmp_path / "<name>.py"`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return "mine"


def run(
    external: External, tracks: Tracks, out: Path, targets: Sequence[str] | None = None, prepared: list[PreparedTrack] | None = None
) -> Path:
    """Separate both tracks; return the folder of the estimates."""
    folder = out / "estimates"
    separate_external(external, targets or external_targets(external, NAMES), prepared or tracks.all, folder, "job")
    return folder


def read(path: Path) -> np.ndarray:
    """16-bit samples (n_samples, n_channels) as integers."""
    assert sf.info(path).subtype == "PCM_16" and sf.info(path).samplerate == RATE_HZ
    return sf.read(path, dtype="int16", always_2d=True)[0].astype(int)


def stem(tracks: Tracks, name: str, target: str) -> np.ndarray:
    return read(tracks.root / name / f"{target}.wav")


def check_records(folder: Path, tracks: list[PreparedTrack], targets: Sequence[str]) -> None:
    """They name every file that is there, with its hash, and so does the stamp name every track."""
    for track in tracks:
        record = Stage(folder).checked(track.slug)
        assert list(record.files) == [f"test/{track.name}/{target}.wav" for target in targets]
        assert record.facts == {"name": track.name, "n_clipped": dict.fromkeys(targets, 0)}
        assert record.made_from["prepared"] == track.sha256 and record.made_from["targets"] == ",".join(targets)
    assert list(read_json(folder / "jobs/job.json")["tracks"]) == [track.slug for track in tracks]
    n_files = len([path for path in folder.rglob("*") if path.is_file()])
    assert n_files == len(tracks) * (len(targets) + 1) + 1


def estimates_of(tracks: Tracks, folder: Path, targets: Sequence[str], subtype: str = "PCM_16", format: str = "WAV") -> External:
    """A folder that holds half of each reference stem as the estimates (all but the vocals' half as the accompaniment)."""
    for name in NAMES:
        (folder / "test" / name).mkdir(parents=True)
        for target in targets:
            references = [stem(tracks, name, part) for part in (STEMS[1:] if target == "accompaniment" else [target])]
            samples = (sum(references) // 2) / 32768
            sf.write(folder / "test" / name / f"{target}.wav", samples, RATE_HZ, subtype=subtype, format=format)
    return External(estimates=str(folder), origin="config")


# callables


def test_a_callable_of_the_vocals_gives_two_targets_that_add_up(tmp_path: Path, tracks: Tracks, separator: str) -> None:
    (tmp_path / "mine.py").write_text("def f(audio, rate):\n    audio /= 2\n    return {'vocals': audio}\n")
    folder = run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path, prepared=tracks.two)
    check_records(folder, tracks.two, TWO)
    for name in NAMES:
        vocals, accompaniment = (read(folder / "test" / name / f"{target}.wav") for target in TWO)
        mixture = stem(tracks, name, "mixture")
        np.testing.assert_array_equal(vocals, np.rint(mixture / 2))
        np.testing.assert_array_equal(vocals + accompaniment, mixture)


def test_a_callable_of_four_stems_gives_five_targets_that_add_up(tmp_path: Path, tracks: Tracks, separator: str) -> None:
    (tmp_path / "mine.py").write_text(
        "def f(audio, rate):\n"
        "    assert rate == 44100\n"
        "    return {'other': audio / 3, 'bass': audio / 5, 'drums': audio / 7, 'vocals': audio / 9}\n"
        "f.madsep_targets = ('vocals', 'drums', 'bass', 'other')\n"
    )
    folder = run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    check_records(folder, tracks.all, ALL_TARGETS)
    for name in NAMES:
        mixture = stem(tracks, name, "mixture")
        files = {target: read(folder / "test" / name / f"{target}.wav") for target in ALL_TARGETS}
        for target, part in {"vocals": 9, "drums": 7, "bass": 5, "other": 3}.items():
            assert np.abs(files[target] - mixture / part).max() <= 0.51
        np.testing.assert_array_equal(files["accompaniment"], files["drums"] + files["bass"] + files["other"])


def test_estimates_beyond_the_targets_are_left_out_and_said(
    tmp_path: Path, tracks: Tracks, separator: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.py").write_text("def f(audio, rate):\n    return {name: audio / 4 for name in ('vocals', 'drums')}\n")
    with caplog.at_level(logging.INFO, "madsep"):
        folder = run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    check_records(folder, tracks.all, TWO)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "estimates by separator mine:f (config)"
    assert lines[1:] == [f"separator mine:f, {name}: drums not among the system's targets, left out" for name in NAMES]


FOUR = "def f(audio, rate):\n    return {name: audio / 4 for name in ('vocals', 'drums', 'bass', 'other')}\n"


def test_four_stems_without_declared_targets_are_refused(tmp_path: Path, tracks: Tracks, separator: str) -> None:
    (tmp_path / "mine.py").write_text(FOUR)
    message = f"separator mine:f, {NAMES[0]}: returned vocals, drums, bass, other, but no targets were declared, so vocals and acc"
    with pytest.raises(InputError, match="^" + re.escape(message)):
        run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    assert list((tmp_path / "estimates").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "targets"), [(FOUR, TWO), (FOUR + "f.madsep_targets = ('vocals', 'accompaniment')\n", None), (FOUR, STEMS)]
)
def test_four_stems_where_targets_are_set(
    tmp_path: Path, tracks: Tracks, separator: str, code: str, targets: tuple[str, ...] | None
) -> None:
    (tmp_path / "mine.py").write_text(code)
    folder = run(External(separator=f"{separator}:f", origin="config", targets=targets), tracks, tmp_path)
    check_records(folder, tracks.all, ALL_TARGETS if targets == STEMS else TWO)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('weights')", "separator mine:f, {}: failed: KeyError: 'weights'"),
        ("return {'vocals': audio * float('nan')}", "separator mine:f, {}, vocals: holds NaN or infinite samples."),
        ("return {'vocals': audio.T}", "separator mine:f, {}, vocals: has shape (2, 8820); expected (8820, 2)"),
        ("return {'accompaniment': audio}", "separator mine:f, {}: there is no estimate of vocals; expected vocals, accompaniment."),
    ],
)
def test_a_callable_that_fails_leaves_no_stamp(tmp_path: Path, tracks: Tracks, separator: str, body: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(f"def f(audio, rate):\n    {body}\n")
    with pytest.raises(InputError, match="^" + re.escape(message.format(NAMES[0]))):
        run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    assert list((tmp_path / "estimates").iterdir()) == []


def test_clipped_samples_are_counted_and_said(tmp_path: Path, tracks: Tracks, separator: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "mine.py").write_text("def f(audio, rate):\n    audio[:] = 0\n    audio[:7, 1] = 1.5\n    return {'vocals': audio}\n")
    folder = run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    assert Stage(folder).checked(tracks.all[0].slug).facts["n_clipped"]["vocals"] == 7
    written = read(folder / "test" / NAMES[0] / "vocals.wav")
    assert written[:7, 1].tolist() == [32767] * 7 and not written[7:].any()
    assert f"{folder}/test/{NAMES[0]}/vocals.wav: 7 of {written.size} samples clipped" in caplog.messages


# folders


@pytest.mark.parametrize("targets", [TWO, ALL_TARGETS])
def test_a_folder_of_16_bit_estimates_is_copied_byte_by_byte(tmp_path: Path, tracks: Tracks, targets: tuple[str, ...]) -> None:
    external = estimates_of(tracks, tmp_path / "old", targets, format="WAVEX")  # with another header than that of `WavWriter`
    (tmp_path / "old/test" / NAMES[0] / "linear_mixture.wav").write_bytes(b"not read")
    folder = run(external, tracks, tmp_path)
    check_records(folder, tracks.all, targets)
    for original in (path for target in targets for path in (tmp_path / "old").rglob(f"{target}.wav")):
        assert (folder / original.relative_to(tmp_path / "old")).read_bytes() == original.read_bytes()


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_24", "DOUBLE"])
def test_a_folder_of_other_wavs_is_written_as_16_bit(tmp_path: Path, tracks: Tracks, subtype: str) -> None:
    folder = run(estimates_of(tracks, tmp_path / "old", STEMS, subtype), tracks, tmp_path)
    check_records(folder, tracks.all, ALL_TARGETS)
    for name in NAMES:
        files = {target: read(folder / "test" / name / f"{target}.wav") for target in ALL_TARGETS}
        for target in STEMS:
            np.testing.assert_array_equal(files[target], stem(tracks, name, target) // 2)
        np.testing.assert_array_equal(files["accompaniment"], files["drums"] + files["bass"] + files["other"])


def test_a_flac_called_wav_becomes_a_wav(tmp_path: Path, tracks: Tracks) -> None:
    external = estimates_of(tracks, tmp_path / "old", ["vocals"])
    for path in (tmp_path / "old").rglob("vocals.wav"):
        samples = read(path)
        sf.write(path, samples / 32768, RATE_HZ, subtype="PCM_16", format="FLAC")
    folder = run(external, tracks, tmp_path)
    check_records(folder, tracks.all, TWO)
    assert all(sf.info(path).format == "WAV" for path in folder.rglob("*.wav"))


@pytest.mark.parametrize("layout", ["mdx", "mvsep"])
@pytest.mark.parametrize(("format", "subtype"), [("wav", "FLOAT"), ("wav", "PCM_24"), ("flac", "PCM_24")])
def test_other_layouts_and_formats_give_the_same_estimates(
    tmp_path: Path, tracks: Tracks, layout: Layout, format: str, subtype: str
) -> None:
    plain = estimates_of(tracks, tmp_path / "plain", TWO)
    for name in NAMES:
        for target in TWO:
            audio, _ = sf.read(tmp_path / "plain/test" / name / f"{target}.wav")
            path = song_file(layout, tmp_path / "other", name, target, f".{format}")
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, audio, RATE_HZ, subtype=subtype)
    expected = run(plain, tracks, tmp_path / "a")
    other = External(estimates=str(tmp_path / "other"), origin="config")
    assert external_targets(other, NAMES) == TWO
    folder = run(other, tracks, tmp_path / "b")
    check_records(folder, tracks.all, TWO)
    for name in NAMES:
        for target in TWO:
            np.testing.assert_array_equal(*(read(root / "test" / name / f"{target}.wav") for root in (folder, expected)))


def test_a_doubled_estimate_is_refused_by_name(tmp_path: Path, tracks: Tracks) -> None:
    external = estimates_of(tracks, tmp_path / "old", TWO)
    folder = tmp_path / "old/test" / NAMES[0]
    shutil.copy(folder / "vocals.wav", folder / "vocals.flac")
    message = f"{folder}/vocals.wav: holds the vocals of {NAMES[0]}, and so does {folder}/vocals.flac; take one of them away."
    with pytest.raises(InputError, match="^" + re.escape(message)):
        run(external, tracks, tmp_path, TWO)


def remove(folder: Path) -> None:
    (folder / "vocals.wav").unlink()


def shorten(folder: Path) -> None:
    sf.write(folder / "vocals.wav", np.zeros((8819, 2)), RATE_HZ)


def mono(folder: Path) -> None:
    sf.write(folder / "vocals.wav", np.zeros(8820), RATE_HZ)


def other_rate(folder: Path) -> None:
    sf.write(folder / "vocals.wav", np.zeros((8820, 2)), 48_000)


def not_finite(folder: Path) -> None:
    sf.write(folder / "vocals.wav", np.full((8820, 2), np.nan), RATE_HZ, subtype="FLOAT")


def truncate(folder: Path) -> None:
    data = (folder / "vocals.wav").read_bytes()
    (folder / "vocals.wav").write_bytes(data[:-100])


def rename(folder: Path) -> None:
    folder.rename(folder.with_name(folder.name.replace("Mine", "mine")))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove, "estimates {root}, {name}: there is no estimate of vocals; expected vocals, accompaniment."),
        (shorten, "{folder}/vocals.wav: has 8819 samples of 2 channels; expected 8820 of 2 as the mixture of {name}."),
        (mono, "{folder}/vocals.wav: has 8820 samples of 1 channels; expected 8820 of 2 as the mixture of {name}."),
        (other_rate, "{folder}/vocals.wav: has a sample rate of 48000 Hz; expected 44100 Hz as the mixture."),
        (not_finite, "{folder}/vocals.wav: holds NaN or infinite samples"),
        (truncate, "{folder}/vocals.wav: the file is truncated: "),
        (rename, "{root}: has no estimates of {name}; did you mean '{mine}'?"),
        (shutil.rmtree, "{root}: has no estimates of {name}"),
    ],
)
def test_a_fault_of_a_folder_is_one_line(tmp_path: Path, tracks: Tracks, damage: Any, message: str) -> None:
    root = tmp_path / "old"
    external = estimates_of(tracks, root, TWO)
    folder = root / "test" / NAMES[0]
    damage(folder)
    text = message.format(root=root, folder=folder, name=NAMES[0], mine=NAMES[0].replace("Mine", "mine"))
    with pytest.raises(InputError, match="^" + re.escape(text)) as raised:
        run(external, tracks, tmp_path, TWO)
    assert "\n" not in str(raised.value)
    assert [path.name for path in (tmp_path / "estimates/test").iterdir()] == [NAMES[1]]  # the other track is done
    assert not (tmp_path / "estimates/jobs").exists()


# oracles


def test_an_oracle_separates_with_the_prepared_stems(tmp_path: Path, tracks: Tracks) -> None:
    folder = run(External(oracle="IRM2", origin="oracle"), tracks, tmp_path)
    check_records(folder, tracks.all, ALL_TARGETS)
    for name in NAMES:
        true = {target: (stem(tracks, name, target).T / 32768).astype(np.float32) for target in ("mixture", *STEMS)}
        expected = oracle_estimates(ORACLES["IRM2"], true.pop("mixture"), true)
        for target in ALL_TARGETS:
            written = read(folder / "test" / name / f"{target}.wav")
            assert np.abs(written - expected[target].T * 32768).max() <= 0.5


def test_an_oracle_needs_all_stems(tmp_path: Path, tracks: Tracks) -> None:
    message = f"oracle IBM1, {NAMES[0]}: an oracle needs the references of vocals, drums, bass, other; drums, bass, other are not prepared."
    with pytest.raises(InputError, match="^" + re.escape(message)):
        run(External(oracle="IBM1", origin="oracle"), tracks, tmp_path, prepared=tracks.two)


def test_where_the_targets_are_two_so_are_an_oracles_sources(tmp_path: Path, tracks: Tracks) -> None:
    folder = run(External(oracle="IRM1", origin="oracle"), tracks, tmp_path, TWO, prepared=tracks.two)
    check_records(folder, tracks.two, TWO)
    for name in NAMES:
        mixture, vocals = ((stem(tracks, name, target).T / 32768).astype(np.float32) for target in ("mixture", "vocals"))
        expected = oracle_estimates(ORACLES["IRM1"], mixture, {"vocals": vocals, "accompaniment": mixture - vocals})
        for target in TWO:
            written = read(folder / "test" / name / f"{target}.wav")
            assert np.abs(written - expected[target].T * 32768).max() <= 0.5


# identity


def written(folder: Path) -> dict[str, int]:
    """When each wav and record was written, by its path."""
    paths = [*folder.glob("test/*/*.wav"), *folder.glob("records/*.json")]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in paths}


def made_again(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """True names of the tracks whose estimates were written again."""
    return {path.split("/")[1] for path in after if path.startswith("test/") and before.get(path) != after[path]}


def test_estimates_that_are_there_are_left_as_they_are(tmp_path: Path, tracks: Tracks, caplog: pytest.LogCaptureFixture) -> None:
    oracle = External(oracle="IBM1", origin="oracle")
    separate_external(oracle, TWO, tracks.two[:1], tmp_path / "estimates", "first")
    before = written(tmp_path / "estimates")
    folder = run(oracle, tracks, tmp_path, TWO, tracks.two)
    assert made_again(before, written(folder)) == {NAMES[1]}
    before = written(folder)
    caplog.clear()
    with caplog.at_level(logging.INFO, "madsep"):
        run(oracle, tracks, tmp_path, TWO, tracks.two)
    assert caplog.messages == [f"{name}: the estimates are up to date" for name in NAMES]
    assert written(folder) == before


def test_other_targets_are_made_again_and_no_former_wav_stays(tmp_path: Path, tracks: Tracks) -> None:
    oracle = External(oracle="IRM1", origin="oracle")
    run(oracle, tracks, tmp_path)
    folder = run(oracle, tracks, tmp_path, TWO)
    check_records(folder, tracks.all, TWO)
    run(External(oracle="IRM2", origin="oracle"), tracks, tmp_path, TWO)
    assert Stage(folder).checked(tracks.all[0].slug).made_from["oracle"] == "IRM2"


def test_a_callable_whose_code_changes_separates_again(tmp_path: Path, tracks: Tracks, separator: str) -> None:
    external = External(separator=f"{separator}:f", origin="config")
    (tmp_path / "mine.py").write_text("def f(audio, rate):\n    return {'vocals': audio / 2}\n")
    before = written(run(external, tracks, tmp_path))
    assert written(run(external, tracks, tmp_path)) == before
    (tmp_path / "mine.py").write_text("def f(audio, rate):\n    return {'vocals': audio / 4}\n")
    assert made_again(before, written(run(external, tracks, tmp_path))) == set(NAMES)


def test_of_stereo_estimates_a_mono_mixture_takes_the_mean(tmp_path: Path) -> None:
    """As the protocol sisec16 scores them."""
    rng = np.random.default_rng(0)
    track = write_prepared_track(tmp_path / "prepared", "A", {name: rng.normal(0, 0.1, (1, 500)) for name in ("mixture", *TARGETS)})
    given = {target: rng.integers(-9000, 9000, (500, 2), dtype=np.int16) for target in TARGETS}
    (tmp_path / "old/test/A").mkdir(parents=True)
    for target, samples in given.items():
        sf.write(tmp_path / f"old/test/A/{target}.wav", samples, RATE_HZ, subtype="PCM_16")
    separate_external(External(estimates=str(tmp_path / "old"), origin="config"), TARGETS, [track], tmp_path / "out", "job")
    for target, samples in given.items():
        found = read(tmp_path / f"out/test/A/{target}.wav")
        assert found.shape == (500, 1)
        np.testing.assert_allclose(found[:, 0], samples.mean(axis=1), rtol=0, atol=0.51)


def test_a_folder_of_estimates_is_known_by_its_wavs_wherever_it_lies(tmp_path: Path, tracks: Tracks) -> None:
    folder = run(estimates_of(tracks, tmp_path / "old", TWO), tracks, tmp_path)
    before = written(folder)
    (tmp_path / "old").rename(tmp_path / "moved")
    moved = External(estimates=str(tmp_path / "moved"), origin="config")
    assert written(run(moved, tracks, tmp_path)) == before
    shutil.copyfile(*(tmp_path / "moved/test" / NAMES[1] / f"{target}.wav" for target in ("vocals", "accompaniment")))
    assert made_again(before, written(run(moved, tracks, tmp_path))) == {NAMES[1]}


def test_estimates_are_never_their_own_input(tmp_path: Path, tracks: Tracks) -> None:
    folder = run(External(oracle="IRM1", origin="oracle"), tracks, tmp_path)
    before = {path: sha256(path) for path in folder.glob("test/*/*.wav")}
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(InputError, match=r"vocals\.wav: is the input .* itself, which writing it would replace"):
        run(External(estimates=str(tmp_path / "link"), origin="config"), tracks, tmp_path)
    assert {path: sha256(path) for path in folder.glob("test/*/*.wav")} == before


def test_a_track_that_fails_leaves_the_others_and_no_stamp(tmp_path: Path, tracks: Tracks, separator: str) -> None:
    (tmp_path / "mine.py").write_text(
        f"def f(audio, rate):\n    assert len(audio) != {tracks.all[0].n_samples}, 'odd'\n    return {{'vocals': audio}}\n"
    )
    with pytest.raises(InputError, match="^" + re.escape(f"separator mine:f, {NAMES[0]}: failed: AssertionError: odd")):
        run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    stage = Stage(tmp_path / "estimates")
    assert stage.checked(tracks.all[1].slug).facts["name"] == NAMES[1]
    assert not (stage.folder / "jobs").exists() and not (stage.folder / f"records/{tracks.all[0].slug}.json").exists()


def test_the_ingredients_are_those_that_a_plan_finds_with_its_own_digests(tmp_path: Path, tracks: Tracks) -> None:
    external = estimates_of(tracks, tmp_path / "old", TWO)
    asked: list[Path] = []

    def hashed(files: Sequence[Path]) -> list[str]:
        asked.extend(files)
        return [sha256(file) for file in files]

    found = external.ingredients(NAMES, TWO, hashed)
    assert asked == [tmp_path / "old/test" / name / f"{target}.wav" for name in NAMES for target in ("vocals", "accompaniment")]
    folder = run(external, tracks, tmp_path)
    for track in tracks.all:
        assert Stage(folder).checked(track.slug).made_from == {"prepared": track.sha256, **found[track.name]}


def test_names_of_all_kinds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = []
    for number, name in enumerate(AWKWARD_NAMES):
        vocals, accompaniment = rng.integers(-999, 999, (2, 1, 300 + number)) / 32768
        signals = {"mixture": vocals + accompaniment, "vocals": vocals, "accompaniment": accompaniment}
        found.append(write_prepared_track(tmp_path / "prepared", name, signals))
    separate_external(External(oracle="IRM1", origin="oracle"), TWO, found, tmp_path / "one", "job")
    given = External(estimates=str(tmp_path / "one"), origin="config")
    assert external_targets(given, AWKWARD_NAMES) == TWO
    separate_external(given, TWO, found, tmp_path / "two", "job")
    for folder in ("one", "two"):
        assert {path.name for path in (tmp_path / folder / "test").iterdir()} == set(AWKWARD_NAMES)
    for track in found:
        records = [Stage(tmp_path / folder).checked(track.slug) for folder in ("one", "two")]
        assert records[0].files == records[1].files and records[0].facts == records[1].facts
        assert records[0].facts["name"] == track.name


# weight

LIGHT = """
import sys
from madsep.separation import callables, external, oracles
from madsep.separation.external import external_names, external_targets, find_external
for name in external_names({"OLD": {"estimates": "old"}}):
    external = find_external(name, {"OLD": {"estimates": "old"}})
    if external.oracle:
        assert external_targets(external, ["A"])
        external.ingredients(["A"], ["vocals"], None)
print(*sorted({"torch", "scipy.signal", "scipy.fft", "scipy", "matplotlib", "pandas", "musdb"} & sys.modules.keys()))
import madsep.separation.estimates
print("torch" in sys.modules)
"""


def test_naming_systems_loads_nothing_heavy_and_separating_without_a_network_no_torch() -> None:
    found = subprocess.run([sys.executable, "-c", LIGHT], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    assert found.stdout == "\nFalse\n"
