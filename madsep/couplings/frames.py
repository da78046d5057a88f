"""The data for fitting couplings: mixtures in sequences, as in separation, and the inputs and outputs of a network's dense layers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from madsep.core.errors import InputError, nearest
from madsep.core.logs import log
from madsep.core.precision import products
from madsep.data.mixtures import Mixture
from madsep.front_end.segments import full_plan, read_padded
from madsep.front_end.stft import Stft, magnitude
from madsep.models.checkpoint import Checkpoint, build_network
from madsep.models.network import Network
from madsep.models.stack import Stack
from madsep.separation.batches import batch_size
from madsep.systems.recipe import System

TakeStack = Callable[[Network, Tensor], Stack]


@dataclass(frozen=True)
class Group:
    """Tracks whose frames together determine one map, as sequences of mixture magnitudes (B, T, N).

    `inside` (B (T - 2L),) says which estimated frames count. It is false for frames after a track's end, which only fill its last sequence.
    """

    tracks: tuple[str, ...]
    sequences: Tensor
    inside: Tensor

    @property
    def name(self) -> str:
        """The name of the only track, or the names of the first and last track."""
        return self.tracks[0] if len(self.tracks) == 1 else f"{self.tracks[0]} .. {self.tracks[-1]}"

    @property
    def n_frames(self) -> int:
        """Number of frames inside the tracks."""
        return int(self.inside.sum())


def groups(mixtures: Iterable[Mixture], recipe: System, least: int, device: torch.device) -> Iterator[Group]:
    """Yield groups of at least `least` frames. Short tracks are joined with the next ones, and remaining tracks with the last group.

    Two groups are in memory at a time. Raises InputError if all tracks together have fewer frames.
    """
    stft, held, waiting = Stft(recipe.front_end, device), list[Group](), list[Group]()
    for mixture in mixtures:
        waiting.append(_read(mixture, recipe, stft))
        if sum(group.n_frames for group in waiting) >= least:
            if held:
                yield _joined(held)
            held, waiting = waiting, []
    if not held:
        n_frames, n_bins = sum(group.n_frames for group in waiting), recipe.front_end.n_bins
        tracks = "1 track has" if len(waiting) == 1 else f"{len(waiting)} tracks together have"
        raise InputError(
            f"{tracks} {n_frames} frames; a map of {n_bins} x {n_bins} bins needs at least {least}. "
            "Give more or longer tracks, or require fewer frames."
        )
    yield _joined(held + waiting)


def stack_of(group: Group, network: Network, recipe: System, take: TakeStack) -> Stack:
    """Return the layers with their inputs and outputs in float32, with each frame inside the group's tracks once."""
    n_sequences = batch_size(Checkpoint(recipe, network, {}), group.sequences.device, 1)
    with torch.no_grad(), products("fp32", group.sequences.device):
        parts = [take(network, batch) for batch in group.sequences.split(n_sequences)]
    inputs, outputs = torch.cat([part.inputs for part in parts]), torch.cat([part.outputs for part in parts])
    return Stack(parts[0].layers, inputs[group.inside], outputs[group.inside])


def own_stack(recipe: System, where: str) -> TakeStack:
    """Return a function that takes the stack of the recipe's family. Raises InputError if the family has none."""
    recipe.check_stack(where)
    return lambda network, mixture: network.stack(mixture)


def named_stack(recipe: System, network: nn.Module, names: Sequence[str], where: str) -> TakeStack:
    """Return a function that takes the stack of the nn.Linear modules `names`.

    The stack's inputs are those of the first layer, and its outputs the ReLU of the last layer's output. Raises InputError for a name that
    is not one of the network's dense layers, and if widths do not fit each other.
    """
    layers = [_dense(network, name, where) for name in names]
    widths = [(layer.in_features, layer.out_features) for layer in layers]
    for (before, (_, given)), (after, (read, _)) in zip(
        zip(names, widths, strict=True), zip(names[1:], widths[1:], strict=True), strict=False
    ):
        if given != read:
            raise InputError(f"{where}: layer '{after}' reads {read} values, '{before}' gives {given}; name consecutive layers.")
    if widths[0][0] != widths[-1][1]:
        raise InputError(f"{where}: '{names[0]}' reads {widths[0][0]} values, '{names[-1]}' gives {widths[-1][1]}; expected equal widths.")

    def take(network: Network, mixture: Tensor) -> Stack:
        seen: dict[str, Tensor] = {}
        dense = [_dense(network, name, where) for name in names]
        handles: list[RemovableHandle] = [
            dense[0].register_forward_hook(lambda _, inputs, __: seen.update(inputs=inputs[0])),
            dense[-1].register_forward_hook(lambda _, __, output: seen.update(outputs=torch.relu(output))),
        ]
        try:
            network.estimate(mixture, recipe.separation)
        finally:
            for handle in handles:
                handle.remove()
        weights = [(layer.weight.detach(), layer.bias.detach()) for layer in dense]
        inputs, outputs = (_estimated(seen[key], mixture, recipe, where) for key in ("inputs", "outputs"))
        return Stack(weights, inputs, outputs)

    return take


def untrained(checkpoint: Checkpoint, device: torch.device) -> Network:
    """Return the recipe's network with its initial weights, with inputs standardised as in the trained network."""
    network = build_network(checkpoint.recipe)
    network.initialise(torch.Generator().manual_seed(checkpoint.recipe.training.seed))
    trained = dict(checkpoint.network.named_buffers())
    for name, buffer in network.named_buffers():
        buffer.copy_(trained[name])
    return network.to(device).eval()


def sequences_inside(group: Group, position: int, n_sequences: int) -> Tensor:
    """Return up to `n_sequences` (B, T, N), spread evenly over the group, with estimated frame `position` inside a track.

    Frames of digital silence, where ReLUs have no slope, do not count. Raises InputError if no sequence is left.
    """
    inside = group.inside.reshape(len(group.sequences), -1)[:, position]
    n_context = (group.sequences.shape[1] - len(group.inside) // len(group.sequences)) // 2
    found = (inside & group.sequences[:, n_context + position].any(-1)).nonzero()[:, 0]
    if not len(found):
        raise InputError(f"all sequences are silent in frame {position + 1}, at which the Jacobian is computed; give longer tracks.")
    if len(found) > n_sequences:
        found = found[[(2 * number + 1) * len(found) // (2 * n_sequences) for number in range(n_sequences)]]
    return group.sequences[found]


def _read(mixture: Mixture, recipe: System, stft: Stft) -> Group:
    """Return one track's sequences as the separator cuts them, but without overlap, so that each frame is estimated once."""
    audio = mixture.mono(recipe.front_end.sample_rate_hz)
    segments = recipe.segments.model_copy(update={"overlap": 0})
    n_frames = stft.n_frames(len(audio))
    plan = full_plan(segments, n_frames)
    span = read_padded(audio, stft.first_sample(plan.first_read), stft.n_span((plan.n_segments - 1) * plan.step + plan.n_read))
    magnitudes = magnitude(stft.analyse(torch.from_numpy(span).to(stft.window.device)))
    sequences = magnitudes.unfold(0, plan.n_read, plan.step).transpose(1, 2)
    frames = torch.arange(plan.first_estimated, plan.end_estimated, device=sequences.device)
    return Group((mixture.name,), sequences, (frames >= 0) & (frames < n_frames))


def _joined(parts: list[Group]) -> Group:
    names = tuple(name for part in parts for name in part.tracks)
    group = Group(names, torch.cat([part.sequences for part in parts]), torch.cat([part.inside for part in parts]))
    if len(names) > 1:
        log.info("%s: %d tracks concatenated, %d frames", group.name, len(names), group.n_frames)
    return group


def _dense(network: nn.Module, name: str, where: str) -> nn.Linear:
    modules = dict(network.named_modules())
    known = [key for key, module in modules.items() if isinstance(module, nn.Linear) and module.bias is not None]
    found = modules.get(name)
    if name not in known or not isinstance(found, nn.Linear):
        raise InputError(f"{where}: has no dense layer '{name}'{nearest(name, known)} (its dense layers: {', '.join(known) or 'none'})")
    return found


def _estimated(values: Tensor, mixture: Tensor, recipe: System, where: str) -> Tensor:
    """Return a layer's values in the estimated frames, (B (T - 2L), width). Raises InputError unless it is applied once per frame."""
    segments, frames = recipe.segments, values.reshape(len(mixture), -1, values.shape[-1])
    if frames.shape[1] == segments.n_frames:
        frames = frames[:, segments.n_context : segments.n_frames - segments.n_context]
    if frames.shape[1] != segments.n_estimated:
        raise InputError(
            f"{where}: a layer is applied {frames.shape[1]} times to sequences of {segments.n_frames} frames; expected once per frame."
        )
    return frames.flatten(0, 1)
