"""The command line as a person meets it: what it prints, its exit status, and plain lines where something is wrong."""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from clips import make_clips
from commands import Call
from flow import ROOT
from submissions import NOBODY, SCORING, Finished
from tiny import tiny_checkpoint
from wavs import save_checkpoint

from madsep.data.datasets import MUSDB18
from madsep.submission.write import write_submission
from madsep.systems.recipe import recipe_names


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tiny_checkpoint(), tmp_path_factory.mktemp("trained") / "checkpoint.safetensors")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_synth_makes_a_tree(madsep: Call, tmp_path: Path) -> None:
    status, _, lines = madsep("synth", tmp_path / "musdb", "--train", 2, "--test", 1, "--seconds", 0.5, "--seed", 3)
    assert status == 0 and all(line.startswith("madsep: INFO: synthetic track") for line in lines)
    tracks = {subset: list((tmp_path / "musdb" / subset).iterdir()) for subset in ("train", "test")}
    assert {subset: len(paths) for subset, paths in tracks.items()} == {"train": 2, "test": 1}
    for path in (*tracks["train"], *tracks["test"]):
        assert {wav.stem: sf.info(wav).frames for wav in path.iterdir()} == dict.fromkeys(MUSDB18.stems, 22_050)
    assert madsep("synth", tmp_path / "musdb") == (
        1,
        "",
        [f"madsep: ERROR: {tmp_path}/musdb: the folder is not empty; give a new one, or add --overwrite to replace the earlier result."],
    )


@pytest.mark.parametrize("layout", ["musdb18", "dsd100"])
def test_only_a_synthetic_data_set_is_replaced_by_another(madsep: Call, tmp_path: Path, layout: str) -> None:
    line = f"synth data --train 2 --test 1 --seconds 0.5 --layout {layout}"
    assert madsep(line)[0] == 0
    before = files_in(tmp_path / "data")
    assert madsep(f"{line} --seed 1 --train 1 --overwrite")[0] == 0
    after = files_in(tmp_path / "data")
    assert len(before) == 16 and len(after) == 11 and not set(before) & set(after) - {tmp_path / "data/.madsep-synth"}
    (tmp_path / "data/.madsep-synth").unlink()  # as in a real one
    assert madsep(f"{line} --overwrite") == (
        1,
        "",
        ["madsep: ERROR: data: the folder is not empty; give a new one, or empty it first."],
    )
    assert len(files_in(tmp_path / "data")) == 10


def test_import_mir1k(madsep: Call, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "MIR-1K", ["amy_1_01", "Ani_1_01"])
    status, printed, lines = madsep("import-mir1k", source, tmp_path / "tree")
    assert (status, printed) == (0, "")
    assert lines == [f"madsep: INFO: {tmp_path}/tree: 1 training and 1 test clips; all of MIR-1K has 175 and 825"]
    assert (tmp_path / "tree/train/amy_1_01/mixture.wav").is_file()
    status, _, lines = madsep("import-mir1k", source, tmp_path / "tree")
    assert (status, lines) == (
        1,
        [f"madsep: ERROR: {tmp_path}/tree: the folder is not empty; give a new one, or add --overwrite to replace the earlier result."],
    )
    assert madsep("import-mir1k", source, tmp_path / "tree", "--overwrite")[0] == 0
    status, printed, _ = madsep("doctor", "--musdb-root", tmp_path / "tree", "--dataset", "mir1k", "--allow-partial")
    assert status == 0 and "16000" in printed


def write_song(path: Path, n_samples: int, n_channels: int, rate_hz: int) -> np.ndarray:
    """Write a song of noise; return its samples as a decoder gives them, (n_samples, n_channels)."""
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, (n_samples, n_channels))
    sf.write(path.with_suffix(".wav"), samples, rate_hz, subtype="PCM_16")
    if path.suffix in (".mp3", ".m4a", ".flac", ".ogg"):
        subprocess.run(["ffmpeg", "-v", "error", "-i", path.with_suffix(".wav"), path], check=True)
        path.with_suffix(".wav").unlink()
    if path.suffix in (".m4a", ".mp3", ".ogg"):  # libsndfile does not read them, or not to their end
        raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"], capture_output=True, check=True).stdout
        return np.frombuffer(raw, np.float32).reshape(-1, n_channels)
    return sf.read(path, dtype="float32", always_2d=True)[0]


@pytest.mark.parametrize(
    ("name", "n_channels", "rate_hz"),
    [
        ("one second.wav", 1, 22_050),
        ("Six & more (5.1).flac", 6, 48_000),
        ("it's.ogg", 2, 44_100),
        ("Feat. Others.mp3", 2, 32_000),
        ("apple.m4a", 2, 44_100),
    ],
)
def test_separate_takes_any_song(madsep: Call, checkpoint: Path, tmp_path: Path, name: str, n_channels: int, rate_hz: int) -> None:
    song = write_song(tmp_path / name, rate_hz, n_channels, rate_hz)
    status, printed, lines = madsep("separate", checkpoint, tmp_path / name, "-o", tmp_path / "out", "--device", "cpu", "--threads", 1)
    folder = tmp_path / "out" / Path(name).stem
    assert (status, printed) == (0, "")
    assert lines[-1] == f"madsep: INFO: {tmp_path / name}: separated into {folder}"
    assert sorted(path.name for path in folder.iterdir()) == ["accompaniment.wav", "vocals.wav"]
    total = np.zeros_like(song)
    for target in ("vocals", "accompaniment"):
        info = sf.info(folder / f"{target}.wav")
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (rate_hz, n_channels, len(song), "PCM_16")
        total += sf.read(folder / f"{target}.wav", dtype="float32", always_2d=True)[0]
    np.testing.assert_allclose(total, song, atol=0 if name.endswith((".wav", ".flac")) else 0.5001 / 32768)


def test_separate_refuses_songs_of_one_name(madsep: Call, checkpoint: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_song(tmp_path / folder / "Song.wav", 100, 1, 44_100)
    status, _, lines = madsep("separate", checkpoint, tmp_path / "a/Song.wav", tmp_path / "b/Song.wav", "-o", tmp_path / "out")
    assert status == 1
    expected = f"madsep: ERROR: {tmp_path}/out/Song: several songs are called 'Song'; separate them into different folders."
    assert lines == [expected]
    assert not (tmp_path / "out").exists()


def truncated(path: Path, checkpoint: Path) -> None:
    path.write_bytes(checkpoint.read_bytes()[:-100])


def pickled(path: Path, checkpoint: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, path)


def of_another_kind(path: Path, checkpoint: Path) -> None:
    path.write_text("no checkpoint")


def missing(path: Path, checkpoint: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "cannot be read as a checkpoint"),
        (pickled, "is a pickled PyTorch file, which could run code; expected a .safetensors file written by madsep"),
        (of_another_kind, "cannot be read as a checkpoint"),
        (missing, "cannot be read (No such file or directory)"),
    ],
)
def test_separate_refuses_bad_checkpoints(madsep: Call, checkpoint: Path, tmp_path: Path, make: Callable, message: str) -> None:
    write_song(tmp_path / "song.wav", 100, 1, 44_100)
    bad = tmp_path / "bad.safetensors"
    make(bad, checkpoint)
    status, _, (line,) = madsep("separate", bad, tmp_path / "song.wav", "-o", tmp_path / "out")
    assert status == 1 and line.startswith(f"madsep: ERROR: {bad}: {message}")
    assert not (tmp_path / "out").exists()


def test_separate_refuses_bad_songs(madsep: Call, checkpoint: Path, tmp_path: Path) -> None:
    write_song(tmp_path / "cut.wav", 1000, 2, 44_100)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:-10])
    (tmp_path / "text.mp3").write_text("no audio")
    sf.write(tmp_path / "nan.wav", np.full((100, 2), np.nan), 44_100, subtype="FLOAT")
    messages = {
        "gone.wav": "no such file.",
        "cut.wav": "the file is truncated: its header promises 4000 bytes of audio and it holds 3990",
        "text.mp3": "cannot be read by ffprobe",
        "nan.wav": "holds NaN or infinite samples, the first at 0.000 s",
    }
    for name, message in messages.items():
        status, _, lines = madsep("separate", checkpoint, tmp_path / name, "-o", tmp_path / "out")
        assert status == 1 and len(lines) <= 2
        assert lines[0].startswith(f"madsep: ERROR: {tmp_path / name}: {message}")
    assert files_in(tmp_path / "out") == []


def test_separate_refuses_a_file_as_its_folder(madsep: Call, checkpoint: Path, tmp_path: Path) -> None:
    write_song(tmp_path / "song.wav", 100, 1, 44_100)
    (tmp_path / "out").write_text("mine")
    status, _, (line,) = madsep("separate", checkpoint, tmp_path / "song.wav", "-o", tmp_path / "out")
    assert status == 1 and line.startswith(f"madsep: ERROR: {tmp_path}/out/song: lies below a file")
    assert (tmp_path / "out").read_text() == "mine"


def test_medians_of_a_published_submission(madsep: Call, shared: Path) -> None:
    for folder in ("MDL1", "MDL1/test"):
        status, printed, lines = madsep("medians", shared / "data/sisec18/submissions" / folder)
        assert (status, lines) == (0, [])
        assert printed.splitlines()[0] == "target,metric,median,n_tracks,nan_share,definition"
        table = pd.read_csv(io.StringIO(printed)).set_index(["target", "metric"])
        assert table.loc[("vocals", "SDR"), "median"] == pytest.approx(4.022, abs=5e-4)
        assert table.loc[("accompaniment", "SDR"), "median"] == pytest.approx(9.924, abs=5e-4)
        assert set(table["n_tracks"]) == {50} and len(table) == 8


def test_medians_of_nothing(madsep: Call, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        status, printed, (line,) = madsep("medians", folder)
        assert (status, printed) == (1, "") and line.startswith(f"madsep: ERROR: {folder}: no ")


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """A valid submission."""
    folder = tmp_path / "MDL1"
    finished = Finished(tmp_path / "results")
    write_submission(finished.sources, finished.recipe, SCORING, NOBODY, folder)
    return folder


def test_check_of_a_valid_submission(madsep: Call, submission: Path) -> None:
    assert madsep("check", submission) == (0, f"{submission}: valid\n", [])


def test_check_lists_every_fault_on_its_line(madsep: Call, submission: Path) -> None:
    folder = submission
    lost, spoilt, _ = sorted((folder / "test").iterdir())
    lost.unlink()
    spoilt.write_text("{")
    (folder / "notes.txt").write_text("")
    status, printed, lines = madsep("check", folder)
    assert (status, printed) == (1, "")
    assert lines[0].startswith("madsep: WARNING: notes.txt: does not belong here")
    assert lines[1] == f"madsep: ERROR: {folder}: not valid, 3 to fix:"
    assert lines[2].startswith(f"test/{spoilt.name}: its SHA-256 is not the one in provenance.yaml")
    assert lines[3] == f"test/{lost.name}: missing"
    assert lines[4].startswith(f"{spoilt}: is not valid JSON")
    assert len(lines) == 5


def test_check_of_a_published_submission_warns_of_its_form(madsep: Call, shared: Path) -> None:
    folder = shared / "data/sisec18/submissions/MDL1"
    status, printed, lines = madsep("check", folder)
    assert (status, printed) == (0, f"{folder}: valid, 2 warnings\n")
    assert lines == [
        "madsep: WARNING: description.md: is not UTF-8 (byte 89 is 0xb9)",
        "madsep: WARNING: description.md: has no field `__Demos:__`",
    ]


def test_doctor(madsep: Call, musdb: Path, tmp_path: Path) -> None:
    status, printed, lines = madsep("doctor", "--musdb-root", musdb, "--allow-partial")
    assert (status, lines) == (0, []), printed
    assert "ffprobe" in printed and "2 training and 2 test tracks" in " ".join(printed.split()).replace("│ │ │ ", "")
    status, printed, _ = madsep("doctor", "--musdb-root", musdb)
    assert status == 1 and "wrong" in printed
    shutil.copytree(musdb, tmp_path / "bad")
    (next((tmp_path / "bad/test").iterdir()) / "bass.wav").unlink()
    status, printed, _ = madsep("doctor", "--musdb-root", tmp_path / "bad", "--allow-partial")
    assert status == 1 and "missing stems" in printed


def test_systems_lists_every_recipe(madsep: Call) -> None:
    status, printed, lines = madsep("systems")
    assert (status, lines) == (0, [])
    rows = [line.split(maxsplit=2) for line in printed.splitlines()]
    assert [row[0] for row in rows] == recipe_names()
    assert {"MDL1", "MDLT", "GRU-NRI", "GRU-RIS-s", "GRU-RIS-l"} <= {row[0] for row in rows}
    assert all(len(row[1]) <= 4 and row[2] for row in rows)


PEAKS = """
import sys, threading, time
from pathlib import Path
from madsep.models.checkpoint import load_checkpoint
from madsep.separation.network import Separator
from madsep.separation.output import target_files
from madsep.separation.songs import separate_song
import torch

def anonymous_mib():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024

def watch():
    while True:
        peaks[-1] = max(peaks[-1], anonymous_mib())
        time.sleep(0.01)

torch.set_num_threads(1)
separator = Separator(load_checkpoint(Path(sys.argv[1]), torch.device("cpu")), torch.device("cpu"))
peaks = [0.0]
threading.Thread(target=watch, daemon=True).start()
for song in sys.argv[2:]:
    peaks.append(0.0)
    separate_song(separator, Path(song), target_files(Path(song).with_suffix(""), separator.targets))
print(*peaks[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc, which only Linux has")
def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    """A mono song of 30 minutes at 22.05 kHz, 151 MiB as float32, needs about as much memory as one of a minute."""
    sizes = {"sample_rate_hz": 16_000, "window_length": 1025, "fft_length": 2048, "hop_length": 512}
    recipe = tiny_checkpoint(front_end=sizes, segments={"n_frames": 60, "n_context": 10})
    checkpoint = save_checkpoint(recipe, tmp_path / "checkpoint.safetensors")
    minute = np.random.default_rng(0).integers(-3000, 3000, 60 * 22_050, dtype=np.int16)
    songs = [tmp_path / f"{n_minutes} min.wav" for n_minutes in (1, 30)]
    for song, n_minutes in zip(songs, (1, 30), strict=True):
        with sf.SoundFile(song, "w", 22_050, 1, subtype="PCM_16") as stream:
            for _ in range(n_minutes):
                stream.write(minute)
    command = [sys.executable, "-c", PEAKS, str(checkpoint), *map(str, songs)]
    short, long = map(float, subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    for song, n_minutes in zip(songs, (1, 30), strict=True):
        for target in ("vocals", "accompaniment"):
            assert sf.info(song.with_suffix("") / f"{target}.wav").frames == n_minutes * len(minute)
    assert short > 50  # it was measured at all
    assert long < short + 40
