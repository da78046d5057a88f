"""The scoring engine compared with museval: time, memory and differences on synthetic stereo songs, and time relative to a lower bound.

    python benchmarks/scoring.py                     30, 60 and 240 s with 2 and 4 targets (about 10 minutes; museval needs 7 GB)
    python benchmarks/scoring.py --seconds 430       other lengths; at 430 s museval needs 12 GB
    python benchmarks/scoring.py --targets 2         one number of targets

Prints a Markdown table.

- Times are wall-clock seconds on float64 arrays in memory. Both engines run in turn in one process with one BLAS thread. The engine runs
  before and after museval, and its time is the median of all its runs. It is also run with two threads.
- Memory is the peak resident size of a separate process: museval with its arrays loaded, the engine streaming 16-bit wav files.
- Differences are the largest over all frames, in dB.
- The floor is the time of the FFTs (at the speed of each length in the cache), of the products (at the speed of a large matrix product)
  and of solving for the filters. No implementation of this algorithm can be faster on this machine.
- The distance is the engine's time divided by the floor.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np  # after the number of threads is set
import soundfile as sf
from scipy.signal import lfilter

RATE_HZ = 44100
N_LAGS = 512
STEMS = ("vocals", "drums", "bass", "other")
REPEATS = 3
COLUMNS = ["length", "targets", "museval", "1 thread", "ratio", "2 threads", "ratio", "floor", "distance"]
COLUMNS += ["SDR", "ISR", "SIR", "SAR", "museval, peak", "engine, peak"]


def write_songs(folder: Path, seconds: int, n_targets: int) -> None:
    """Write references of a synthetic song and leaked, filtered, noisy estimates as <name>.wav and <name>.estimate.wav."""
    song = next((folder.parent / "songs/test").iterdir())
    n_samples, rng = seconds * RATE_HZ, np.random.default_rng(0)
    stems = {name: sf.read(song / f"{name}.wav", frames=n_samples)[0] for name in STEMS}
    if n_targets == 2:
        stems = {"vocals": stems["vocals"], "accompaniment": stems["drums"] + stems["bass"] + stems["other"]}
    mixture = np.sum(list(stems.values()), axis=0)
    gain = 0.5 / np.abs(mixture).max()
    for name, reference in stems.items():
        estimate = lfilter([0.85, 0.1], [1.0, -0.05], reference + 0.08 * (mixture - reference), axis=0)
        estimate += 0.003 * np.abs(reference).max() * rng.standard_normal(reference.shape)
        sf.write(folder / f"{name}.wav", gain * reference, RATE_HZ, subtype="PCM_16")
        sf.write(folder / f"{name}.estimate.wav", gain * estimate, RATE_HZ, subtype="PCM_16")


def paths(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    estimates = {path.name.split(".")[0]: path for path in sorted(folder.glob("*.estimate.wav"))}
    return {name: folder / f"{name}.wav" for name in estimates}, estimates


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    references, estimates = (np.stack([sf.read(path)[0] for path in group.values()]) for group in paths(folder))
    return references, estimates


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def museval_scores(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    import museval

    if not hasattr(np.linalg, "linalg"):
        np.linalg.linalg = np.linalg  # the name that museval 0.4.1 uses
    return np.stack(museval.evaluate(references, estimates, win=RATE_HZ, hop=RATE_HZ))


def engine_scores(references: np.ndarray, estimates: np.ndarray, n_threads: int) -> np.ndarray:
    from madsep.bsseval import ArraySignal, Estimate, Scorer, Settings

    names = [str(number) for number in range(len(references))]
    scorer = Scorer(names, [ArraySignal(one) for one in references], Settings(RATE_HZ, RATE_HZ, N_LAGS, n_threads=n_threads))
    made = [Estimate(name, ArraySignal(one), (number,)) for number, (name, one) in enumerate(zip(names, estimates, strict=True))]
    return scorer.score(made, [tuple(range(len(made)))])[0]


def measure_speed(folder: Path) -> dict[str, object]:
    references, estimates = arrays(folder)
    engine_scores(references[:, :RATE_HZ], estimates[:, :RATE_HZ], 1)  # imports
    one = [timed(lambda: engine_scores(references, estimates, 1)) for _ in range(REPEATS)]
    two = [timed(lambda: engine_scores(references, estimates, 2))[0] for _ in range(REPEATS)]
    slow_s, expected = timed(lambda: museval_scores(references, estimates))
    one += [timed(lambda: engine_scores(references, estimates, 1)) for _ in range(REPEATS)]
    two += [timed(lambda: engine_scores(references, estimates, 2))[0] for _ in range(REPEATS)]
    if not np.array_equal(np.isnan(expected), np.isnan(one[0][1])):
        raise SystemExit("the engines leave out different frames")
    worst = np.nanmax(np.abs(expected - one[0][1]), axis=(1, 2))
    fast_s = float(np.median([seconds for seconds, _ in one]))
    floor_s = measure_floor(references.shape[1] // RATE_HZ, len(references))
    return {"museval": slow_s, "one": fast_s, "two": float(np.median(two)), "floor": floor_s, "worst": worst.tolist()}


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of several runs."""
    work()
    return min(timed(lambda: np.asarray(work()))[0] for _ in range(7))


def measure_floor(n_frames: int, n_targets: int) -> float:
    """Return the seconds of FFTs, products and solutions for `n_frames` frames of a second, each at its highest speed on this machine."""
    from madsep.bsseval import toeplitz
    from madsep.bsseval.correlations import block_plan
    from madsep.bsseval.fft import transform_into

    n_fft, _, n_blocks = block_plan(RATE_HZ, N_LAGS)
    n_plain, n_extended = n_targets, 2 * n_targets  # pairs; a stereo signal is one pair
    signals = np.random.default_rng(0).standard_normal((16, n_fft)) + 0j
    fft_s = best(lambda: transform_into(signals, signals * 0, axis=1)) / len(signals)
    matrix = np.random.default_rng(0).standard_normal((1000, 1000))
    flops_per_s = 2 * 1000**3 / best(lambda: matrix @ matrix)
    n_ffts = n_blocks * (n_plain + n_extended) + 2 * n_plain * n_extended
    flops = 8 * n_fft * n_blocks * 2 * n_plain * n_extended
    solve_s = 0.0
    for n_systems, n_channels, n_columns in ((1, 2 * n_targets, 2 * n_targets), (n_targets, 2, 2)):
        lags = np.zeros((n_systems, N_LAGS, n_channels, n_channels))
        lags[:, 0] = np.eye(n_channels)
        columns = np.ones((n_systems, N_LAGS, n_channels, n_columns))
        inverse = toeplitz.invert(lags)
        assert inverse is not None
        solve_s += best(lambda lags=lags: toeplitz.invert(lags) is None)
        solve_s += best(lambda inverse=inverse, columns=columns: toeplitz.solve(inverse, columns))
    return n_frames * (n_ffts * fft_s + flops / flops_per_s) + solve_s


def measure_memory(folder: Path, engine: str) -> dict[str, object]:
    if engine == "museval":
        museval_scores(*arrays(folder))
    else:
        from madsep.bsseval import score_track

        score_track(*paths(folder), RATE_HZ)
    status = Path("/proc/self/status").read_text()  # getrusage would include the parent's memory at the start of this process
    return {"mb": int(status.split("VmHWM:")[1].split()[0]) / 1024}


def in_own_process(role: str, folder: Path) -> dict[str, object]:
    command = [sys.executable, __file__, "--role", role, str(folder)]
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ended.stdout.splitlines()[-1])


def row(folder: Path, seconds: int, n_targets: int) -> str:
    write_songs(folder, seconds, n_targets)
    speed = in_own_process("speed", folder)
    slow, one, two, floor = (float(speed[key]) for key in ("museval", "one", "two", "floor"))
    cells = [f"{seconds} s", str(n_targets), f"{slow:.1f} s", f"{one:.2f} s", f"{slow / one:.0f}", f"{two:.2f} s", f"{slow / two:.0f}"]
    cells += [f"{floor:.2f} s", f"{one / floor:.1f}", *(f"{worst:.0e}" for worst in speed["worst"])]
    cells += [f"{float(in_own_process(f'memory-{engine}', folder)['mb']):,.0f} MB" for engine in ("museval", "engine")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="museval and the engine side by side")
    parser.add_argument("--seconds", type=int, nargs="+", default=[30, 60, 240])
    parser.add_argument("--targets", type=int, nargs="+", default=[2, 4], choices=[2, 4])
    parser.add_argument("--role", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        role, folder = options.role
        found = measure_speed(Path(folder)) if role == "speed" else measure_memory(Path(folder), role.split("-")[1])
        print(json.dumps(found))
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from madsep.bsseval import fft
    from madsep.synth import make_dataset

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_dataset(folder / "songs", 1, 1, float(math.ceil(max(options.seconds))), 0)
        print(f"FFT: {'SciPy' if fft.DUCC0 is None else 'ducc0'}; {os.cpu_count()} processors; load {os.getloadavg()[0]:.1f}\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        for seconds in options.seconds:
            for n_targets in options.targets:
                case = folder / f"{seconds}-{n_targets}"
                case.mkdir()
                print(row(case, seconds, n_targets), flush=True)


if __name__ == "__main__":
    main()
