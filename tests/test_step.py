"""One step on the device: what it leaves there, in how many parts it is computed, and how it is captured and replayed."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SIZES, tiny_recipe
from torch import Tensor
from trainings import NEVER, Tracks, run, same_bytes, sequences_of

from madsep.core.errors import InputError
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import build_network
from madsep.systems.families import FAMILIES
from madsep.systems.recipe import Recipe, load_recipe
from madsep.training import loop
from madsep.training.sequences import Sequences
from madsep.training.state import TrainingState
from madsep.training.step import GraphStep, Step, stepper
from madsep.training.tally import Tally

pytestmark = pytest.mark.usefixtures("torch_settings_restored")

CPU = torch.device("cpu")


def step_of(recipe: Recipe, tracks: Tracks, dtype: torch.dtype = torch.float32) -> Step:
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(1))
    sequences = sequences_of(tracks, recipe)
    sequences.stft = Stft(recipe.front_end, dtype=dtype)
    return Step(recipe, TrainingState(network.to(dtype), recipe), sequences)


def spans_of(sequences: Sequences, *numbers: int) -> Tensor:
    ((_, spans),) = sequences.stream([torch.tensor(numbers)])
    return spans


def state_of(step: Step) -> list[Tensor]:
    """Copies of weights, moments, step counts and tally."""
    state = step.state
    moments = [value for state in state.optimiser.state.values() for value in state.values()]
    tally = [state.tally.ended, state.tally.n_steps, state.tally.last, state.tally.sums]
    return [tensor.detach().clone() for tensor in [*state.network.parameters(), *moments, *tally]]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


# --- the tally


def test_a_tally_sums_losses_by_sequences() -> None:
    tally = Tally(FAMILIES["mad"].losses, CPU)
    tally.add(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor(9.0), 4)
    tally.add(torch.tensor([5.0, 6.0, 7.0, 8.0]), torch.tensor(0.5), 1)
    found = tally.read()
    assert (found.ended, found.n_steps, found.loss, found.norm) == (False, 2, 5.0, 0.5)
    assert found.sums == dict(zip(FAMILIES["mad"].losses, [9.0, 14.0, 19.0, 24.0], strict=True))


@pytest.mark.parametrize(("loss", "norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan")), (1.0, float("inf"))])
def test_a_tally_keeps_the_first_step_that_is_not_finite(loss: float, norm: float) -> None:
    """Steps after it, finite or not, count no more, until the tally is set anew."""
    tally = Tally(FAMILIES["mad"].losses, CPU)
    good = torch.tensor([1.0, 2.0, 3.0, 4.0])
    tally.add(good, torch.tensor(1.0), 4)
    tally.add(torch.tensor([loss, 2.0, 3.0, 4.0]), torch.tensor(norm), 4)
    for later in (1.0, float("nan")):
        tally.add(later * good, torch.tensor(7.0), 4)
    found = tally.read()
    assert (found.ended, found.n_steps, str(found.loss), str(found.norm)) == (True, 1, str(loss), str(norm))
    assert found.sums == dict(zip(FAMILIES["mad"].losses, [4.0, 8.0, 12.0, 16.0], strict=True))
    tally.set(5, found.sums)
    tally.add(good, torch.tensor(1.0), 2)
    assert tally.read()[:2] == (False, 6) and tally.read().sums["loss"] == 6.0


def test_after_a_step_that_is_not_finite_nothing_changes(tracks: Tracks) -> None:
    step = step_of(tiny_recipe(), tracks)
    good = spans_of(step.sequences, 3, 4, 5, 6)
    step(good)
    before = state_of(step)
    step(torch.full_like(good, torch.nan))
    step(good)
    after = state_of(step)
    assert step.state.tally.read().ended and not same(after, before)
    assert same(after[:-4], before[:-4]) and same(after[-3:-2] + after[-1:], before[-3:-2] + before[-1:])


# --- the clip

TINY_DWF = {"window_length": 64, "fft_length": 64, "hop_length": 32}


def tiny_dwf(clip: float = 0.35) -> Recipe:
    return load_recipe("MIM-DWF", {"MIM-DWF": {"front_end": TINY_DWF, "training": {"gradient_norm_clip": clip, "precision": "fp32"}}})


def norm_of(network: torch.nn.Module) -> float:
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm().item()


def test_each_network_of_mim_dwf_is_clipped_by_its_own_norm(tracks: Tracks) -> None:
    """At a norm between both, one gradient is cut and the other is left as it is. The tally keeps the larger norm."""
    free = step_of(tiny_dwf(clip=1e9), tracks)
    spans = spans_of(free.sequences, 1, 2, 3, 4)
    free(spans)
    norms = {name: norm_of(network) for name, network in free.state.network.named_children()}
    clip = sum(norms.values()) / 2
    assert min(norms.values()) < 0.95 * clip
    limited = step_of(tiny_dwf(clip), tracks)
    limited(spans)
    for name, norm in norms.items():
        expected, found = (step.state.network.get_submodule(name).parameters() for step in (free, limited))
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other.grad, min(clip / norm, 1.0) * one.grad)
    assert limited.state.tally.read().norm == pytest.approx(max(norms.values()), rel=1e-5)


def test_other_networks_are_clipped_by_their_joint_norm(tracks: Tracks) -> None:
    free, limited = (step_of(tiny_recipe(training={"gradient_norm_clip": clip}), tracks) for clip in (1e9, 0.01))
    spans = spans_of(free.sequences, 1, 2, 3, 4)
    free(spans)
    limited(spans)
    norm = norm_of(free.state.network)
    assert norm > 0.1 and norm_of(limited.state.network) == pytest.approx(0.01, rel=1e-3)
    for one, other in zip(free.state.network.parameters(), limited.state.network.parameters(), strict=True):
        torch.testing.assert_close(other.grad, 0.01 / norm * one.grad, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("clip", [0.01, 1e9])
def test_a_divisor_given_to_the_optimiser_is_a_clip(tracks: Tracks, clip: float) -> None:
    """As Adam on a GPU takes it: the same weights, and the norm before the clip."""
    cut, divided = (step_of(tiny_recipe(training={"gradient_norm_clip": clip}), tracks) for _ in range(2))
    divided.divides = True
    for _ in range(3):
        for step in (cut, divided):
            step(spans_of(step.sequences, 1, 2, 3, 4))
        assert divided.state.tally.read().norm == pytest.approx(cut.state.tally.read().norm, rel=1e-4)
    for one, other in zip(cut.state.network.parameters(), divided.state.network.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["voice", "accompaniment"])
def test_a_gradient_that_is_not_finite_in_one_network_ends_the_run(tracks: Tracks, name: str) -> None:
    step = step_of(tiny_dwf(), tracks)
    part = step.state.network.get_submodule(name)
    part.dec.weight_hh_l0.register_hook(lambda gradient: gradient * torch.nan)
    step(spans_of(step.sequences, 1, 2))
    assert step.state.tally.read().ended


# --- parts


class Small:
    """Stands for a network on a GPU whose memory holds `most` sequences."""

    def __init__(self, network: torch.nn.Module, most: int) -> None:
        self.forward, self.most = network.forward, most

    def __call__(self, mixture: Tensor) -> Any:
        if len(mixture) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.forward(mixture)


PENALTIES = {"mask_l1": 1e-4, "mask_diagonal_l1": 1e-2, "mask_diagonal_detached": False, "decoder_l2": 1e-2, "latent_l1": 1e-3}
LOSS_OF: dict[str, dict[str, Any]] = {
    "gate open": {"gate": {"masker": 0.0, "denoiser": 0.0}},
    "gate closed": {"gate": {"masker": 1e6, "denoiser": 0.0}},
    "no gate": {"gate": None},
    "penalties": {"gate": None} | PENALTIES,
}


def gradient(step: Step, spans: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient that a step leaves, after its clip, and its losses."""
    step(spans)
    flat = torch.cat([parameter.grad.flatten() for parameter in step.state.network.parameters() if parameter.grad is not None])
    return flat, step.state.tally.sums / len(spans)


@pytest.mark.parametrize("loss", LOSS_OF)
@pytest.mark.parametrize(("most", "n_parts"), [(4, 2), (2, 4), (1, 8)])
def test_parts_give_the_gradient_of_the_whole_batch(
    tracks: Tracks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, loss: str, most: int, n_parts: int
) -> None:
    """Seven sequences do not divide evenly; the second step is in parts from the start, and nothing is said again."""
    recipe = tiny_recipe(loss=LOSS_OF[loss], training={"gradient_norm_clip": 1e9})
    whole, parted = (step_of(recipe, tracks, torch.float64) for _ in range(2))
    network = parted.state.network
    monkeypatch.setattr(network, "forward", Small(network, most))
    spans = spans_of(whole.sequences, 0, 7, 14, 20, 30, 40, 44).double()
    for _ in range(2):
        (expected, of_whole), (found, of_parts) = gradient(whole, spans), gradient(parted, spans)
        assert (found - expected).norm() <= 1e-9 * expected.norm()
        torch.testing.assert_close(of_parts, of_whole, rtol=1e-9, atol=0)
        parted.state.network.load_state_dict(whole.state.network.state_dict())
    assert parted.n_parts == n_parts
    last = [line for line in caplog.messages if "the GPU's memory does not hold a batch of 7" in line][-1]
    assert f"batches are computed in {n_parts} parts, with the same gradients" in last
    assert len([line for line in caplog.messages if "in parts" in line or "parts, with" in line]) == {2: 1, 4: 2, 8: 3}[n_parts]


def test_the_gate_is_the_whole_batchs(tracks: Tracks) -> None:
    """One of two sequences is above the gate's threshold by itself, and their mean is: both count, or neither."""
    step = step_of(tiny_recipe(loss={"gate": None}), tracks, torch.float64)
    spans = spans_of(step.sequences, 2, 10).double()
    with torch.no_grad():
        one, other = (step._terms(*step.sequences.features(spans[i : i + 1])).kl_masked.item() for i in (0, 1))
    assert abs(one - other) > 1e-3
    mean, span = (one + other) / 2, abs(one - other) / 2
    gradients = []
    for threshold in (mean - 0.5 * span, mean + 0.5 * span):
        recipe = tiny_recipe(loss={"gate": {"masker": threshold, "denoiser": 0.0}}, training={"gradient_norm_clip": 1e9})
        whole, parted = (step_of(recipe, tracks, torch.float64) for _ in range(2))
        parted.n_parts = 2
        expected, found = gradient(whole, spans)[0], gradient(parted, spans)[0]
        assert (found - expected).norm() <= 1e-9 * expected.norm()
        gradients.append(found)
    assert (gradients[0] - gradients[1]).norm() > 1e-2 * gradients[0].norm()


def test_memory_that_holds_no_single_sequence_ends_plainly(tracks: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of(tiny_recipe(), tracks)
    monkeypatch.setattr(step.state.network, "forward", Small(step.state.network, 0))
    with pytest.raises(InputError, match=r"memory does not hold a training step of one sequence\. .* lower training\.batch_size"):
        step(spans_of(step.sequences, 1, 2, 3))


def test_a_batch_whose_inference_stops_at_once_cannot_be_split(tracks: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    inference = {"max_iterations": 3, "tolerance": 1e-3, "stop": "batch"}
    step = step_of(tiny_recipe(network={"n_encoder_bins": 20, "n_denoiser_hidden": 16, "recurrent_inference": inference}), tracks)
    monkeypatch.setattr(step.state.network, "forward", Small(step.state.network, 2))
    with pytest.raises(InputError, match="a batch of 3, which cannot be split because recurrent inference stops per batch"):
        step(spans_of(step.sequences, 1, 2, 3))
    assert step.n_parts == 1


# --- capture and replay

Call = Callable[[], None]


def fake_capture(warm_up: Call, step: Call) -> Call:
    """As capture_cuda: calls `warm_up`, and computes nothing in recording `step`."""
    for _ in range(3):
        warm_up()
    return step


def test_a_run_of_replayed_steps_is_the_run_of_single_ones(tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven whole batches an epoch are replayed, the twelfth has one sequence; the rate falls after each epoch but the first."""
    plateau = {"factor": 0.5, "patience": 0, "first_epoch": 1}
    recipe = tiny_recipe(training={"n_epochs": 3, "learning_rate": 1e-7, "plateau": plateau})
    expected = run(recipe, tracks, tmp_path / "expected", NEVER)
    captures: list[float] = []

    def counted(recipe: Recipe, state: TrainingState, sequences: Sequences, device: torch.device) -> GraphStep:
        def capture(warm_up: Call, step: Call) -> Call:
            captures.append(state.optimiser.param_groups[0]["lr"])
            return fake_capture(warm_up, step)

        return GraphStep(Step(recipe, state, sequences), recipe.training.batch_size, capture)

    monkeypatch.setattr(loop, "stepper", counted)
    assert same_bytes(run(recipe, tracks, tmp_path / "replayed", NEVER), expected)
    assert captures == [1e-7, 5e-8]  # captured again only for another rate


def test_warming_up_changes_nothing(tracks: Tracks) -> None:
    recipe = tiny_recipe()
    step = step_of(recipe, tracks)
    first, second = spans_of(step.sequences, 1, 2, 3, 4), spans_of(step.sequences, 5, 6, 7, 8)
    step(first)
    before = state_of(step)
    states = []

    def capture(warm_up: Call, whole: Call) -> Call:
        for _ in range(3):
            warm_up()
        states.append(state_of(step))
        return whole

    graph = GraphStep(step, 4, capture)
    graph(second)
    assert same(states[0][:-4], before[:-4]) and same(states[0][-3:], before[-3:])
    assert not same(state_of(step)[:-4], before[:-4]) and step.state.tally.read().n_steps == 2


def test_a_batch_is_copied_to_where_the_captured_step_reads_it(tracks: Tracks) -> None:
    step = step_of(tiny_recipe(), tracks)
    read: list[Tensor] = []
    graph = GraphStep(step, 2, lambda warm_up, whole: lambda: read.append(graph.spans.clone()))
    batches = [spans_of(step.sequences, *numbers) for numbers in ((1, 2), (30, 4), (5, 6))]
    kept = [batch.clone() for batch in batches]
    for batch in batches:
        graph(batch)
    assert same(read, kept) and same(batches, kept)


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted\nwhen stream is capturing"), torch.OutOfMemoryError("out of it")])
def test_where_nothing_can_be_captured_steps_go_on_one_by_one(
    tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: RuntimeError
) -> None:
    def capture(warm_up: Call, step: Call) -> Call:
        warm_up()
        raise error

    def graph(recipe: Recipe, state: TrainingState, sequences: Sequences, device: torch.device) -> GraphStep:
        return GraphStep(Step(recipe, state, sequences), recipe.training.batch_size, capture)

    expected = run(tiny_recipe(), tracks, tmp_path / "expected")
    monkeypatch.setattr(loop, "stepper", graph)
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path / "refused"), expected)
    told = str(error).partition("\n")[0]
    said = [line for line in caplog.messages if "cannot be captured" in line]
    assert said == [f"the training step cannot be captured as a CUDA graph ({told}); it runs kernel by kernel, which is slower"]


def test_only_a_gpu_captures(tracks: Tracks) -> None:
    step = step_of(tiny_recipe(), tracks)
    arguments = (step.recipe, step.state, step.sequences)
    assert isinstance(stepper(*arguments, CPU), Step)
    on_gpu = stepper(*arguments, torch.device("cuda", 0))
    assert isinstance(on_gpu, GraphStep) and on_gpu.batch_size == 4


# --- no word to the host


@pytest.mark.parametrize("n_parts", [1, 2])
@pytest.mark.parametrize("name", ["MDL1", "MDL1-branch", "GRU-RIS-s", "MIM-DWF"])
def test_a_step_reads_nothing_from_the_device(tracks: Tracks, monkeypatch: pytest.MonkeyPatch, name: str, n_parts: int) -> None:
    """Tensors on `meta` hold no values: whatever asked for one would raise."""
    monkeypatch.setattr("madsep.training.step.products", lambda precision, device: contextlib.nullcontext())
    recipe = load_recipe(name, {"MDL1": SIZES, "MDL1-branch": {"network": SIZES["network"]}, "MIM-DWF": {"front_end": TINY_DWF}})
    step = step_of(recipe, tracks)
    step.n_parts = n_parts
    step.state.network.to("meta")
    step.state.tally = Tally(recipe.trained_family.losses, torch.device("meta"))
    step.sequences.stft = Stft(recipe.front_end, "meta")
    losses = step._gradient(spans_of(sequences_of(tracks, recipe), 1, 2, 3).to("meta"))
    monkeypatch.setattr(step.state, "advance", lambda: None)
    step._update(losses, 3)
    with pytest.raises((RuntimeError, NotImplementedError)):
        step.state.tally.read()
