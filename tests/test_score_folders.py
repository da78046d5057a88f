"""Scoring whole folders: both engines, restarts, better estimates, and what is missing."""

import logging
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import museval
import numpy as np
import pytest
import soundfile as sf
from wavs import RATE_HZ, noise_stems, write_track

from madsep.core.errors import InputError
from madsep.core.workers import _Worker
from madsep.data.choices import Layout
from madsep.data.layouts import song_file
from madsep.data.stems import read_stems
from madsep.data.tracks import Track
from madsep.scoring.engines import Engine
from madsep.scoring.estimates import Scorable
from madsep.scoring.folders import Options, score_folders
from madsep.scoring.medians import sisec_medians
from madsep.scoring.scores import read_scores

ENGINES = {"museval": Engine("museval"), "fast": Engine("fast")}
NAMES = ("Artist & Co. - It's (Mine)", "M.E. - Other")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """References of two tracks, estimates of all five targets of the first and of two of the second, and the folder to write to."""
    for number, name in enumerate(NAMES):
        stems = noise_stems(number, 1.0)
        write_track(tmp_path / "musdb/test" / name, stems)
        rng = np.random.default_rng(number)
        estimates = {stem: samples // 2 + rng.integers(-500, 500, samples.shape) for stem, samples in stems.items() if stem != "mixture"}
        estimates["accompaniment"] = stems["mixture"] - estimates["vocals"]
        kept = estimates if number == 0 else {target: estimates[target] for target in ("vocals", "accompaniment")}
        write_track(tmp_path / "estimates/test" / name, {target: samples.astype(np.int16) for target, samples in kept.items()})
    return tmp_path / "musdb", tmp_path / "estimates", tmp_path / "scores"


@pytest.mark.slow
def test_both_engines_write_what_museval_writes(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    musdb = pytest.importorskip("musdb")
    references, estimates, out = folders
    museval.eval_mus_dir(musdb.DB(root=str(references), is_wav=True, subsets=["test"]), str(estimates), str(tmp_path / "truth"))
    for label, engine in ENGINES.items():
        score_folders(references, estimates, out / label, engine, Options(2))
        for name in NAMES:
            assert (out / label / "test" / f"{name}.json").read_text() == (tmp_path / "truth/test" / f"{name}.json").read_text()


def scored(folders: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture, overwrite: bool = False) -> str:
    """Score, and return how many tracks were scored as the log says it."""
    with caplog.at_level(logging.INFO, "madsep"):
        caplog.clear()
        score_folders(*folders, Engine("fast"), Options(overwrite=overwrite))
    return next(message for message in caplog.messages if "to score" in message)


def test_scores_of_the_same_files_stay_and_others_are_made_again(
    folders: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    references, estimates, out = folders
    assert scored(folders, caplog) == "2 tracks to score, 0 up to date"
    first, second = (out / "test" / f"{name}.json" for name in NAMES)
    written = [path.read_text() for path in (first, second)]
    (estimates / "test/.ipynb_checkpoints").mkdir()
    assert scored(folders, caplog) == "0 tracks to score, 2 up to date"
    second.write_text(written[1][:-100])
    assert scored(folders, caplog) == "1 tracks to score, 1 up to date"
    assert second.read_text() == written[1]
    assert scored(folders, caplog, overwrite=True) == "2 tracks to score, 0 up to date"
    vocals = estimates / "test" / NAMES[0] / "vocals.wav"
    vocals.write_bytes((references / "test" / NAMES[0] / "vocals.wav").read_bytes())
    assert scored(folders, caplog) == "1 tracks to score, 1 up to date"
    medians = sisec_medians(read_scores(out)).set_index(["target", "metric"])["median"]
    assert [path.read_text() == text for path, text in zip((first, second), written, strict=True)] == [False, True]
    assert medians["drums", "SDR"] < 20
    (references / "test" / NAMES[1] / "bass.wav").write_bytes((references / "test" / NAMES[0] / "bass.wav").read_bytes())
    assert scored(folders, caplog) == "1 tracks to score, 1 up to date"
    assert second.read_text() != written[1]
    second.unlink()
    assert scored(folders, caplog) == "1 tracks to score, 1 up to date"
    (out / "records" / next(path.name for path in (out / "records").iterdir() if "m-e-other" in path.name)).unlink()
    assert scored(folders, caplog) == "1 tracks to score, 1 up to date"


def test_a_track_in_both_subsets_is_two_tracks(folders: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    references, estimates, out = folders
    for root in (references, estimates):
        shutil.copytree(root / "test" / NAMES[0], root / "train" / NAMES[0])
    assert scored(folders, caplog) == "3 tracks to score, 0 up to date"
    assert scored(folders, caplog) == "0 tracks to score, 3 up to date"
    assert sorted(path.parent.name for path in out.glob("t*/*.json")) == ["test", "test", "train"]


def test_a_faulty_track_is_named_and_the_others_are_scored(folders: tuple[Path, Path, Path]) -> None:
    references, estimates, out = folders
    wav = estimates / "test" / NAMES[0] / "bass.wav"
    sf.write(wav, np.zeros((100, 1)), RATE_HZ)
    expected = r"It's \(Mine\)/bass\.wav: has 100 samples of 1 channels at 44100 Hz; expected 44100 samples of 2 channels at 44100 Hz"
    for engine in ("fast", "museval"):
        if engine == "museval":
            shutil.rmtree(estimates / "test" / NAMES[1])
        with pytest.raises(InputError, match=expected):
            score_folders(references, estimates, out, Engine(engine), Options())
        assert [path.stem for path in (out / "test").iterdir()] == [NAMES[1]]


def test_missing_references_estimates_and_targets_are_told(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    references, estimates, out = folders
    with pytest.raises(InputError, match="nothing: no such folder"):
        score_folders(references, tmp_path / "nothing", out, Engine("fast"), Options())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no tracks in it"):
        score_folders(tmp_path / "empty", estimates, out, Engine("fast"), Options())
    (tmp_path / "empty/test/Another").mkdir(parents=True)
    with pytest.raises(InputError, match="has no track test/"):
        score_folders(tmp_path / "empty", estimates, out, Engine("fast"), Options())
    for target in ("drums", "bass", "other", "accompaniment"):
        (estimates / "test" / NAMES[0] / f"{target}.wav").unlink()
    with pytest.raises(InputError, match="two targets or more"):
        score_folders(references, estimates, out, Engine("fast"), Options())


def test_a_stem_file_is_a_reference_too(shared: Path, tmp_path: Path) -> None:
    (stem_file,) = (shared / "data/musdb_sample/train").glob("*.stem.mp4")
    name = stem_file.name.removesuffix(".stem.mp4")
    (tmp_path / "musdb/train").mkdir(parents=True)
    (tmp_path / "musdb/train" / stem_file.name).write_bytes(stem_file.read_bytes())
    rng = np.random.default_rng(0)
    n_samples = read_stems(Track(name, "train", "stems", str(stem_file), 6.8, "musdb18"))["mixture"].shape[1]
    noise = {target: rng.integers(-3000, 3000, (n_samples, 2), dtype=np.int16) for target in ("vocals", "accompaniment")}
    write_track(tmp_path / "estimates/train" / name, noise)
    score_folders(tmp_path / "musdb", tmp_path / "estimates", tmp_path / "scores", Engine("fast"), Options())
    assert (tmp_path / "scores/train" / f"{name}.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("n_missing", [700, 30_000])
def test_short_estimates_are_refused_or_padded_alike_by_both_engines(
    folders: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture, n_missing: int
) -> None:
    references, estimates, out = folders
    shutil.rmtree(estimates / "test" / NAMES[0])
    path = estimates / "test" / NAMES[1] / "vocals.wav"
    samples = sf.read(path, dtype="int16")[0]
    sf.write(path, samples[:-n_missing], RATE_HZ, subtype="PCM_16")
    with pytest.raises(InputError, match=rf"vocals\.wav: has {44_100 - n_missing} samples .*expected 44100 .*, or score it with --pad"):
        score_folders(references, estimates, out, Engine("fast"), Options())
    texts = []
    for engine in ("fast", "museval"):
        score_folders(references, estimates, out / engine, Engine(engine), Options(pad=True))
        texts.append((out / engine / "test" / f"{NAMES[1]}.json").read_text())
        assert f"{n_missing} of 44100 samples ({100 * n_missing / 44100:.2f} %) are missing; scored as silence" in caplog.text
    assert texts[0] == texts[1]
    with pytest.raises(InputError, match="--pad"):  # the padded scores are not taken for those of the files as they are
        score_folders(references, estimates, out / "fast", Engine("fast"), Options())


def test_a_killed_worker_costs_one_track_until_the_next_run(folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    references, estimates, out = folders
    began = _Worker.begin

    def kill_first(worker: _Worker[Scorable], item: Scorable) -> None:
        began(worker, item)
        if item.name == NAMES[0] and worker.process is not None and worker.process.pid is not None:
            os.kill(worker.process.pid, signal.SIGKILL)

    monkeypatch.setattr(_Worker, "begin", kill_first)
    with pytest.raises(InputError, match=r"It's \(Mine\): its process was killed, probably out of memory; use fewer --jobs"):
        score_folders(references, estimates, out, Engine("fast"), Options(2))
    assert [path.stem for path in (out / "test").iterdir()] == [NAMES[1]]
    monkeypatch.setattr(_Worker, "begin", began)
    score_folders(references, estimates, out, Engine("fast"), Options(2))
    assert sorted(path.stem for path in (out / "test").iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("place", ["musdb/test/{}/vocals.wav", "estimates/test/{}/accompaniment.wav"])
def test_scores_never_replace_what_is_scored(
    folders: tuple[Path, Path, Path], tmp_path: Path, link: Callable[..., None], place: str
) -> None:
    given = tmp_path / place.format(NAMES[1])
    written = folders[2] / "test" / f"{NAMES[1]}.json"
    written.parent.mkdir(parents=True)
    link(written, given)
    with pytest.raises(InputError, match=r"Other\.json: is the input .*\.wav itself"):
        score_folders(*folders, Engine("fast"), Options(overwrite=True))
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def laid_out(layout: Layout, source: Path, folder: Path, suffix: str = ".wav") -> Path:
    """The tracks of a tree as another layout has them; flac holds the same 16-bit samples."""
    for path in source.glob("test/*/*.wav"):
        copy = song_file(layout, folder, path.parent.name, path.stem, suffix)
        copy.parent.mkdir(parents=True, exist_ok=True)
        samples, rate_hz = sf.read(path, dtype="float32" if suffix == ".wav" else "int16")
        sf.write(copy, samples, rate_hz, subtype="FLOAT" if suffix == ".wav" else "PCM_16")
    return folder


@pytest.mark.parametrize(("layout", "suffix"), [("mdx", ".flac"), ("mvsep", ".wav")])
def test_other_layouts_and_files_score_the_same(folders: tuple[Path, Path, Path], tmp_path: Path, layout: Layout, suffix: str) -> None:
    references, estimates, out = folders
    shutil.rmtree(estimates / "test" / NAMES[0])
    score_folders(references, estimates, out, Engine("fast"), Options())
    truth = (out / "test" / f"{NAMES[1]}.json").read_text()
    other = laid_out(layout, references, tmp_path / "r", suffix), laid_out(layout, estimates, tmp_path / "e", suffix)
    for number, pair in enumerate(((other[0], estimates), (references, other[1]), other)):
        score_folders(*pair, tmp_path / f"{number}", Engine("fast"), Options())
        assert (tmp_path / f"{number}/test/{NAMES[1]}.json").read_text() == truth


def test_references_of_voice_and_backing_alone_suffice_at_any_rate(tmp_path: Path) -> None:
    """As the pairs of MVSep, whose backing is called instrum."""
    rng = np.random.default_rng(0)
    voice, backing = rng.uniform(-0.3, 0.3, (2, 16_000))
    for root, leak in (("references", 0.0), ("estimates", 0.1)):
        (tmp_path / root).mkdir()
        sf.write(tmp_path / root / "a_song_vocals.wav", voice + leak * backing, 16_000)
        sf.write(tmp_path / root / "a_song_instrum.wav", backing + leak * voice, 16_000)
    score_folders(tmp_path / "references", tmp_path / "estimates", tmp_path / "scores", Engine("fast"), Options())
    medians = sisec_medians(read_scores(tmp_path / "scores")).set_index(["target", "metric"])["median"]
    for target in ("vocals", "accompaniment"):
        assert medians[target, "SDR"] == pytest.approx(20, abs=0.5)  # 20 log10(1 / 0.1)


def test_what_lacks_references_or_has_two_files_of_one_stem_is_told(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    references, estimates, out = folders
    (references / "test" / NAMES[1] / "bass.wav").unlink()
    with pytest.raises(InputError, match=f"{NAMES[1]}: has no reference bass of {NAMES[1]}; expected a wav or flac of it"):
        score_folders(references, estimates, out, Engine("fast"), Options())
    assert [path.stem for path in (out / "test").iterdir()] == [NAMES[0]]
    shutil.copy(estimates / "test" / NAMES[1] / "vocals.wav", estimates / "test" / NAMES[1] / "vocals.flac")
    with pytest.raises(InputError, match=r"vocals\.wav: holds the vocals of .*, and so does .*vocals\.flac; take one of them away"):
        score_folders(references, estimates, out, Engine("fast"), Options())
