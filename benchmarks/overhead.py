"""The overhead of the workflow (starting processes, importing, waiting) for 1 to 500 test tracks, and the time to plan 10,000 tracks.

    python benchmarks/overhead.py                      prints a Markdown table (about half an hour on 2 idle cores)
    python benchmarks/overhead.py --tracks 1 10        only these runs

The runs are real runs of a tiny network on songs of 1 s, which are hard links to one song. The limits of `job_s` are scaled so that as many
tracks share a job as tracks of 240 s would. So nearly all of the time is overhead, and all of it is counted as overhead.

- plan: a dry run.
- one job's plan: a dry run of one prepare job, as on a compute node. A cluster job does this twice before it starts: once in its batch
  script and once in its step.
- overhead per job: the seconds of the run on all cores, including Snakemake's start, divided by the number of jobs.
- on MUSDB18: overhead of all jobs relative to the work, for tracks of 240 s. The work is that of docs/needs.md without training: prepare,
  separate, and score both the estimates and the mixture by museval.
- on a cluster: the same, with the two plans of each job added.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from measure import markdown

from madsep.synth import make_dataset

ROOT = Path(__file__).resolve().parents[1]
SONG_S, REAL_S = 1.0, 240.0
TINY = {
    "front_end": {"window_length": 257, "fft_length": 512, "hop_length": 256},
    "network": {"n_encoder_bins": 24, "n_denoiser_hidden": 24},
    "segments": {"n_frames": 20, "n_context": 2},
    "training": {"n_epochs": 1},
}
COLUMNS = ["test tracks", "jobs", "wall", "CPU", "peak memory", "overhead per job", "on MUSDB18", "on a cluster", "plan", "one job's plan"]
PLANS = 2  # plans per cluster job: one in its batch script, one in its step


@dataclass(frozen=True)
class Cost:
    """Cost of a run: wall-clock and CPU seconds, bytes of its largest process, number of jobs."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    n_jobs: int


def make_songs(root: Path, n_tracks: int) -> None:
    """Make one training song and `n_tracks` test songs, all hard links to one."""
    make_dataset(root, 1, 1, SONG_S, 0)
    (song,) = (root / "test").iterdir()
    for number in range(1, n_tracks):
        copy = song.with_name(f"Made Up - Song {number:05d}")
        copy.mkdir()
        for stem in song.iterdir():
            os.link(stem, copy / stem.name)


def write_settings(folder: Path) -> Path:
    """Return the settings of the runs that differ from config.yaml."""
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["job_s"]
    settings = {
        "musdb_root": str(folder / "musdb"),
        "allow_partial": True,
        "device": "cpu",
        "threads": {"train": 1, "separate": 1, "score": 1},
        "job_s": {stage: limit_s * SONG_S / REAL_S for stage, limit_s in shipped.items()},
        "overrides": {"MDL1": TINY},
    }
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Run the workflow in `folder`. Raises CalledProcessError if it fails."""
    files = [
        "--snakefile",
        ROOT / "Snakefile",
        "--directory",
        folder / "run",
        "--configfile",
        ROOT / "config.yaml",
        folder / "settings.yaml",
    ]
    command = [sys.executable, "-m", "snakemake", *map(str, files), "--cores", "all", *arguments]
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, text[-3000:])
    jobs = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * kilobyte, int(jobs[1]) if jobs else 0)


def work_s() -> float:
    """Return the seconds of work per test track, from docs/needs.md."""
    table = (ROOT / "docs/needs.md").read_text(encoding="utf-8")
    found = {stage: float(re.search(rf"^\| {stage} \| (\d+) s", table, re.MULTILINE)[1]) for stage in ("prepare", "separate", "score")}
    return found["prepare"] + found["separate"] + 2 * found["score"]


def row(n_tracks: int, runs: bool) -> str:
    """Return one row of the table. With `runs`, execute the plan as well."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_songs(folder / "musdb", n_tracks)
        write_settings(folder)
        plan = snakemake(folder, "--dry-run", "--quiet", "rules")
        one = snakemake(folder, "results/prepared/train001.json", "--dry-run", "--quiet", "rules")
        run = snakemake(folder) if runs else None
    tail = [f"{plan.wall_s:.0f} s, {plan.peak_bytes / 1e9:.1f} GB", f"{one.wall_s:.1f} s"]
    if run is None:
        return line([f"{n_tracks:,}", f"{plan.n_jobs:,}", *["-"] * 6, *tail])
    overhead_s = run.wall_s * (os.cpu_count() or 1)
    shares = [seconds / (n_tracks * work_s()) for seconds in (overhead_s, overhead_s + PLANS * run.n_jobs * one.wall_s)]
    cells = [f"{n_tracks:,}", f"{run.n_jobs:,}", f"{run.wall_s:.0f} s", f"{run.cpu_s:.0f} s", f"{run.peak_bytes / 1e9:.1f} GB"]
    return line([*cells, f"{overhead_s / run.n_jobs:.1f} s", *(f"{share:.1%}" for share in shares), *tail])


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, nargs="*", default=[1, 10, 50, 500], help="test tracks of the runs")
    parser.add_argument("--plan", type=int, nargs="*", default=[10_000], help="test tracks of what is only planned")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; songs of {SONG_S:.0f} s\n")
    print(markdown(COLUMNS), flush=True)
    for n_tracks in options.tracks:
        print(row(n_tracks, runs=True), flush=True)
    for n_tracks in options.plan:
        print(row(n_tracks, runs=False), flush=True)


if __name__ == "__main__":
    main()
