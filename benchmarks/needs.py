"""What a full run needs: time, memory and disk of each stage on one 240 s song with MDL1 at full size, extrapolated to MUSDB18.

    python benchmarks/needs.py        prints a Markdown table (about 5 minutes on 2 cores)

Each stage runs in a separate process. Its wall-clock time and peak resident memory are those of that process, including start-up.
MUSDB18 has 6.3 h of training tracks, 3.5 h of test tracks (207 min), 50 test tracks and 4,080 steps per epoch, for 100 epochs.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SONG_S = 240.0
TRAIN_S, TEST_S = 6.3 * 3600, 207 * 60.0
STEPS = 408_000
N_TIMED_STEPS = 12
THREADS = os.cpu_count() or 1


def stage_synth(root: Path) -> None:
    from madsep.synth import make_dataset

    make_dataset(root / "musdb", 1, 1, SONG_S, 0)


def stage_prepare(root: Path) -> None:
    from madsep.data.datasets import MUSDB18
    from madsep.data.prepare import prepare
    from madsep.data.tracks import find_tracks

    tracks = find_tracks(root / "musdb", MUSDB18, allow_partial=True)
    prepare(tracks[1:], ["mixture", "vocals", "accompaniment"], False, root, root / "test.json")


def stage_prepare_train(root: Path) -> None:
    from madsep.data.datasets import MUSDB18
    from madsep.data.prepare import prepare
    from madsep.data.tracks import find_tracks

    tracks = find_tracks(root / "musdb", MUSDB18, allow_partial=True)
    prepare(tracks[:1], ["mixture", "vocals"], True, root, root / "train.json")


def stage_train(root: Path) -> None:
    """Time the steps of the real loop except the first two, and write an untrained checkpoint."""
    import torch

    from madsep.data.prepared import read_prepared
    from madsep.front_end.stft import Stft
    from madsep.models.checkpoint import build_network, write_checkpoint, write_tensors
    from madsep.systems.recipe import load_recipe
    from madsep.training.loop import Loop
    from madsep.training.sequences import Sequences
    from madsep.training.state import TrainingState

    torch.set_num_threads(THREADS)
    recipe = load_recipe("MDL1", {})
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(0))
    sequences = Sequences(read_prepared([root / "train.json"], "train"), recipe, Stft(recipe.front_end), augmented=False)
    loop = Loop(recipe, TrainingState(network, recipe), sequences, sequences)
    times = []
    for _, spans in sequences.stream(loop.batches()[:N_TIMED_STEPS]):
        started = time.perf_counter()
        loop.step(spans)
        times.append(time.perf_counter() - started)
    write_tensors(root / "weights.safetensors", network.state_dict(), {"trained": recipe.training_half(), "provenance": {}})
    write_checkpoint(root / "weights.safetensors", recipe, root / "checkpoint.safetensors")
    (root / "step_s.json").write_text(json.dumps(sorted(times[2:])[len(times[2:]) // 2]))


def stage_separate(root: Path) -> None:
    from madsep.separation.songs import Job, separate

    separate(root / "checkpoint.safetensors", Job([root / "test.json"], ["test001"], root / "estimates.json"), "cpu", THREADS)


def stage_score(root: Path) -> None:
    score_with("museval", root)


def stage_fast_score(root: Path) -> None:
    score_with("fast", root)


def score_with(engine: str, root: Path) -> None:
    from madsep.data.prepared import TARGETS
    from madsep.scoring.engines import Engine
    from madsep.scoring.estimates import Estimates
    from madsep.scoring.score import score

    score(Estimates([root / "test.json"], ["test001"], TARGETS, root), root / engine / "scores.csv", Engine(engine))


def run(stage: str, root: Path) -> tuple[float, float]:
    """Return the wall-clock seconds and the peak resident memory in GB of one stage in a separate process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, __file__, stage, str(root)], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started, json.loads((root / f"{stage}.peak").read_text())


def main() -> None:
    print(f"{platform.machine()}, {THREADS} cores, Python {platform.python_version()}; a song of {SONG_S:.0f} s, MDL1 at full size\n")
    print("| stage | time, 240 s of audio | peak memory | MUSDB18 | disk, MUSDB18 |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run("synth", root)
        rows = {stage: run(stage, root) for stage in ("prepare_train", "prepare", "train", "separate", "score", "fast_score")}
        step_s = json.loads((root / "step_s.json").read_text())
        disk = {name: sum(p.stat().st_size for p in root.glob(pattern)) for name, pattern in PATTERNS.items()}
    for stage, n_seconds, name in (("prepare_train", TRAIN_S, "train"), ("prepare", TEST_S, "test")):
        hours, size = rows[stage][0] / SONG_S * n_seconds / 3600, disk[name] / SONG_S * n_seconds / 1e9
        print(f"| {stage} | {rows[stage][0]:.0f} s | {rows[stage][1]:.1f} GB | {hours * 60:.0f} min | {size:.1f} GB |")
    network_gb, days = N_COPIES * disk["network"] / 1e9, STEPS * step_s / 86400
    print(f"| train | {step_s:.2f} s per step | {rows['train'][1]:.1f} GB | {days:.1f} days on this CPU | {network_gb:.1f} GB |")
    for stage, note in (("separate", f"{disk['estimates'] / SONG_S * TEST_S / 1e9:.1f} GB"), ("score", "-"), ("fast_score", "-")):
        print(f"| {stage} | {rows[stage][0]:.0f} s | {rows[stage][1]:.1f} GB | {rows[stage][0] / SONG_S * TEST_S / 60:.0f} min | {note} |")


PATTERNS = {
    "train": "train001.npy",
    "test": "test001.npy",
    "estimates": "test/*/*.wav",
    "network": "checkpoint.safetensors",
}
N_COPIES = 8  # weights, checkpoint, and two states of three times their size

if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        globals()[f"stage_{sys.argv[1]}"](Path(sys.argv[2]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        (Path(sys.argv[2]) / f"{sys.argv[1]}.peak").write_text(json.dumps(peak / 1e9))
