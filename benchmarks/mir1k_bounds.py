"""Upper bounds of masking on MIR-1K's test clips with known sources, and the loss from the mixture's phase and the target's clip.

    python benchmarks/mir1k_bounds.py TREE        prints a table; TREE is made by `madsep import-mir1k` (91 clips: half a minute)

The STFT is that of MDL1-mir1k. X, V and B are the magnitudes of mixture, voice and accompaniment. Every estimate has the mixture's phase
and is rounded to 16 bits, as in the workflow.

    binary mask             X if V > B, else 0
    ratio mask              X V / (V + B), which the networks learn
    phase-sensitive mask    X times the real part of (voice bin / mixture bin), limited to 0 to 1, which has the least squared error
    voice's magnitude       V
    ... clipped             the same, limited to 1 on the scale of the STFT, like the recipes' targets
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from madsep.bsseval import SourcesScorer
from madsep.data.audio import read_wav
from madsep.data.wav_writer import quantise
from madsep.front_end.stft import Stft
from madsep.scoring.nsdr import COLUMNS, clip_scores, length_weighted_means, nsdr_table
from madsep.systems.recipe import load_recipe

FRONT_END = load_recipe("MDL1-mir1k", {}).front_end
CLIP = 1.0
BOOTSTRAP = {"seed": 218, "n_resamples": 10_000}


def magnitudes(mixture: torch.Tensor, voice: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return estimated magnitudes of the voice from complex bins (n_frames, n_bins)."""
    x, v, b = mixture.abs(), voice.abs(), (mixture - voice).abs()
    tiny = torch.finfo(x.dtype).tiny
    ratio = x * v / (v + b).clamp(min=tiny)
    sensitive = x * ((voice * mixture.conj()).real / (x**2).clamp(min=tiny)).clamp(0, 1)
    estimates = {"binary mask": x * (v > b), "ratio mask": ratio, "phase-sensitive mask": sensitive, "voice's magnitude": v}
    return estimates | {f"{name}, clipped": estimates[name].clamp(max=CLIP) for name in ("ratio mask", "voice's magnitude")}


def oracle_estimates(mixture: np.ndarray, voice: np.ndarray, stft: Stft) -> dict[str, np.ndarray]:
    """Return estimates (n_samples,) of the voice with the mixture's phase. The first one is the mixture itself."""
    bins, voice_bins = (stft.transform(torch.from_numpy(signal).double()) for signal in (mixture, voice))
    phase = torch.polar(torch.ones_like(bins.real), bins.angle())
    found = {name: stft.inverse(one * phase, len(mixture)) for name, one in magnitudes(bins, voice_bins).items()}
    return {"mixture": mixture} | {name: quantise(signal.float().numpy()) for name, signal in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="bounds of masking on MIR-1K")
    parser.add_argument("tree", type=Path, help="folder written by madsep import-mir1k")
    test = parser.parse_args().tree / "test"
    folders = sorted(path for path in test.glob("*") if path.is_dir())
    if not folders:
        parser.error(f"no clip below {test}; run madsep import-mir1k first")
    stft, rows = Stft(FRONT_END, dtype=torch.float64), []
    for folder in folders:
        mixture, voice, accompaniment = (read_wav(folder / f"{name}.wav")[0][0] for name in ("mixture", "vocals", "accompaniment"))
        scorer = SourcesScorer(np.stack([voice, accompaniment]))
        for name, estimate in oracle_estimates(mixture, voice, stft).items():
            scores = clip_scores(folder.name, scorer, estimate, mixture)
            rows += [(name, folder.name, len(mixture), metric, value) for metric, value in scores.items()]
    table = pd.DataFrame(rows, columns=["system", *COLUMNS])
    print(nsdr_table({name: length_weighted_means(group, **BOOTSTRAP) for name, group in table.groupby("system", sort=False)}))


if __name__ == "__main__":
    main()
