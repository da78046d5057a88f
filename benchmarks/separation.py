"""Separation against the step-by-step formulation of the papers: seconds of audio per second, on a 4-minute stereo song, MDL1 at full size.

    python benchmarks/separation.py            this machine's CPU, and its GPU where there is one (about 5 minutes on 2 cores)

Prints a Markdown table. Both sides run in turn in one process, on the same audio with the same random weights: read, transform, network,
inverse transform. The peer is the published formulation: GRU cells stepped frame by frame, batches of 16 sequences, float32, the whole
song's spectrogram in memory. `difference` is the estimate's distance to the peer's in dB of its energy. Peak memory is the growth of the
process over its size before, or the GPU's peak, for songs of 1, 4 and 16 minutes: it must not grow with the length.
"""

import argparse
import os

import numpy as np
import torch
from measure import markdown, peak_bytes, seconds
from stepwise import Stepwise
from torch.nn import functional

from madsep.checkpoint import Checkpoint, build_network
from madsep.separator import Separator
from madsep.stft import Stft
from madsep.systems import System, load_recipe

RATE_HZ, SONG_S = 44_100, 240
REPEATS = 3
COLUMNS = ["device", "arithmetic", "step by step", "madsep", "ratio", "difference", "peak, 1 min", "4 min", "16 min"]


def song(seconds: int) -> np.ndarray:
    """Stereo noise with a slow envelope, (2, n_samples): what the network costs does not depend on what it hears."""
    envelope = 0.1 * np.sin(np.arange(seconds * RATE_HZ) / RATE_HZ) ** 2
    return (envelope * np.random.default_rng(0).standard_normal((2, seconds * RATE_HZ))).astype(np.float32)


def recipe_with(precision: str) -> System:
    return load_recipe("MDL1", {"MDL1": {"separation": {"precision": precision}}})


def checkpoint(precision: str, device: torch.device) -> Checkpoint:
    recipe = recipe_with(precision)
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(0))
    return Checkpoint(recipe, network.to(device).eval(), {})


def separate(one: Checkpoint, device: torch.device, mixture: np.ndarray) -> np.ndarray:
    return np.concatenate(list(Separator(one, device).voice(mixture)), axis=1)


@torch.no_grad()
def separate_stepwise(network: Stepwise, recipe: System, device: torch.device, mixture: np.ndarray) -> np.ndarray:
    """The voice of each channel, segments in batches of 16, as the published code does it (but for its dropped ends)."""
    stft, segments = Stft(recipe.front_end, device), recipe.segments
    voices = []
    for channel in mixture:
        bins = stft.transform(torch.from_numpy(channel).to(device))
        n_segments = -(-len(bins) // segments.step)
        padding = (0, 0, segments.n_context, n_segments * segments.step + segments.n_context - len(bins))
        sequences = functional.pad(bins.abs(), padding).unfold(0, segments.n_frames, segments.step).transpose(1, 2)
        magnitudes = torch.cat([network(batch)[2] for batch in sequences.split(16)]).flatten(0, 1)[: len(bins)]
        voices.append(stft.inverse(torch.polar(magnitudes, bins.angle()), mixture.shape[1]).cpu().numpy())
    return np.stack(voices)


def row(device: torch.device, precision: str) -> str:
    one, mixture = checkpoint(precision, device), song(SONG_S)
    peer = Stepwise(one.network).to(device)
    peaks: list[int] = []
    for minutes in (1, 4, 16):
        audio = song(60 * minutes)
        with peak_bytes(device, peaks):
            for _ in Separator(one, device).voice(audio):
                pass
        del audio
    ours, theirs = [], []
    for _ in range(REPEATS):
        took, estimate = seconds(lambda: separate(one, device, mixture), device)
        ours.append(SONG_S / took)
        took, expected = seconds(lambda: separate_stepwise(peer, one.recipe, device, mixture), device)
        theirs.append(SONG_S / took)
    difference = 10 * np.log10(np.sum((estimate - expected) ** 2) / np.sum(expected**2))
    mine, other = sorted(ours)[REPEATS // 2], sorted(theirs)[REPEATS // 2]
    cells = [device.type.upper(), precision, f"{other:.1f} x", f"{mine:.1f} x", f"{mine / other:.1f}", f"{difference:.0f} dB"]
    return "| " + " | ".join(cells + [f"{peak / 1e6:,.0f} MB" for peak in peaks]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    torch.set_num_threads(parser.parse_args().threads)
    print(markdown(COLUMNS))
    for kind in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for precision in ["fp32", "bf16"] if kind == "cpu" else ["fp32", "tf32", "bf16"]:
            print(row(torch.device(kind), precision), flush=True)


if __name__ == "__main__":
    main()
