"""What the workflow costs beside its work: start-up, imports, waiting; for 1 to 500 test tracks, and the plan for 10,000.

    python benchmarks/overhead.py                      prints a Markdown table (about half an hour on 2 idle cores)
    python benchmarks/overhead.py --tracks 1 10        only these runs

Runs are real ones on songs of 1 s, hard links to one, by a tiny network; limits of `job_s` are scaled so that as many tracks share a job
as of 240 s would. So nearly all of the time is overhead, and all of it counts as such.

- plan: a dry run. one job's plan: a dry run of one prepare job, which is what a cluster job does twice before it starts (once in the
  batch script, once in its step), read from the data as it is on a compute node.
- overhead a job: the run's seconds on all cores, Snakemake's start included, by its jobs.
- on MUSDB18: overhead of all jobs in parts of the work, at 240 s a track; the work is that of docs/needs.md without training: prepare,
  separate, and score by museval both the estimates and the mixture. On a cluster, each job plans itself twice as well.
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
COLUMNS = ["test tracks", "jobs", "wall", "CPU", "peak memory", "overhead a job", "on MUSDB18", "on a cluster", "plan", "one job's plan"]
PLANS = 2  # of a cluster job: its batch script's and its step's


@dataclass(frozen=True)
class Cost:
    """What a run took: wall-clock and CPU seconds, bytes of its largest process, and its number of jobs."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    n_jobs: int


def make_songs(root: Path, n_tracks: int) -> None:
    """One training song and `n_tracks` test songs: hard links to one."""
    make_dataset(root, 1, 1, SONG_S, 0)
    (song,) = (root / "test").iterdir()
    for number in range(1, n_tracks):
        copy = song.with_name(f"Made Up - Song {number:05d}")
        copy.mkdir()
        for stem in song.iterdir():
            os.link(stem, copy / stem.name)


def write_settings(folder: Path) -> Path:
    """Settings of the runs, laid over config.yaml."""
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
    """Run the workflow in `folder`; raises CalledProcessError where it fails."""
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
    """Seconds of work on one test track, from docs/needs.md."""
    table = (ROOT / "docs/needs.md").read_text(encoding="utf-8")
    found = {stage: float(re.search(rf"^\| {stage} \| (\d+) s", table, re.MULTILINE)[1]) for stage in ("prepare", "separate", "score")}
    return found["prepare"] + found["separate"] + 2 * found["score"]


def row(n_tracks: int, runs: bool) -> str:
    """One line of the table; `runs` also carries out what is planned."""
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
