"""Small tracks with estimates and scores for listening pages."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

RATE_HZ = 44_100
IMPULSE = 30_007  # index of the impulse's sample in every signal
SYSTEMS = {"MDL1": 0.5, 'R"1 <script>alert(1)</script>': 0.05}  # gain of each system's estimate of the vocals
NAMES = ("A quiet one", "<script>alert(2)<script> & 'co'", "Last")
SILENT = 1  # second in which the vocals are silent


def signals(duration_s: int, seed: int) -> dict[str, np.ndarray]:
    """Return vocals (a tone with a second of silence) and accompaniment (noise), each (n_samples, 2), with an impulse in both."""
    times = np.arange(duration_s * RATE_HZ) / RATE_HZ
    voice = np.where(times.astype(int) == SILENT, 0.0, 0.25 * np.sin(2 * np.pi * 440 * times))
    noise = 0.02 * np.random.default_rng(seed).standard_normal(len(times))
    found = {}
    for name, samples in (("vocals", voice), ("accompaniment", noise)):
        samples[IMPULSE - 200 : IMPULSE + 200] = 0
        samples[IMPULSE] = 0.45
        found[name] = np.stack([samples, samples], axis=1)
    return found


def write_wavs(folder: Path, found: Mapping[str, np.ndarray]) -> None:
    """Write signals as 16-bit wavs into a new folder."""
    folder.mkdir(parents=True)
    for name, samples in found.items():
        sf.write(folder / f"{name}.wav", samples, RATE_HZ, subtype="PCM_16")


def write_scores(path: Path, scores: Mapping[str, Sequence[float]]) -> None:
    """Write museval's JSON with the SDR of each target in frames of 1 s. The other metrics are 1, 2 and 3 dB higher."""
    targets = []
    for target, values in scores.items():
        frames = [(time, {"SDR": sdr, "SIR": sdr + 1, "ISR": sdr + 2, "SAR": sdr + 3}) for time, sdr in enumerate(values)]
        targets.append({"name": target, "frames": [{"time": time, "duration": 1.0, "metrics": metrics} for time, metrics in frames]})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"targets": targets}))


def sdr_of(track: int, system: int, duration_s: int) -> list[float]:
    """Return the SDR in dB of each second, NaN in the silent one. Tracks and seconds differ."""
    values = [3.0 * track + system + (second * 7 % 5) for second in range(duration_s)]
    values[SILENT] = float("nan")
    return values


def make_material(root: Path, duration_s: int = 6) -> list[str]:
    """Write tracks, estimates and scores below `root`. Return the arguments of `madsep listen` that name them."""
    for number, name in enumerate(NAMES):
        found = signals(duration_s, number)
        stems = {"vocals": found["vocals"], "drums": found["accompaniment"], "bass": 0 * found["vocals"], "other": 0 * found["vocals"]}
        write_wavs(root / "musdb/test" / name, {"mixture": found["vocals"] + found["accompaniment"], **stems})
        for index, gain in enumerate(SYSTEMS.values()):
            estimates = {"vocals": gain * found["vocals"], "accompaniment": found["accompaniment"]}
            write_wavs(root / f"estimates-{index}/test" / name, estimates)
            sdr = sdr_of(number, index, duration_s)
            write_scores(root / f"scores-{index}/test" / f"{name}.json", {"vocals": sdr, "accompaniment": [2 + value for value in sdr]})
    arguments = [f"{name}={root}/estimates-{index}" for index, name in enumerate(SYSTEMS)]
    for index, name in enumerate(SYSTEMS):
        arguments += ["--scores", f"{name}={root}/scores-{index}"]
    return [*arguments, "--references", str(root / "musdb")]
