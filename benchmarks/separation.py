"""Separation compared with the papers' step-by-step form: seconds of audio per second, for a 4-minute stereo song and MDL1 at full size.

    python benchmarks/separation.py                   this machine's CPU, and its GPU if there is one (about 6 minutes on 2 cores)
    python benchmarks/separation.py --device cuda     only the GPU (a minute)

Prints a Markdown table. Both forms run in turn in one process on the same audio with the same random weights: reading, transform, network,
inverse transform. The step-by-step form is the published one: GRU cells computed frame by frame, batches of 16 sequences, float32, the
spectrogram of the whole song in memory. `difference` is the energy of the difference between both estimates relative to the energy of the
step-by-step estimate, in dB. Peak memory is the growth of a separate process, or the GPU's peak, for the step-by-step form and for songs of
4 and 16 minutes. It must not grow with the length of the song.
"""

import functools
import os

import numpy as np
import torch
from measure import apart, chosen_devices, markdown, peak_bytes, seconds
from stepwise import Stepwise
from torch.nn import functional

from madsep.front_end.stft import Stft
from madsep.models.checkpoint import Checkpoint, build_network
from madsep.separation.network import Separator
from madsep.systems.recipe import System, load_recipe

RATE_HZ, SONG_S = 44_100, 240
REPEATS = 2
COLUMNS = ["device", "arithmetic", "step by step", "madsep", "ratio", "difference", "step by step, memory", "madsep, memory", "16 minutes"]


@functools.cache
def song(seconds: int) -> np.ndarray:
    """Return stereo noise with a slow envelope, (2, n_samples). The cost of the network does not depend on the signal."""
    envelope = 0.1 * np.sin(np.arange(seconds * RATE_HZ) / RATE_HZ) ** 2
    return (envelope * np.random.default_rng(0).standard_normal((2, seconds * RATE_HZ))).astype(np.float32)


def recipe_with(precision: str) -> System:
    return load_recipe("MDL1", {"MDL1": {"separation": {"precision": precision}}})


@functools.cache
def checkpoint(precision: str, device: torch.device) -> Checkpoint:
    recipe = recipe_with(precision)
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(0))
    return Checkpoint(recipe, network.to(device).eval(), {})


def separate(one: Checkpoint, device: torch.device, mixture: np.ndarray) -> np.ndarray:
    return np.concatenate(list(Separator(one, device).estimates(mixture)), axis=2)[0]


@torch.no_grad()
def separate_stepwise(network: Stepwise, recipe: System, device: torch.device, mixture: np.ndarray) -> np.ndarray:
    """Return the voice of each channel, computed in batches of 16 segments as in the published code, which also drops the ends."""
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


def memory(precision: str, device: torch.device, seconds_long: int, stepwise: bool) -> int:
    """Return the peak bytes of a separation in this process."""
    torch.set_num_threads(os.cpu_count() or 1)
    one, mixture, found = checkpoint(precision, device), song(seconds_long), list[int]()
    with peak_bytes(device, found):
        if stepwise:
            separate_stepwise(Stepwise(one.network).to(device), one.recipe, device, mixture)
        else:
            for _ in Separator(one, device).estimates(mixture):
                pass
    return found[0]


def row(device: torch.device, precision: str) -> str:
    one, mixture = checkpoint(precision, device), song(SONG_S)
    peer, rates = Stepwise(one.network).to(device), [0.0, 0.0]
    for _ in range(REPEATS):
        took_peer, expected = seconds(lambda: separate_stepwise(peer, one.recipe, device, mixture), device)
        took, estimate = seconds(lambda: separate(one, device, mixture), device)
        rates = [max(rate, SONG_S / took) for rate, took in zip(rates, (took_peer, took), strict=True)]
    difference = 10 * np.log10(np.sum((estimate - expected) ** 2) / np.sum(expected**2))
    cells = [device.type.upper(), precision, *(f"{rate:.1f} x" for rate in rates), f"{rates[1] / rates[0]:.1f}", f"{difference:.0f} dB"]
    cases = ((SONG_S, True), (SONG_S, False), (4 * SONG_S, False))
    peaks = [apart(device, memory, precision, device, *case) for case in cases]
    return "| " + " | ".join(cells + [f"{peak / 1e6:,.0f} MB" for peak in peaks]) + " |"


def main() -> None:
    devices = chosen_devices(__doc__)
    torch.set_num_threads(os.cpu_count() or 1)
    print(markdown(COLUMNS))
    for device in devices:
        for precision in ["fp32", "bf16"] if device.type == "cpu" else ["fp32", "tf32", "bf16"]:
            print(row(device, precision), flush=True)


if __name__ == "__main__":
    main()
