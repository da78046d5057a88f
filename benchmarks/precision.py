"""The effect of the arithmetic on training: the loss after some hundred steps on the same batches, over several seeds.

    python benchmarks/precision.py                                      MDL1 at full size, synthetic songs (2 hours on 2 cores)
    python benchmarks/precision.py --tree TREE --recipe MDL1-mir1k      real singing; TREE is made by `madsep import-mir1k` (40 minutes)

A seed determines the initial weights and the order of the batches. The loss is the mean over the last fifth of the steps. Training is
chaotic, so the control is a run in fp32 in which only the initial weights are rounded to bfloat16. Differences up to that of the control
can be due to chance. Prints a Markdown table whose last row is the mean over the seeds with its standard error.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import markdown
from mir1k_training import mir1k
from training import Run, songs, write_songs

TAIL = 5  # the loss is that of the last 1/5 of the steps
CONTROL = "fp32, first weights rounded"


def loss(run: Run, rounded: bool, n_steps: int) -> float:
    """Train for `n_steps` steps and return the mean loss of the last fifth of them."""
    if rounded:
        with torch.no_grad():
            for weight in run.network.parameters():
                weight.copy_(weight.bfloat16())
    n_tail = max(n_steps // TAIL, 1)
    batches, sums = run.batches(n_steps), [0.0]
    for part in (batches[: n_steps - n_tail], batches[n_steps - n_tail :]):
        for _, spans in run.sequences.stream(part):
            run.step(spans)
        sums.append(run.state.tally.read().sums["loss"])
    return (sums[-1] - sums[-2]) / n_tail / run.recipe.training.batch_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--recipe", default="MDL1")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kinds = ["bf16", CONTROL] if device.type == "cpu" else ["tf32", "bf16", CONTROL]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.tree:
            tracks = mir1k(arguments.tree, folder)
        else:
            write_songs(folder)
            tracks = songs(folder)
        print(markdown(["seed", "fp32", *(heading for kind in kinds for heading in (kind, "difference"))]))
        differences = []
        for seed in range(arguments.seeds):
            losses = []
            for kind in ("fp32", *kinds):
                run = Run(kind.partition(",")[0], tracks, device, arguments.recipe, seed)
                losses.append(loss(run, kind == CONTROL, arguments.steps))
            differences.append([value / losses[0] - 1 for value in losses[1:]])
            pairs = zip(losses[1:], differences[-1], strict=True)
            print(f"| {seed} | {losses[0]:.4f} | " + " | ".join(f"{value:.4f} | {part:+.2%}" for value, part in pairs) + " |", flush=True)
        errors = np.std(differences, axis=0, ddof=1) / np.sqrt(len(differences))
        means = zip(np.mean(differences, axis=0), errors, strict=True)
        print("| mean | | " + " | ".join(f"| {mean:+.2%} ± {error:.2%}" for mean, error in means) + " |")


if __name__ == "__main__":
    main()
