"""Give damaged files of one kind to their reader, which must return right results or raise plain errors.

python tests/fuzzing.py KIND SEED COUNT FOLDER     prints one line of JSON for each variant that fails; its file stays in FOLDER/kept
"""

import contextlib
import faulthandler
import json
import logging
import math
import random
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import torch
import yaml
from prepared_tracks import write_prepared_track
from tiny import tiny_checkpoint, tiny_recipe
from wavs import save_checkpoint

from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.data.audio import load_song, read_wav
from madsep.data.prepared import read_prepared
from madsep.data.tracks import slug_of
from madsep.models.checkpoint import build_network, load_checkpoint, read_tensors, write_tensors
from madsep.scoring.medians import sisec_medians
from madsep.scoring.scores import read_scores
from madsep.training.state import TrainingState
from madsep.workflow.config import check_config, typed
from madsep.workflow.settings import read_settings

ROOT = Path(__file__).resolve().parents[1]
HANG_S, MEMORY_MB, LINE = 5, 1000, 2000
NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 2**36, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 2**31, 2**53 + 1, 10**30, -(10**9), 0.5, 1e308, -0.0, math.nan, math.inf),
    *("", "a", "0", "\x00", "\ud800", "../../x", "é" * 300, [], {}, [[]], [None], {"a": 1}, ["vocals"] * 3, [[[[[[1]]]]]]),
)
WORDS = (
    *(b"[", b"]", b"{", b"}", b":", b",", b"-", b"\n", b"  ", b"\t", b"&a ", b"*a", b"!!int ", b"!!binary ", b"!x ", b"<<: ", b"? "),
    *(b"null", b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"0x_", b"0b_", b"2024-13-45", b"2024-01-02", b"12:30:99", b"1_000", b"=", b"~"),
    *(b"\x00", b"\xff", b"\xe9", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\\ud800", b'"', b"'", b"|", b">", b"%", b"#", b"yes", b"[" * 3000),
)
Read = Callable[[Path], None]


class Hang(BaseException):
    """A reader took too long."""


# damage


def damaged(data: bytes, rng: random.Random, head: int) -> bytes:
    """Return `data` with one to three faults, most of them within the first `head` bytes."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = _damage(found, rng, head)
    return bytes(found)


def _damage(data: bytearray, rng: random.Random, head: int) -> bytearray:
    place = rng.randrange(max(1, min(len(data), head) if rng.random() < 0.8 else len(data)))
    length = rng.choice((1, 2, 4, 8, 16, 100))
    match rng.randrange(8):
        case 0:
            data[place : place + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[place : place + 1])
        case 1:
            data[place : place + length] = rng.randbytes(length)
        case 2:
            width = rng.choice((1, 2, 4, 4, 8))
            number = rng.choice(NUMBERS) % 256**width
            data[place : place + width] = number.to_bytes(width, rng.choice(("little", "big")))
        case 3:
            del data[place:]
        case 4:
            del data[place : place + length]
        case 5:
            data[place:place] = data[place : place + length]
        case 6:
            data[place:place] = rng.choice(WORDS)
        case _:
            other = rng.randrange(len(data) + 1)
            data[place : place + length] = data[other : other + length]
    return data


def altered(values: Any, rng: random.Random) -> Any:
    """Return values that JSON can hold with one leaf, key or branch changed."""
    if isinstance(values, (dict, list)) and values and rng.random() < 0.85:
        keys = list(values) if isinstance(values, dict) else list(range(len(values)))
        key = rng.choice(keys)
        copy: Any = dict(values) if isinstance(values, dict) else list(values)
        match rng.randrange(8):
            case 0:
                del copy[key]
            case 1 if isinstance(copy, dict):
                copy[str(rng.choice(VALUES))] = copy[key]
            case 1:
                copy.append(copy[key])
            case _:
                copy[key] = altered(copy[key], rng)
        return copy
    return rng.choice(VALUES)


# kinds


@dataclass(frozen=True)
class Kind:
    """A kind of file. `make` writes a damaged variant into an empty folder, `read` reads it and checks the result."""

    make: Callable[[Path, random.Random], Path]
    read: Read


def _of_bytes(original: Path, head: int) -> Callable[[Path, random.Random], Path]:
    def make(folder: Path, rng: random.Random) -> Path:
        path = folder / original.name
        path.write_bytes(damaged(original.read_bytes(), rng, head))
        return path

    return make


def audio(folder: Path, suffix: str) -> Kind:
    """Return the kind of half a second of stereo noise in the format of `suffix`."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (22_050, 2))
    path = folder / f"song.{suffix}"
    if suffix in ("mp3", "ogg"):
        sf.write(folder / "song.wav", noise, 44_100)
        command = ["ffmpeg", "-v", "error", "-i", folder / "song.wav", path]
        subprocess.run(list(map(str, command)), check=True)
    else:
        sf.write(path, noise, 44_100, subtype="PCM_16")

    def read(damaged_file: Path) -> None:
        is_slow, is_even = suffix in ("mp3", "ogg"), int(damaged_file.parent.name) % 2 == 0  # ffmpeg is slow, so one reader each
        if is_slow and is_even:
            assert load_song(damaged_file, damaged_file.parent / "decoded", 44_100).original.size > 0
            return
        found, rate_hz = read_wav(damaged_file)
        assert found.dtype == np.float32 and found.ndim == 2 and found.size > 0 and np.isfinite(found).all() and rate_hz > 0
        if is_slow:
            return
        song = load_song(damaged_file, damaged_file.parent / "decoded", 44_100)
        assert song.original.shape == found.shape and np.array_equal(song.original, found)

    return Kind(_of_bytes(path, 120), read)


def checkpoint(folder: Path) -> Kind:
    """Return the kind of a trained system. Half of the variants have other bytes, half other metadata with a correct digest."""
    path = save_checkpoint(tiny_checkpoint(), folder / "checkpoint.safetensors")
    tensors, metadata = read_tensors(path)
    spoil = _of_bytes(path, 600)

    def make(place: Path, rng: random.Random) -> Path:
        if rng.random() < 0.5:
            return spoil(place, rng)
        write_tensors(place / path.name, tensors, _encodable(altered(metadata, rng)))
        return place / path.name

    def read(damaged_file: Path) -> None:
        found = load_checkpoint(damaged_file, torch.device("cpu"))
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in found.network.state_dict().items())

    return Kind(make, read)


def state(folder: Path) -> Kind:
    """Return the kind of a training state, damaged like checkpoints. A state that cannot be used is ignored with a log line."""
    recipe = tiny_recipe(training={"n_epochs": 3})

    def fresh() -> TrainingState:
        torch.manual_seed(0)
        network = build_network(recipe)
        network.initialise(torch.Generator().manual_seed(1))
        return TrainingState(network, recipe)

    fresh().save(folder / "state.safetensors", "0" * 64)
    tensors, metadata = read_tensors(folder / "state.safetensors")
    spoil = _of_bytes(folder / "state.safetensors", 600)

    def make(place: Path, rng: random.Random) -> Path:
        if rng.random() < 0.5:
            return spoil(place, rng)
        write_tensors(place / "state.safetensors", tensors, _encodable(altered(metadata, rng)))
        return place / "state.safetensors"

    def read(damaged_file: Path) -> None:
        resumed = fresh()
        if resumed.resume(damaged_file, "0" * 64):
            assert all(torch.equal(tensor, tensors[f"network/{name}"]) for name, tensor in resumed.network.state_dict().items())

    return Kind(make, read)


def prepared(folder: Path) -> Kind:
    """Return the kind of a prepared track with a damaged array, the same with a correct digest, or a damaged record."""
    signals = {name: np.random.default_rng(1).uniform(-0.5, 0.5, (2, 50)).astype(np.float32) for name in ("mixture", "vocals")}
    write_prepared_track(folder / "stage", "A song", signals)
    slug = slug_of("A song")

    def make(place: Path, rng: random.Random) -> Path:
        shutil.copytree(folder / "stage", place / "stage")
        array, record = place / f"stage/{slug}.npy", place / f"stage/records/{slug}.json"
        which = rng.randrange(4)
        if which < 2:
            array.write_bytes(damaged(array.read_bytes(), rng, 128))
        if which == 1:
            values = json.loads(record.read_text())
            record.write_text(json.dumps(values | {"files": {array.name: sha256(array)}}))
        elif which == 2:
            record.write_text(json.dumps(altered(json.loads(record.read_text()), rng)))
        elif which == 3:
            record.write_bytes(damaged(record.read_bytes(), rng, 4000))
        return place / "stage"

    def read(stage: Path) -> None:
        (track,) = read_prepared(stage, [slug], ["test"])
        assert track.duration_s > 0
        for name in track.signals:
            samples = np.array(track.signal(name))
            assert samples.shape == (track.n_channels, track.n_samples) and samples.dtype == np.float32

    return Kind(make, read)


def scores(folder: Path) -> Kind:
    """Return the kind of one track's scores in museval's format."""
    frames = [{"time": float(i), "duration": 1.0, "metrics": dict.fromkeys(("SDR", "SIR", "SAR", "ISR"), 1.5 + i)} for i in range(3)]
    document = {"targets": [{"name": name, "frames": frames} for name in ("vocals", "accompaniment")]}

    def make(place: Path, rng: random.Random) -> Path:
        (place / "test").mkdir()
        path, text = place / "test/A song.json", json.dumps(altered(document, rng) if rng.random() < 0.5 else document)
        path.write_bytes(text.encode() if rng.random() < 0.4 else damaged(text.encode(), rng, len(text)))
        return place

    def read(place: Path) -> None:
        found = read_scores(place)
        assert set(found["track"]) == {"A song"} and not np.isinf(found["score"]).any() and len(found) > 0
        sisec_medians(found)

    return Kind(make, read)


def config(folder: Path) -> Kind:
    """Return the kind of the shipped config. What is accepted must equal what Snakemake reads."""
    whole = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))

    def make(place: Path, rng: random.Random) -> Path:
        path = place / "mine.yaml"
        values = altered(whole, rng)
        text = (ROOT / "config.yaml").read_text() if rng.random() < 0.5 else yaml.safe_dump(values, allow_unicode=rng.random() < 0.5)
        data = text.encode("utf-8", "surrogatepass")
        path.write_bytes(damaged(data, rng, len(data)))
        return path

    def read(path: Path) -> None:
        values = read_settings([path])
        assert repr(values) == repr(yaml.safe_load(path.read_text(encoding="utf-8")))
        with contextlib.suppress(InputError):
            check_config(typed(whole | values))

    return Kind(make, read)


def _encodable(values: Any) -> dict[str, Any]:
    """Return `values` as metadata that can be written: a mapping without lone surrogates."""
    text = json.dumps(values).replace("\\ud800", "?")
    found = json.loads(text)
    return found if isinstance(found, dict) else {"metadata": found}


KINDS: dict[str, Callable[[Path], Kind]] = {
    **{suffix: lambda folder, suffix=suffix: audio(folder, suffix) for suffix in ("wav", "flac", "mp3", "ogg")},  # type: ignore[misc]
    "safetensors": checkpoint,
    "state": state,
    "prepared": prepared,
    "scores": scores,
    "config": config,
}

# the run


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise Hang in a block that takes too long. If the block does not end, end the process with the tracebacks of its threads."""

    def ring(number: int, frame: object) -> None:
        raise Hang(f"took more than {HANG_S} s")

    signal.signal(signal.SIGALRM, ring)
    faulthandler.dump_traceback_later(4 * HANG_S, exit=True)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()


def peaks_mb() -> tuple[float, float]:
    """Return the peak memory in MB of this process since `forget_peak`, and of the largest child process so far.

    `ru_maxrss` of this process cannot be used, because on Linux it starts with the value of the parent process.
    """
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1000, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


def forget_peak() -> None:
    """Reset the peak memory of this process to its present memory."""
    Path("/proc/self/clear_refs").write_text("5")


def fault_of(read: Read, path: Path) -> str | None:
    """Return what is wrong with the reader's result or error for a file, or None."""
    forget_peak()
    before = peaks_mb()
    try:
        with limited():
            read(path)
    except InputError as error:
        text = str(error)
        if len(text) > LINE or len(text.splitlines()) > 3 or (path.name not in text and "A song" not in text and "a-song" not in text):
            return f"not a plain line with the file's name: {text}"
    except (Exception, Hang):
        return traceback.format_exc()
    grown = max(now - then for now, then in zip(peaks_mb(), before, strict=True))
    return f"took {grown:.0f} MB" if grown > MEMORY_MB else None


def main(name: str, seed: int, count: int, folder: Path) -> None:
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    (folder / "original").mkdir(parents=True)
    kind = KINDS[name](folder / "original")
    for number in range(count):
        place = folder / str(number)
        place.mkdir()
        path = kind.make(place, random.Random(f"{name} {seed} {number}"))
        kept = folder / "kept" / str(number)
        shutil.copytree(place, kept)
        fault = fault_of(kind.read, path)
        shutil.rmtree(place)
        if fault is None:
            shutil.rmtree(kept)
        else:
            print(json.dumps({"variant": number, "fault": fault}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
