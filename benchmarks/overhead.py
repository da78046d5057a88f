"""The overhead of the workflow (starting processes, importing, waiting): two headline figures, and a table over numbers of tracks.

    python benchmarks/overhead.py                      both, as Markdown (about half an hour on 2 idle cores)
    python benchmarks/overhead.py --tracks 1 10        only these runs in the table
    python benchmarks/overhead.py --headline           only the headline figures (2 minutes)
    python benchmarks/overhead.py --tree DIR           the headline figures of another checkout, such as an earlier version

The headline figures are CPU seconds, user and system, of Snakemake and all processes that it starts:

- a dry run on 100 training tracks and MUSDB18's 50 test tracks (the median of three, each in an empty folder);
- a whole run of one oracle, IRM1, on two songs of 3 s, scored by museval on the CPU.

For each, `museval` is the time of museval's own scoring, measured during the run. `overhead` is the rest.

The table has real runs of a tiny network on songs of 1 s, which are hard links to one song, and a plan of 10,000 tracks. The limits of
`job_s` are scaled so that a job has as many tracks as with tracks of 240 s. Nearly all of the time is therefore overhead, and all of it is
counted as overhead.

- plan: a dry run.
- one job's plan: a dry run of one prepare job, as on a compute node. A cluster job does this twice before it starts: once in its batch
  script and once in its step.
- overhead per job: the seconds of the run on all cores, including Snakemake's start, divided by the number of jobs.
- on MUSDB18: overhead of all jobs relative to the work, for tracks of 240 s. The work is that of docs/index.md without training: prepare,
  separate, score the estimates with museval, and score them and the mixture with the fast engine.
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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from measure import markdown

from madsep.data.datasets import MUSDB18
from madsep.data.tracks import slug_of
from madsep.synth import make_dataset

ROOT = Path(__file__).resolve().parents[1]
SONG_S, REAL_S, ORACLE_SONG_S = 1.0, 240.0, 3.0
ORACLE = {"systems": ["IRM1"], "device": "cpu", "allow_partial": True}
TINY = {
    "front_end": {"window_length": 257, "fft_length": 512, "hop_length": 256},
    "network": {"n_encoder_bins": 24, "n_denoiser_hidden": 24},
    "segments": {"n_frames": 20, "n_context": 2},
    "training": {"n_epochs": 1},
}
COLUMNS = ["test tracks", "jobs", "wall", "CPU", "peak memory", "overhead per job", "on MUSDB18", "on a cluster", "plan", "one job's plan"]
HEADLINE_COLUMNS = ["measure", "CPU", "museval", "overhead"]
N_DRY_RUNS = 3
# Python runs this at the start of each process if its folder is on the path. It records the duration of museval's scoring.
TIMED_MUSEVAL = """
import importlib.util, os, pathlib, sys, time

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "museval":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def load_timed(module):
            load(module)
            score = module.eval_mus_track
            def timed(*arguments, **named):
                began = time.process_time()
                try:
                    return score(*arguments, **named)
                finally:
                    with pathlib.Path(__file__).with_name("museval_s").open("a") as out:
                        print(time.process_time() - began, file=out)
            module.eval_mus_track = timed
        spec.loader.exec_module = load_timed
        return spec

sys.meta_path.insert(0, Finder())
"""
PLANS = 2  # plans per cluster job: one in its batch script, one in its step


@dataclass(frozen=True)
class Cost:
    """Cost of a run: wall-clock and CPU seconds of all its processes, bytes of the largest process, number of jobs."""

    wall_s: float
    cpu_s: float
    museval_s: float  # CPU seconds of museval's scoring among them
    peak_bytes: int
    n_jobs: int


def make_songs(root: Path, n_tracks: int) -> None:
    """Make one training song and `n_tracks` test songs. The test songs are hard links to one song."""
    make_dataset(root, 1, 1, SONG_S, 0)
    (song,) = (root / "test").iterdir()
    link_songs(song, [song.with_name(f"Made Up - Song {number:05d}") for number in range(1, n_tracks)])


def make_musdb(root: Path) -> None:
    """Make a tree with MUSDB18's number of tracks and its test tracks' names. All tracks are hard links to one song of 1 s."""
    make_dataset(root / "one", 1, 1, SONG_S, 0)
    (song,) = (root / "one/test").iterdir()
    names = {"train": [f"Made Up - Song {number:05d}" for number in range(MUSDB18.n_train)], "test": MUSDB18.test_names()}
    link_songs(song, [root / "musdb" / subset / name for subset, listed in names.items() for name in listed])


def link_songs(song: Path, copies: list[Path]) -> None:
    """Make folders with hard links to the stems of a song."""
    for copy in copies:
        copy.mkdir(parents=True)
        for stem in song.iterdir():
            os.link(stem, copy / stem.name)


def settings(tree: Path, musdb: Path) -> dict[str, Any]:
    """Return the runs' settings that differ from the config.yaml of a checkout."""
    shipped = yaml.safe_load((tree / "config.yaml").read_text(encoding="utf-8"))["job_s"]
    return {
        "musdb_root": str(musdb),
        "allow_partial": True,
        "device": "cpu",
        "threads": {"train": 1, "separate": 1, "score": 1},
        "job_s": {stage: limit_s * SONG_S / REAL_S for stage, limit_s in shipped.items()},
        "overrides": {"MDL1": TINY},
    }


def snakemake(tree: Path, folder: Path, config: Mapping[str, Any], *arguments: str) -> Cost:
    """Run the workflow of a checkout in `folder`/run. Raises CalledProcessError if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    changed, path = folder / "settings.yaml", os.pathsep.join([str(folder), str(tree), *filter(None, [os.environ.get("PYTHONPATH")])])
    changed.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    (folder / "sitecustomize.py").write_text(TIMED_MUSEVAL, encoding="utf-8")
    files = ["--snakefile", tree / "Snakefile", "--directory", folder / "run", "--configfile", tree / "config.yaml", changed]
    command = [sys.executable, "-m", "snakemake", *map(str, files), "--cores", "all", *arguments]
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=tree, env={**os.environ, "PYTHONPATH": path}, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)  # its usage includes all descendants
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, text[-3000:])
    jobs = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    kilobyte = 1 if sys.platform == "darwin" else 1024
    scored = folder / "museval_s"
    museval_s = sum(map(float, scored.read_text().split())) if scored.exists() else 0.0
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, museval_s, usage.ru_maxrss * kilobyte, int(jobs[1]) if jobs else 0)


def headline(tree: Path) -> None:
    """Print the headline figures of a checkout."""
    print(markdown(HEADLINE_COLUMNS), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_musdb(folder)
        config = settings(tree, folder / "musdb") | {"allow_partial": False}
        plans = [snakemake(tree, folder / f"plan{number}", config, "--dry-run", "--quiet", "rules") for number in range(N_DRY_RUNS)]
        plan = sorted(plans, key=lambda cost: cost.cpu_s)[N_DRY_RUNS // 2]
        print(headline_row(f"dry run, {MUSDB18.n_train} + {MUSDB18.n_test} tracks", plan), flush=True)
        make_dataset(folder / "two", 1, 2, ORACLE_SONG_S, 0)
        run = snakemake(tree, folder / "oracle", {"musdb_root": str(folder / "two"), **ORACLE})
        print(headline_row(f"run of IRM1, two songs of {ORACLE_SONG_S:.0f} s, {run.n_jobs} jobs", run), flush=True)


def headline_row(measure: str, cost: Cost) -> str:
    return line([measure, *(f"{seconds:.1f} s" for seconds in (cost.cpu_s, cost.museval_s, cost.cpu_s - cost.museval_s))])


def work_s() -> float:
    """Return the seconds of work per test track, from docs/index.md."""
    table = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    stages = ("prepare", "separate", "score", "fast_score", "fast_score")
    return sum(float(re.search(rf"^\| {stage} \| (\d+) s", table, re.MULTILINE)[1]) for stage in stages)


def row(n_tracks: int, runs: bool) -> str:
    """Return one row of the table. If `runs` is true, the plan is also executed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_songs(folder / "musdb", n_tracks)
        config = settings(ROOT, folder / "musdb")
        (song,) = (folder / "musdb/train").iterdir()
        plan = snakemake(ROOT, folder, config, "--dry-run", "--quiet", "rules")
        one_job = f"results/prepared/train/jobs/{slug_of(song.name)}.json"
        one = snakemake(ROOT, folder, config, "--dry-run", "--quiet", "rules", "--", one_job)
        run = snakemake(ROOT, folder, config) if runs else None
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
    parser.add_argument("--tracks", type=int, nargs="*", default=[1, 10, 50, 500], help="numbers of test tracks of the runs")
    parser.add_argument("--plan", type=int, nargs="*", default=[10_000], help="numbers of test tracks that are only planned")
    parser.add_argument("--headline", action="store_true", help="print only the headline figures")
    parser.add_argument("--tree", type=Path, help="print only the headline figures of this checkout", default=ROOT)
    options = parser.parse_args()
    tree = options.tree.resolve()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; load {os.getloadavg()[0]:.1f}\n")
    headline(tree)
    if options.headline or tree != ROOT:
        return
    print(f"\nsongs of {SONG_S:.0f} s\n")
    print(markdown(COLUMNS), flush=True)
    for n_tracks in options.tracks:
        print(row(n_tracks, runs=True), flush=True)
    for n_tracks in options.plan:
        print(row(n_tracks, runs=False), flush=True)


if __name__ == "__main__":
    main()
