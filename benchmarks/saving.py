"""Time for which a save interrupts training: writing the state directly, or writing a copy of it in a thread, as training does.

    python benchmarks/saving.py [--device cuda]          a few seconds

The state is that of MDL1-mir1k-large: weights and both moments of Adam. Each value is the shortest of several saves. Prints a Markdown
table.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from measure import markdown, seconds

from madsep.models.checkpoint import build_network
from madsep.systems.recipe import load_recipe
from madsep.training.records import RunFiles
from madsep.training.state import TrainingState

RECIPE, N_SAVES = "MDL1-mir1k-large", 5


def trained_state(device: torch.device) -> TrainingState:
    """Return a state after one step with a zero gradient."""
    recipe = load_recipe(RECIPE, {})
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(0))
    state = TrainingState(network.to(device), recipe)
    for parameter in state.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    state.optimiser.step()
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    device = torch.device(parser.parse_args().device)
    state, on_the_spot, held_up = trained_state(device), [], []
    with tempfile.TemporaryDirectory() as folder:
        files = RunFiles(Path(folder), "", 600.0)
        with files.writing(state):
            for _ in range(N_SAVES):
                on_the_spot.append(seconds(lambda: state.save(Path(folder) / "spot.safetensors", ""), device)[0])
                held_up.append(seconds(lambda: files.save(state), device)[0])
                files.wait()
        megabytes = (Path(folder) / "spot.safetensors").stat().st_size / 1e6
    print(markdown(["device", "state", "on the spot", "in a thread", "ratio"]))
    print(f"| {device} | {megabytes:.0f} MB | {min(on_the_spot):.3f} s | {min(held_up):.3f} s | {min(on_the_spot) / min(held_up):.0f} |")


if __name__ == "__main__":
    main()
