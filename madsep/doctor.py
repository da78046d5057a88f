"""Check the machine and the data before a long run, and say how to fix what is wrong."""

import importlib.metadata
import platform
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import soundfile as sf
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.table import Table
from rich.text import Text

from madsep.core.errors import Faults
from madsep.core.ffmpeg import check_mp4_size, ffmpeg_version, probe
from madsep.core.places import unwritable
from madsep.core.provenance import list_gpus
from madsep.core.reading import reading
from madsep.data.containers import examine_audio
from madsep.data.datasets import MUSDB18, SUBSETS, Dataset
from madsep.data.tracks import Track, find_tracks

PACKAGE = "madsep"
DISK_NEED_GB = 27  # full MUSDB18: prepared arrays, estimates and scores of one system
MEMORY_NEED_GB = 9  # museval takes 18 MB for each second of two stereo targets; the longest test track has 430 s


@dataclass(frozen=True)
class Finding:
    """One check: whether it passed, what was found, and what to do if it failed."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(root: Path | None, dataset: Dataset, allow_partial: bool) -> list[Finding]:
    """Examine the machine and, if `root` is given, the data set under it. Reads only headers of audio files, and raises no error."""
    full = root is not None and dataset is MUSDB18 and not allow_partial
    findings = [_python(), _packages(), *_ffmpeg(), _gpu(), _memory(full), _disk(full), _folders()]
    return findings if root is None else findings + _data(root, dataset, allow_partial)


def report(findings: Sequence[Finding]) -> str:
    """Return the findings as a table for a terminal."""
    table = Table()
    for heading in ("", "check", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = Text("ok", "green") if finding.ok else Text("wrong", "bold red")
        table.add_row(mark, *(Text(cell) for cell in (finding.name, finding.detail, finding.remedy)))
    console = Console()
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _python() -> Finding:
    found = platform.python_version()
    try:
        needed = importlib.metadata.metadata(PACKAGE)["Requires-Python"]
    except importlib.metadata.PackageNotFoundError:
        return Finding("Python", True, found)
    ok = SpecifierSet(needed).contains(found, prereleases=True)
    return Finding("Python", ok, f"{found}, needed {needed}", "" if ok else f"install Python {needed}")


def _packages() -> Finding:
    try:
        lines = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            "packages", False, f"{PACKAGE} is not installed, so no versions to compare", "pip install madsep, or make setup in a clone"
        )
    needed = [Requirement(line) for line in lines]
    needed = [package for package in needed if package.marker is None or package.marker.evaluate({"extra": ""})]
    faults = [fault for package in needed if (fault := _package_fault(package))]
    if not faults:
        return Finding("packages", True, f"{len(needed)} as required")
    return Finding(
        "packages",
        False,
        "\n".join(faults),
        "install them again, with the same extras: pip install --upgrade madsep, or make setup in a clone",
    )


def _package_fault(needed: Requirement) -> str:
    try:
        found = importlib.metadata.version(needed.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{needed.name} is missing"
    return "" if needed.specifier.contains(found, prereleases=True) else f"{needed} needed, found {found}"


def _ffmpeg() -> list[Finding]:
    remedy = "apt-get install ffmpeg (Debian, Ubuntu) or brew install ffmpeg (macOS)"
    missing = [name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None]
    detail = "found" if missing else f"version {ffmpeg_version()}"
    return [
        Finding(name, False, "not on the PATH", remedy) if name in missing else Finding(name, True, detail)
        for name in ("ffmpeg", "ffprobe")
    ]


def _gpu() -> Finding:
    names = [line.split(" (UUID")[0] for line in list_gpus()]
    return Finding("GPU", True, "\n".join(names) or "none: training runs on the CPU")


def _memory(full: bool) -> Finding:
    return _amount("memory", psutil.virtual_memory().total, MEMORY_NEED_GB, full, "use a machine with more memory")


def _disk(full: bool) -> Finding:
    free_bytes = shutil.disk_usage(Path.cwd()).free
    return _amount("free disk space here", free_bytes, DISK_NEED_GB, full, "free some space or work in another folder")


def _folders() -> Finding:
    found = list(unwritable(Path("results")))
    if not found:
        return Finding("folders to write to", True, "results, temporary files, the caches of Snakemake and Matplotlib")
    faults, remedies = zip(*found, strict=True)
    return Finding("folders to write to", False, "\n".join(faults), "\n".join(dict.fromkeys(remedies)))


def _amount(name: str, found_bytes: int, need_gb: int, full: bool, remedy: str) -> Finding:
    """Compare an amount with what the full MUSDB18 needs. With less data, or none, any amount is enough."""
    ok = not full or found_bytes >= need_gb * 1e9
    detail = f"{found_bytes / 1e9:.0f} GB; the full MUSDB18 needs {need_gb} GB"
    return Finding(name, ok, detail, "" if ok else remedy)


def _data(root: Path, dataset: Dataset, allow_partial: bool) -> list[Finding]:
    findings = []
    tracks, fault = _tracks(root, dataset, allow_partial)
    if fault:
        findings.append(Finding("data", False, fault, f"see {dataset.page}"))
        tracks, fault = _tracks(root, dataset, allow_partial=True)
        if fault:
            return findings
    counts = {subset: sum(track.subset == subset for track in tracks) for subset in SUBSETS}
    kinds = sorted({"stem" if track.layout == "stems" else path.suffix[1:] for track in tracks for path in track.source_files().values()})
    tracks_found = f"{counts['train']} training and {counts['test']} test tracks"
    findings.append(Finding("tracks", True, f"{tracks_found}, {' and '.join(kinds)} files"))
    if tracks[0].layout == "stems" and (shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None):
        return [*findings, Finding("audio", False, "not examined: stem files need ffmpeg", "install ffmpeg")]
    with ThreadPoolExecutor() as pool:
        faults = [fault for fault in pool.map(lambda track: _track_fault(track, dataset), tracks) if fault]
    if faults:
        findings.append(Finding("audio", False, "\n".join(faults), "copy or download these tracks again"))
    else:
        findings.append(Finding("audio", True, f"all {dataset.channels} at {dataset.sample_rate_hz} Hz, stems equally long"))
    errata = [f"{track.name}: {dataset.errata[track.name]}" for track in tracks if track.name in dataset.errata]
    return [*findings, Finding("known errata", True, "\n".join(errata))] if errata else findings


def _tracks(root: Path, dataset: Dataset, allow_partial: bool) -> tuple[list[Track], str]:
    """Return the tracks under `root`, and what is wrong with them as text. Either is empty."""
    faults = Faults()
    with faults.gathered():
        return find_tracks(root, dataset, allow_partial), ""
    return [], "\n".join(faults.lines)


def _track_fault(track: Track, dataset: Dataset) -> str:
    """Return the faults in the headers of one track as one line, or an empty text."""
    faults, headers = Faults(), []
    with faults.gathered():
        headers = _stem_headers(track) if track.layout == "stems" else _wav_headers(track, dataset)
    if faults.lines:
        return faults.lines[0]
    if len(headers) != len(dataset.stems):
        return f"{track.path}: {len(headers)} audio streams, expected {len(dataset.stems)}"
    lines = []
    for stem, (sample_rate_hz, n_channels, duration_s) in zip(dataset.stems, headers, strict=True):
        if sample_rate_hz != dataset.sample_rate_hz:
            lines.append(f"{stem} at {sample_rate_hz} Hz, expected {dataset.sample_rate_hz} Hz")
        if n_channels != dataset.n_channels:
            lines.append(f"{stem} has {n_channels} channels, expected {dataset.n_channels}")
        if duration_s != headers[0][2]:
            lines.append(f"{stem} lasts {duration_s} s, expected {headers[0][2]} s as the mixture")
    return f"{track.path}: {'; '.join(lines)}" if lines else ""


def _stem_headers(track: Track) -> list[tuple[int, int, float | None]]:
    check_mp4_size(track.path)
    return [(stream.sample_rate_hz, stream.n_channels, stream.duration_s) for stream in probe(track.path)]


def _wav_headers(track: Track, dataset: Dataset) -> list[tuple[int, int, float | None]]:
    headers: list[tuple[int, int, float | None]] = []
    for path in track.source_files().values():
        with reading(path, "audio", "", (sf.LibsndfileError,)):
            examine_audio(path)
            info = sf.info(path)
        n_channels = dataset.n_channels if dataset.mono_stems and info.channels == 1 else info.channels
        headers.append((info.samplerate, n_channels, info.frames / info.samplerate))
    return headers
