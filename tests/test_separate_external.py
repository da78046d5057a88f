"""The stage for callables, folders of estimates and oracles: the files, the manifest, and every fault of a folder."""

import hashlib
import importlib
import logging
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from wavs import RATE_HZ, noise_stems, write_track

from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.data.datasets import MUSDB18
from madsep.data.prepare import prepare
from madsep.data.tracks import find_tracks
from madsep.separation.callables import ALL_TARGETS, STEMS
from madsep.separation.estimates import separate_external
from madsep.separation.external import External, external_targets
from madsep.separation.oracles import ORACLES, oracle_estimates

NAMES = ("Artist & Co. - It's (Mine)", 'P.I.L. - "Quoted" No. 2')
TWO = ("vocals", "accompaniment")
SLUGS = ["test001", "test002"]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test tracks of different lengths, in musdb/, and prepared with all signals and with the mixture alone; not to be changed."""
    folder = tmp_path_factory.mktemp("tracks")
    for number, name in enumerate(NAMES):
        write_track(folder / "musdb/test" / name, noise_stems(number, 0.2 + 0.03 * number))
    write_track(folder / "musdb/train/Somebody - Else", noise_stems(9, 0.1))
    found = [track for track in find_tracks(folder / "musdb", MUSDB18, allow_partial=True) if track.subset == "test"]
    for name, signals in {"all": ["mixture", *STEMS, "accompaniment"], "two": ["mixture", *TWO]}.items():
        prepare(found, signals, False, folder / name, folder / name / "test.json")
    return folder


@pytest.fixture
def separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module, importable from the current folder, that tests may write as `tmp_path / "<name>.py"`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return "mine"


def run(external: External, tracks: Path, out: Path, targets: Sequence[str] | None = None, prepared: str = "all") -> Path:
    """Separate both tracks; return the manifest."""
    manifest = out / "estimates/test001-test002.json"
    separate_external(external, targets or external_targets(external, NAMES), [tracks / prepared / "test.json"], SLUGS, manifest)
    return manifest


def read(path: Path) -> np.ndarray:
    """16-bit samples (n_samples, n_channels) as integers."""
    assert sf.info(path).subtype == "PCM_16" and sf.info(path).samplerate == RATE_HZ
    return sf.read(path, dtype="int16", always_2d=True)[0].astype(int)


def stem(tracks: Path, name: str, target: str) -> np.ndarray:
    return read(tracks / "musdb/test" / name / f"{target}.wav")


def check_manifest(manifest: Path, targets: Sequence[str]) -> None:
    """It names every file that is there, with its hash."""
    found = read_json(manifest)["tracks"]
    assert [(track["slug"], track["name"]) for track in found] == list(zip(SLUGS, NAMES, strict=True))
    for track in found:
        assert list(track["files"]) == list(targets)
        for target, file in track["files"].items():
            assert file["file"] == f"test/{track['name']}/{target}.wav"
            assert file["sha256"] == hashlib.sha256((manifest.parent / file["file"]).read_bytes()).hexdigest()
            assert file["n_clipped"] == 0
    n_files = len([path for path in manifest.parent.rglob("*") if path.is_file()])
    assert n_files == len(NAMES) * len(targets) + 1


def estimates_of(tracks: Path, folder: Path, targets: Sequence[str], subtype: str = "PCM_16", format: str = "WAV") -> External:
    """A folder that holds half of each reference stem as the estimates (all but the vocals' half as the accompaniment)."""
    for name in NAMES:
        (folder / "test" / name).mkdir(parents=True)
        for target in targets:
            references = [stem(tracks, name, part) for part in (STEMS[1:] if target == "accompaniment" else [target])]
            samples = (sum(references) // 2) / 32768
            sf.write(folder / "test" / name / f"{target}.wav", samples, RATE_HZ, subtype=subtype, format=format)
    return External(estimates=str(folder), origin="config")


# callables


def test_a_callable_of_the_vocals_gives_two_targets_that_add_up(tmp_path: Path, tracks: Path, separator: str) -> None:
    (tmp_path / "mine.py").write_text("def f(audio, rate):\n    audio /= 2\n    return {'vocals': audio}\n")
    manifest = run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path, prepared="two")
    check_manifest(manifest, TWO)
    for name in NAMES:
        vocals, accompaniment = (read(manifest.parent / "test" / name / f"{target}.wav") for target in TWO)
        mixture = stem(tracks, name, "mixture")
        np.testing.assert_array_equal(vocals, np.rint(mixture / 2))
        np.testing.assert_array_equal(vocals + accompaniment, mixture)


def test_a_callable_of_four_stems_gives_five_targets_that_add_up(tmp_path: Path, tracks: Path, separator: str) -> None:
    (tmp_path / "mine.py").write_text(
        "def f(audio, rate):\n"
        "    assert rate == 44100\n"
        "    return {'other': audio / 3, 'bass': audio / 5, 'drums': audio / 7, 'vocals': audio / 9}\n"
        "f.madsep_targets = ('vocals', 'drums', 'bass', 'other')\n"
    )
    manifest = run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    check_manifest(manifest, ALL_TARGETS)
    for name in NAMES:
        mixture = stem(tracks, name, "mixture")
        files = {target: read(manifest.parent / "test" / name / f"{target}.wav") for target in ALL_TARGETS}
        for target, part in {"vocals": 9, "drums": 7, "bass": 5, "other": 3}.items():
            assert np.abs(files[target] - mixture / part).max() <= 0.51
        np.testing.assert_array_equal(files["accompaniment"], files["drums"] + files["bass"] + files["other"])


def test_estimates_beyond_the_targets_are_left_out_and_said(
    tmp_path: Path, tracks: Path, separator: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.py").write_text("def f(audio, rate):\n    return {name: audio / 4 for name in ('vocals', 'drums')}\n")
    with caplog.at_level(logging.INFO, "madsep"):
        manifest = run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    check_manifest(manifest, TWO)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "estimates by separator mine:f (config)"
    assert lines[1:] == [f"separator mine:f, {name}: drums not among the system's targets, left out" for name in NAMES]


FOUR = "def f(audio, rate):\n    return {name: audio / 4 for name in ('vocals', 'drums', 'bass', 'other')}\n"


def test_four_stems_that_nobody_has_said_are_the_targets_are_refused(tmp_path: Path, tracks: Path, separator: str) -> None:
    (tmp_path / "mine.py").write_text(FOUR)
    message = (
        f"separator mine:f, {NAMES[0]}: returned vocals, drums, bass, other, but its targets, which nobody has set, are vocals and acc"
    )
    with pytest.raises(InputError, match="^" + re.escape(message)):
        run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    assert not (tmp_path / "estimates").exists()


@pytest.mark.parametrize(
    ("code", "targets"), [(FOUR, TWO), (FOUR + "f.madsep_targets = ('vocals', 'accompaniment')\n", None), (FOUR, STEMS)]
)
def test_four_stems_where_targets_are_set(tmp_path: Path, tracks: Path, separator: str, code: str, targets: tuple[str, ...] | None) -> None:
    (tmp_path / "mine.py").write_text(code)
    manifest = run(External(separator=f"{separator}:f", origin="config", targets=targets), tracks, tmp_path)
    check_manifest(manifest, ALL_TARGETS if targets == STEMS else TWO)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('weights')", "separator mine:f, {}: failed: KeyError: 'weights'"),
        ("return {'vocals': audio * float('nan')}", "separator mine:f, {}, vocals: holds NaN or infinite samples."),
        ("return {'vocals': audio.T}", "separator mine:f, {}, vocals: has shape (2, 8820); expected (8820, 2)"),
        ("return {'accompaniment': audio}", "separator mine:f, {}: there is no estimate of vocals; expected vocals, accompaniment."),
    ],
)
def test_a_callable_that_fails_leaves_no_manifest(tmp_path: Path, tracks: Path, separator: str, body: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(f"def f(audio, rate):\n    {body}\n")
    with pytest.raises(InputError, match="^" + re.escape(message.format(NAMES[0]))):
        run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    assert not (tmp_path / "estimates").exists()


def test_clipped_samples_are_counted_and_said(tmp_path: Path, tracks: Path, separator: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "mine.py").write_text("def f(audio, rate):\n    audio[:] = 0\n    audio[:7, 1] = 1.5\n    return {'vocals': audio}\n")
    manifest = run(External(separator=f"{separator}:f", origin="config"), tracks, tmp_path)
    track = read_json(manifest)["tracks"][0]
    assert track["files"]["vocals"]["n_clipped"] == 7
    written = read(manifest.parent / track["files"]["vocals"]["file"])
    assert written[:7, 1].tolist() == [32767] * 7 and not written[7:].any()
    assert f"{manifest.parent}/test/{NAMES[0]}/vocals.wav: 7 of {written.size} samples clipped" in caplog.messages


# folders


@pytest.mark.parametrize("targets", [TWO, ALL_TARGETS])
def test_a_folder_of_16_bit_estimates_is_copied_byte_by_byte(tmp_path: Path, tracks: Path, targets: tuple[str, ...]) -> None:
    external = estimates_of(tracks, tmp_path / "old", targets, format="WAVEX")  # another header than one that is written anew
    (tmp_path / "old/test" / NAMES[0] / "linear_mixture.wav").write_bytes(b"not read")
    manifest = run(external, tracks, tmp_path)
    check_manifest(manifest, targets)
    for original in (path for target in targets for path in (tmp_path / "old").rglob(f"{target}.wav")):
        assert (manifest.parent / original.relative_to(tmp_path / "old")).read_bytes() == original.read_bytes()


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_24", "DOUBLE"])
def test_a_folder_of_other_wavs_is_written_as_16_bit(tmp_path: Path, tracks: Path, subtype: str) -> None:
    manifest = run(estimates_of(tracks, tmp_path / "old", STEMS, subtype), tracks, tmp_path)
    check_manifest(manifest, ALL_TARGETS)
    for name in NAMES:
        files = {target: read(manifest.parent / "test" / name / f"{target}.wav") for target in ALL_TARGETS}
        for target in STEMS:
            np.testing.assert_array_equal(files[target], stem(tracks, name, target) // 2)
        np.testing.assert_array_equal(files["accompaniment"], files["drums"] + files["bass"] + files["other"])


def test_a_flac_called_wav_becomes_a_wav(tmp_path: Path, tracks: Path) -> None:
    external = estimates_of(tracks, tmp_path / "old", ["vocals"])
    for path in (tmp_path / "old").rglob("vocals.wav"):
        samples = read(path)
        sf.write(path, samples / 32768, RATE_HZ, subtype="PCM_16", format="FLAC")
    manifest = run(external, tracks, tmp_path)
    check_manifest(manifest, TWO)
    assert all(sf.info(path).format == "WAV" for path in manifest.parent.rglob("*.wav"))


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
        (rename, "{root}: has no folder test/{name}; did you mean '{mine}'?"),
        (shutil.rmtree, "{root}: has no folder test/{name}"),
    ],
)
def test_a_fault_of_a_folder_is_one_line(tmp_path: Path, tracks: Path, damage: Any, message: str) -> None:
    root = tmp_path / "old"
    external = estimates_of(tracks, root, TWO)
    folder = root / "test" / NAMES[0]
    damage(folder)
    text = message.format(root=root, folder=folder, name=NAMES[0], mine=NAMES[0].replace("Mine", "mine"))
    with pytest.raises(InputError, match="^" + re.escape(text)) as raised:
        run(external, tracks, tmp_path, TWO)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "estimates").exists()


# oracles


def test_an_oracle_separates_with_the_prepared_stems(tmp_path: Path, tracks: Path) -> None:
    manifest = run(External(oracle="IRM2", origin="oracle"), tracks, tmp_path)
    check_manifest(manifest, ALL_TARGETS)
    for name in NAMES:
        true = {target: (stem(tracks, name, target).T / 32768).astype(np.float32) for target in ("mixture", *STEMS)}
        expected = oracle_estimates(ORACLES["IRM2"], true.pop("mixture"), true)
        for target in ALL_TARGETS:
            written = read(manifest.parent / "test" / name / f"{target}.wav")
            assert np.abs(written - expected[target].T * 32768).max() <= 0.5


def test_an_oracle_needs_all_stems(tmp_path: Path, tracks: Path) -> None:
    message = f"oracle IBM1, {NAMES[0]}: an oracle needs the references of vocals, drums, bass, other; drums, bass, other are not prepared."
    with pytest.raises(InputError, match="^" + re.escape(message)):
        run(External(oracle="IBM1", origin="oracle"), tracks, tmp_path, prepared="two")


def test_where_the_targets_are_two_so_are_an_oracles_sources(tmp_path: Path, tracks: Path) -> None:
    manifest = run(External(oracle="IRM1", origin="oracle"), tracks, tmp_path, TWO, prepared="two")
    check_manifest(manifest, TWO)
    for name in NAMES:
        mixture, vocals = ((stem(tracks, name, target).T / 32768).astype(np.float32) for target in ("mixture", "vocals"))
        expected = oracle_estimates(ORACLES["IRM1"], mixture, {"vocals": vocals, "accompaniment": mixture - vocals})
        for target in TWO:
            written = read(manifest.parent / "test" / name / f"{target}.wav")
            assert np.abs(written - expected[target].T * 32768).max() <= 0.5
