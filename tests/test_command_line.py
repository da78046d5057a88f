"""What the command line has in common for all verbs: help, version, completion, mistakes, outputs; and what single verbs print."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from commands import Call
from flow import ROOT
from submissions import scores
from tiny import tiny_checkpoint
from wavs import RATE_HZ, noise_stems, save_checkpoint, write_track

from madsep import __version__
from madsep.core.files import write_json
from madsep.data.wav_writer import quantise

PAIR = ("vocals", "accompaniment")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("separate --devcie cpu", "no such option: --devcie; did you mean '--device'? See `madsep separate -h`."),
        ("separate a b -device cpu", "no such option: -device; did you mean '--device'? See `madsep separate -h`."),
        ("seperate a", "no such command 'seperate'; did you mean 'separate'? See `madsep -h`."),
        (
            "score a b c --engine fsat",
            "invalid value for '--engine': 'fsat' is not one of 'museval', 'fast'; did you mean 'fast'? See `madsep score -h`.",
        ),
        (
            "separate a b -o c --layout muzdb",
            "invalid value for '--layout': 'muzdb' is not one of 'mdx', 'musdb', 'mvsep'; did you mean 'musdb'? See `madsep separate -h`.",
        ),
        ("score a b c --jobs 0", "invalid value for '--jobs': Input should be greater than or equal to 1. See `madsep score -h`."),
        ("medians", "missing argument 'scores'. See `madsep medians -h`."),
        ("score a b", "invalid value for -o: expected one output, after -o or as the last argument. See `madsep score -h`."),
        ("score a b c -o d", "invalid value for -o: expected one output, after -o or as the last argument. See `madsep score -h`."),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_word(madsep: Call, line: str, message: str) -> None:
    assert madsep(line) == (2, "", [f"madsep: ERROR: {message}"])


@pytest.mark.parametrize("flag", ["-h", "--help", "separate -h", "separate --help"])
def test_help(madsep: Call, flag: str) -> None:
    status, printed, lines = madsep(flag)
    assert (status, lines) == (0, []) and "Usage: madsep" in printed


def test_version_and_nothing_at_all(madsep: Call) -> None:
    assert madsep("--version") == (0, f"madsep {__version__}\n", [])
    assert madsep("") == (0, madsep("-h")[1], [])


def started(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "madsep", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True).stdout


def test_the_module_runs_and_completes() -> None:
    """`python -m madsep` is the command; the shell's completion asks it by a variable."""
    assert started("--version") == f"madsep {__version__}\n"
    words = {"separate --de": ["--device"], "separate --device c": ["cpu", "cuda"], "sep": ["separate"]}
    for typed, expected in words.items():
        line = f"madsep {typed}"
        found = started(_MADSEP_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
        assert found.split() == expected


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tiny_checkpoint(), tmp_path_factory.mktemp("trained") / "checkpoint.safetensors")


@pytest.fixture
def song(tmp_path: Path) -> np.ndarray:
    """A song of 16 bit, song.wav in the folder of the command; its samples (2, n_samples)."""
    samples = quantise(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 9000)).astype(np.float32))
    sf.write(tmp_path / "song.wav", samples.T, RATE_HZ, subtype="PCM_16")
    return samples


@pytest.mark.parametrize(
    ("options", "suffix", "subtype", "tolerance"),
    [
        ("", ".wav", "PCM_16", 0.0),
        ("--subtype PCM_24", ".wav", "PCM_24", 0.0),
        ("--subtype FLOAT", ".wav", "FLOAT", 1e-7),
        ("--format flac", ".flac", "PCM_16", 0.0),
        ("--format flac --subtype PCM_24", ".flac", "PCM_24", 0.0),
        ("--format mp3 --bit-rate 256", ".mp3", "MPEG_LAYER_III", 0.2),
    ],
)
def test_separate_writes_the_format_that_is_asked_for(
    madsep: Call, checkpoint: Path, song: np.ndarray, options: str, suffix: str, subtype: str, tolerance: float
) -> None:
    assert madsep(f"separate {checkpoint} song.wav -o out {options}")[0] == 0
    total = np.zeros_like(song)
    for target in PAIR:
        path = Path(f"out/song/{target}{suffix}")
        info = sf.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE_HZ, 2, 9000, subtype)
        total += sf.read(path, dtype="float32")[0].T
    assert np.sqrt(np.mean((total - song) ** 2)) <= tolerance
    if suffix == ".mp3":
        assert Path("out/song/vocals.mp3").stat().st_size == pytest.approx(256_000 / 8 * 9000 / RATE_HZ, rel=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--format mp3 --subtype FLOAT", "mp3 has no samples of type FLOAT"),
        ("--format flac --subtype FLOAT", "flac has no samples of type FLOAT"),
        ("--bit-rate 128", "wav has no bit rate"),
        ("--format mp3 --bit-rate 32", "out/song/vocals.mp3: mp3 at 44100 Hz has 64 to 320 kbit/s, not 32."),
        ("--stems vocal", "vocal: the checkpoint does not estimate it; did you mean 'vocals'? (known: vocals, accompaniment)"),
    ],
)
def test_separate_refuses_what_does_not_fit(madsep: Call, checkpoint: Path, song: np.ndarray, options: str, message: str) -> None:
    status, _, (line,) = madsep(f"separate {checkpoint} song.wav -o out {options}")
    assert status == 1 and line.startswith(f"madsep: ERROR: {message}")
    assert not Path("out").exists()


def test_separate_one_stem_of_the_mono_mix(madsep: Call, checkpoint: Path, song: np.ndarray) -> None:
    assert madsep(f"separate {checkpoint} song.wav -o both --mono --subtype FLOAT")[0] == 0
    assert madsep(f"separate {checkpoint} song.wav -o out --mono --stems vocals --subtype FLOAT")[0] == 0
    assert [path.name for path in Path("out/song").iterdir()] == ["vocals.wav"]
    vocals, accompaniment = (sf.read(f"both/song/{target}.wav", dtype="float32", always_2d=True)[0] for target in PAIR)
    np.testing.assert_array_equal(vocals, sf.read("out/song/vocals.wav", dtype="float32", always_2d=True)[0])
    np.testing.assert_allclose(vocals + accompaniment, song.mean(0)[:, None], atol=1e-6)


@pytest.mark.parametrize(
    ("layout", "files"),
    [
        ("mdx", ["song/accompaniment.wav", "song/vocals.wav"]),
        ("musdb", ["test/song/accompaniment.wav", "test/song/vocals.wav"]),
        ("mvsep", ["song_accompaniment.wav", "song_vocals.wav"]),
    ],
)
def test_separate_writes_the_layout_that_is_asked_for(
    madsep: Call, checkpoint: Path, song: np.ndarray, layout: str, files: list[str]
) -> None:
    line = f"separate {checkpoint} song.wav -o out --layout {layout}"
    assert madsep(line)[0] == 0
    assert sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.wav")) == files
    status, _, (said,) = madsep(line)
    assert status == 1 and "exists already (and 1 more); choose another folder, or add --overwrite" in said
    assert madsep(f"{line} --overwrite")[0] == 0


def test_export_writes_a_file_once(madsep: Call, checkpoint: Path) -> None:
    line = f"export {checkpoint} -o network.pt --format torchscript"
    assert madsep(line)[:2] == (0, "network.pt\n")
    assert madsep(line) == (1, "", ["madsep: ERROR: network.pt: exists already; choose another name, or add --overwrite to replace it."])
    status, _, (said,) = madsep(f"export {checkpoint} -o {checkpoint} --overwrite")
    assert status == 1 and "is the input" in said
    assert madsep(f"{line} --overwrite")[0] == 0 and torch.jit.load("network.pt") is not None


def test_score_prints_the_medians_of_what_could_be_scored(madsep: Call) -> None:
    for number, name in enumerate(("A", "B")):
        stems = noise_stems(number, 1.0)
        write_track(Path("musdb/test") / name, stems)
        write_track(Path("estimates/test") / name, dict.fromkeys(PAIR, stems["mixture"]))
    Path("estimates/test/A/vocals.wav").unlink()
    status, printed, lines = madsep("score musdb estimates -o scores")
    assert status == 1 and lines[-1].startswith("madsep: ERROR: estimates/test/A: BSSEval needs estimates of two targets")
    assert printed.startswith("scores/test\n") and printed.count("│ accompaniment") == 4


def test_medians_have_three_decimals(madsep: Call) -> None:
    write_json("scores/test/A.json", scores(4), allow_nan=True)
    status, printed, _ = madsep("medians scores")
    assert status == 0 and printed.splitlines()[1].startswith("vocals,SDR,2.500,1,0.250,")


def test_listen_replaces_a_page_when_told(madsep: Call) -> None:
    write_json("scores/test/A.json", scores(4), allow_nan=True)
    line = "listen scores -o page"
    assert madsep(line)[0] == 0
    status, _, (said,) = madsep(line)
    assert status == 1 and "page: the folder is not empty; give a new one, or add --overwrite" in said
    assert madsep(f"{line} --overwrite")[0] == 0
    Path("page/mine.txt").touch()
    assert madsep(f"{line} --overwrite")[0] == 1 and Path("page/mine.txt").exists()


def test_the_list_of_commands_cuts_no_sentence(madsep: Call) -> None:
    status, printed, _ = madsep("--help")
    assert status == 0 and "..." not in printed.partition("Commands:")[2]


@pytest.mark.slow
def test_compare_replaces_a_comparison_when_told_and_nothing_else(madsep: Call) -> None:
    for number in range(5):
        write_json(f"scores/test/{number}.json", scores(4), allow_nan=True)
    Path("page").mkdir()
    Path("page/mine.txt").touch()
    for options in ("", "--overwrite"):
        status, _, (line,) = madsep(f"compare scores -o page {options}")
        assert status == 1 and "page: the folder is not empty" in line
    Path("page/mine.txt").rename("page/index.html")
    assert madsep("compare scores -o page")[0] == 1
    assert madsep("compare scores -o page --overwrite")[0] == 0
    assert Path("page/index.html").stat().st_size > 0
