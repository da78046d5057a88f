"""Requirements of a full run: time, memory and disk of each stage, measured on one song with MDL1 at full size and extrapolated.

    python benchmarks/needs.py                  a song of 240 s; prints a Markdown table (about 5 minutes on 2 cores)
    python benchmarks/needs.py --seconds 10     a shorter song, to check that the benchmark works; start-up then dominates

Each stage runs in a separate process. Its wall-clock time and peak resident memory are those of this process, including start-up. The
extrapolation is to MUSDB18 with 6.3 h of training tracks, 3.5 h (207 min) of test tracks, 50 test tracks and 100 epochs of 4,080 steps.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # each stage imports only what it uses
    from madsep.data.prepared import PreparedTrack
    from madsep.models.network import Network
    from madsep.systems.recipe import Recipe

TRAIN_S, TEST_S = 6.3 * 3600, 207 * 60.0
STEPS = 408_000
N_TIMED_STEPS = 12
THREADS = os.cpu_count() or 1
PATTERNS = {"train": "train/*.npy", "test": "test/*.npy", "estimates": "estimates/test/*/*.wav", "network": "checkpoint.safetensors"}
N_COPIES = 8  # weights, checkpoint, and two states of three times their size
SIGNALS = {"train": ("mixture", "vocals"), "test": ("mixture", "vocals", "accompaniment")}


def write_song(root: Path, song_s: float) -> None:
    from madsep.synth import make_dataset

    make_dataset(root / "musdb", 1, 1, song_s, 0)


def stage_prepare(root: Path) -> None:
    prepare_subset(root, "test")


def stage_prepare_train(root: Path) -> None:
    prepare_subset(root, "train")


def prepare_subset(root: Path, subset: str) -> None:
    from madsep.data.datasets import MUSDB18
    from madsep.data.inventory import Digests, with_digests
    from madsep.data.prepare import prepare
    from madsep.data.prepared import Form
    from madsep.data.tracks import find_tracks

    found = [track for track in find_tracks(root / "musdb", MUSDB18, allow_partial=True) if track.subset == subset]
    tracks = with_digests(found, Digests(root / f"{subset}-digests.json"))
    prepare(tracks, Form(SIGNALS[subset], subset == "train", MUSDB18.sample_rate_hz), root / subset, "needs")


def prepared(root: Path, subset: str) -> list["PreparedTrack"]:
    """Return the single prepared track of a subset."""
    from madsep.data.prepared import read_prepared

    return read_prepared(root / subset, [path.stem for path in (root / subset / "records").iterdir()], (subset,))


def stage_train(root: Path) -> None:
    """Time the steps of the real training loop, except the first two, and write an untrained checkpoint."""
    import torch

    from madsep.front_end.stft import Stft
    from madsep.models.checkpoint import build_network
    from madsep.systems.recipe import load_recipe
    from madsep.training.loop import Loop
    from madsep.training.sequences import Sequences
    from madsep.training.state import TrainingState

    torch.set_num_threads(THREADS)
    recipe = load_recipe("MDL1", {})
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(0))
    sequences = Sequences(prepared(root, "train"), recipe, Stft(recipe.front_end), augmented=False)
    loop = Loop(recipe, TrainingState(network, recipe), sequences, sequences)
    times = []
    for _, spans in sequences.stream(itertools.islice(itertools.cycle(loop.batches()), N_TIMED_STEPS)):
        started = time.perf_counter()
        loop.step(spans)
        times.append(time.perf_counter() - started)
    write_untrained(root, recipe, network)
    (root / "step_s.json").write_text(json.dumps(sorted(times[2:])[len(times[2:]) // 2]))


def write_untrained(root: Path, recipe: "Recipe", network: "Network") -> None:
    """Write the checkpoint of a network as if it were trained."""
    from madsep.core.artefacts import Stage
    from madsep.models.checkpoint import WEIGHTS, write_checkpoint, write_tensors

    weights, identity = root / "training" / f"{WEIGHTS}.safetensors", "untrained"
    metadata = {"trained": recipe.training_half(), "identity": identity, "provenance": {}}
    with Stage(weights.parent).making(WEIGHTS, {"training": identity}) as made:
        write_tensors(weights, network.state_dict(), metadata)
        made |= {"files": [weights]}
    write_checkpoint(weights.parent, recipe, root / "checkpoint.safetensors")


def stage_separate(root: Path) -> None:
    from madsep.separation.tracks import separate

    separate(root / "checkpoint.safetensors", prepared(root, "test"), root / "estimates", "needs", "cpu", THREADS)


def stage_score(root: Path) -> None:
    score_with("museval", root)


def stage_fast_score(root: Path) -> None:
    score_with("fast", root)


def score_with(engine: str, root: Path) -> None:
    from madsep.data.datasets import TARGETS
    from madsep.scoring.engines import Engine
    from madsep.scoring.score import score

    score(prepared(root, "test"), TARGETS, root / "estimates", root / engine, "needs", Engine(engine))


def run(stage: str, root: Path, song_s: float) -> tuple[float, float]:
    """Return the wall-clock seconds and the peak resident memory in GB of one stage in a separate process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--stage", stage, str(root), "--seconds", str(song_s)], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started, json.loads((root / f"{stage}.peak").read_text())


def measure(song_s: float) -> None:
    """Run all stages on a song of `song_s` seconds and print the table."""
    print(f"{platform.machine()}, {THREADS} cores, Python {platform.python_version()}; a song of {song_s:.0f} s, MDL1 at full size\n")
    print(f"| stage | time, {song_s:.0f} s of audio | peak memory | MUSDB18 | disk, MUSDB18 |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run("write_song", root, song_s)
        rows = {stage: run(stage, root, song_s) for stage in STAGES}
        step_s = json.loads((root / "step_s.json").read_text())
        disk = {name: sum(p.stat().st_size for p in root.glob(pattern)) for name, pattern in PATTERNS.items()}
    for stage, n_seconds, name in (("prepare_train", TRAIN_S, "train"), ("prepare", TEST_S, "test")):
        hours, size = rows[stage][0] / song_s * n_seconds / 3600, disk[name] / song_s * n_seconds / 1e9
        print(f"| {stage} | {rows[stage][0]:.0f} s | {rows[stage][1]:.1f} GB | {hours * 60:.0f} min | {size:.1f} GB |")
    network_gb, days = N_COPIES * disk["network"] / 1e9, STEPS * step_s / 86400
    print(f"| train | {step_s:.2f} s per step | {rows['train'][1]:.1f} GB | {days:.1f} days on this CPU | {network_gb:.1f} GB |")
    for stage, note in (("separate", f"{disk['estimates'] / song_s * TEST_S / 1e9:.1f} GB"), ("score", "-"), ("fast_score", "-")):
        print(f"| {stage} | {rows[stage][0]:.0f} s | {rows[stage][1]:.1f} GB | {rows[stage][0] / song_s * TEST_S / 60:.0f} min | {note} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="length of the song")
    parser.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage is None:
        measure(options.seconds)
        return
    name, root = options.stage[0], Path(options.stage[1])
    if name == "write_song":
        write_song(root, options.seconds)
    else:
        STAGES[name](root)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    (root / f"{name}.peak").write_text(json.dumps(peak / 1e9))


STAGES = {
    "prepare_train": stage_prepare_train,
    "prepare": stage_prepare,
    "train": stage_train,
    "separate": stage_separate,
    "score": stage_score,
    "fast_score": stage_fast_score,
}

if __name__ == "__main__":
    main()
