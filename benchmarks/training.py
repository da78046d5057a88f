"""Training compared with the step-by-step form of the papers: steps per second of MDL1 at full size, batches of 16, on synthetic songs.

    python benchmarks/training.py                   this machine's CPU, and its GPU if there is one (about 5 minutes on 2 cores)
    python benchmarks/training.py --device cuda     only the GPU (a minute)

Prints a Markdown table. Both forms run in turn in one process on the same batches, from audio to updated weights: features, network,
objective, gradient, clipping, Adam. The step-by-step form computes GRU cells frame by frame in float32, as in the papers and the published
code, also in the encoder's last 10 frames, which no estimate needs.

- `loss` is the relative difference of both forms' objectives on the first batch, with the same weights.
- `peak share` is the speed relative to a large matrix product with the same arithmetic.
- `floor` is the highest speed at which these operations could run: products shared by all frames at the peak speed, and the products of
  50 + 40 dependent frames, forward and backward, at the speed of a chain of only these products.
- Peak memory is the growth of a separate process, or the GPU's peak.
"""

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import apart, chosen_devices, markdown, matrix_peak, peak_bytes, repeated, seconds
from stepwise import Stepwise
from torch import Tensor, nn

from madsep.core.precision import products
from madsep.data.datasets import MUSDB18
from madsep.data.prepared import PreparedTrack
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import build_network
from madsep.models.gru import Gru
from madsep.synth.songs import render_song
from madsep.systems.recipe import System, load_recipe
from madsep.training.sequences import Sequences
from madsep.training.state import TrainingState
from madsep.training.step import stepper

STEPS = 408_000  # 100 epochs of MUSDB18
N_SONGS, SONG_S = 8, 30.0
ROUNDS, STEPS_A_ROUND = 3, {"cpu": 10, "cuda": 100}
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
COLUMNS = ["device", "arithmetic", "loss", "step by step", "madsep", "ratio", "peak share", "floor", "time / floor"]
COLUMNS += ["step by step, memory", "madsep, memory", "408,000 steps, step by step", "madsep"]


def write_songs(folder: Path) -> None:
    """Write synthetic training songs to `folder`, each as one array of mixture and vocals. ffmpeg is not needed."""
    for number in range(N_SONGS):
        stems = render_song(SONG_S, np.random.default_rng(number))
        signals = [sum(stems.values()), stems["vocals"]]
        np.save(folder / f"{number}.npy", np.stack([signal.mean(1)[None] for signal in signals]).astype(np.float32))


def songs(folder: Path) -> list[PreparedTrack]:
    """Return the songs written by `write_songs` as prepared tracks."""
    return [_song(path, np.load(path, mmap_mode="r").shape) for path in sorted(folder.glob("*.npy"))]


def _song(path: Path, shape: tuple[int, ...]) -> PreparedTrack:
    signals, rate_hz = ("mixture", "vocals"), MUSDB18.sample_rate_hz
    made: dict[str, Any] = {"identity": path.stem, "sha256": "", "slug": path.stem, "name": path.stem, "subset": "train", "layout": "wavs"}
    facts: dict[str, Any] = {"mixture_residual_db": None, "notes": (), "sources": {}, "ffmpeg": None}
    return PreparedTrack(path, **made, signals=signals, n_channels=1, n_samples=shape[2], sample_rate_hz=rate_hz, **facts)


@functools.cache
def first_weights(name: str, seed: int) -> dict[str, Tensor]:
    """Return the initial weights of a recipe's network. They do not depend on the arithmetic."""
    network = build_network(load_recipe(name, {}))
    network.initialise(torch.Generator().manual_seed(seed))
    return network.state_dict()


class Run:
    """Training by madsep with one arithmetic."""

    def __init__(self, precision: str, tracks: list[PreparedTrack], device: torch.device, name: str = "MDL1", seed: int = 0) -> None:
        self.recipe: System = load_recipe(name, {name: {"training": {"precision": precision}}})
        self.device, self.seed = device, seed
        self.sequences = Sequences(tracks, self.recipe, Stft(self.recipe.front_end, device), augmented=False)
        network = build_network(self.recipe)
        network.load_state_dict(first_weights(name, seed))
        self.network = network.to(device)
        self.state = TrainingState(self.network, self.recipe)
        self.step = stepper(self.recipe, self.state, self.sequences, device)

    def batches(self, n_steps: int) -> list[Tensor]:
        """Return the sequence numbers of the first `n_steps` batches. They are the same in every run."""
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.cat([torch.randperm(len(self.sequences), generator=generator) for _ in range(n_steps)])
        return list(order[: n_steps * self.recipe.training.batch_size].split(self.recipe.training.batch_size))

    def steps(self, n_steps: int) -> None:
        """Train on the first batches."""
        for _, spans in self.sequences.stream(self.batches(n_steps)):
            self.step(spans)

    def first_loss(self) -> float:
        """Return the objective of the first batch with the current weights, without changing them."""
        _, spans = next(iter(self.sequences.stream(self.batches(1))))
        with torch.no_grad():
            mixture, targets = self.sequences.features(spans)
            with products(self.recipe.training.precision, self.device):
                output = self.network(mixture)
            return float(self.network.objective(self.network.terms(output, targets, self.recipe.loss), self.recipe.loss).total)


class StepwiseRun(Run):
    """Training step by step, with GRU cells and a plain Adam."""

    def __init__(self, tracks: list[PreparedTrack], device: torch.device) -> None:
        super().__init__("fp32", tracks, device)
        self.stepwise = Stepwise(self.network).to(device)
        self.optimiser = torch.optim.Adam(self.stepwise.parameters(), lr=self.recipe.training.learning_rate)

    def steps(self, n_steps: int) -> None:
        """Train on the same batches."""
        for _, spans in self.sequences.stream(self.batches(n_steps)):
            self.optimiser.zero_grad()
            self._loss(spans).backward()
            nn.utils.clip_grad_norm_(self.stepwise.parameters(), self.recipe.training.gradient_norm_clip)
            self.optimiser.step()

    def first_loss(self) -> float:
        """Return the same objective for the same batch."""
        _, spans = next(iter(self.sequences.stream(self.batches(1))))
        with torch.no_grad():
            return float(self._loss(spans))

    def _loss(self, spans: Tensor) -> Tensor:
        mixture, targets = self.sequences.features(spans)
        return self.stepwise.loss(mixture, targets.squeeze(1))


def read_by_encoder(recipe: System) -> int:
    """Return the number of frames that each direction of the encoder needs to read."""
    return recipe.segments.n_frames - recipe.segments.n_context


def operations(run: Run) -> tuple[float, float]:
    """Return the floating-point operations of a step's products, forward and backward: (shared by all frames, of single frames)."""
    segments, batch_size = run.recipe.segments, run.recipe.training.batch_size
    shared = dependent = 0.0
    for name, layer in run.network.named_children():
        n_frames = read_by_encoder(run.recipe) if name.startswith("enc_") else segments.step
        if isinstance(layer, Gru):
            shared += 2 * n_frames * (3 * layer.weight_ih_l0.numel() + layer.weight_hh_l0.numel())  # output, two gradients; one gradient
            dependent += 2 * n_frames * 2 * layer.weight_hh_l0.numel()
        else:
            shared += 2 * n_frames * 3 * layer.weight.numel()
    return batch_size * shared, batch_size * dependent


def dependent_s(run: Run, dtype: torch.dtype) -> float:
    """Return the seconds of the products that depend on the previous frame. A GPU computes both encoder directions at once."""
    total, n_sequences = 0.0, run.recipe.training.batch_size
    directions = 1 if run.device.type == "cuda" else 2
    for layer, n_frames in (
        (run.network.enc_forward, directions * read_by_encoder(run.recipe)),
        (run.network.dec, run.recipe.segments.step),
    ):
        weight = layer.weight_hh_l0.detach().to(dtype)
        back = weight.t().contiguous()
        state = torch.randn(n_sequences, layer.hidden_size, device=run.device).to(dtype)

        def pair(state: Tensor = state, weight: Tensor = weight, back: Tensor = back) -> Tensor:
            return nn.functional.linear(nn.functional.linear(state, weight), back)

        total += n_frames * repeated(pair, run.device, 50)
    return total


def median_rates(runs: list[Run]) -> list[float]:
    """Return each run's steps per second: the median of several rounds in which the runs take turns."""
    found: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run.steps(4)  # one-time set-up
    for _ in range(ROUNDS):
        for run, rates in zip(runs, found, strict=True):
            n_steps = STEPS_A_ROUND[run.device.type]
            rates.append(n_steps / seconds(lambda run=run, n_steps=n_steps: run.steps(n_steps), run.device)[0])
    return [sorted(rates)[ROUNDS // 2] for rates in found]


def memory(precision: str | None, folder: Path, device: torch.device) -> int:
    """Return the peak bytes of three steps in this process. Without a precision, measure the step-by-step form."""
    torch.set_num_threads(os.cpu_count() or 1)
    tracks, found = songs(folder), list[int]()
    with peak_bytes(device, found):
        (StepwiseRun(tracks, device) if precision is None else Run(precision, tracks, device)).steps(3)
    return found[0]


def rows(folder: Path, device: torch.device) -> None:
    precisions = ["fp32", "bf16"] if device.type == "cpu" else list(DTYPES)
    tracks = songs(folder)
    memories = [apart(device, memory, precision, folder, device) for precision in (None, *precisions)]
    peer, runs = StepwiseRun(tracks, device), [Run(precision, tracks, device) for precision in precisions]
    expected = peer.first_loss()
    differences = [abs(run.first_loss() / expected - 1) for run in runs]
    peer_rate, *rates = median_rates([peer, *runs])
    for precision, run, rate, difference, n_bytes in zip(precisions, runs, rates, differences, memories[1:], strict=True):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        shared, dependent = operations(run)
        peak = matrix_peak(DTYPES[precision], device)
        floor_s = shared / peak + dependent_s(run, DTYPES[precision])
        cells = [device.type.upper(), precision, f"{difference:.0e}", f"{peer_rate:.2f}/s", f"{rate:.2f}/s", f"{rate / peer_rate:.2f}"]
        cells += [f"{rate * (shared + dependent) / peak:.0%}", f"{1 / floor_s:.2f}/s", f"{1 / rate / floor_s:.2f}"]
        cells += [f"{memories[0] / 1e9:.1f} GB", f"{n_bytes / 1e9:.1f} GB", duration(STEPS / peer_rate), duration(STEPS / rate)]
        print(f"| {' | '.join(cells)} |", flush=True)


def duration(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.1f} days" if hours > 48 else f"{hours:.1f} h" if hours > 2 else f"{60 * hours:.0f} min"


def main() -> None:
    devices = chosen_devices(__doc__)
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        write_songs(Path(folder))
        print(markdown(COLUMNS))
        for device in devices:
            rows(Path(folder), device)


if __name__ == "__main__":
    main()
