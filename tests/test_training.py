"""Training: sequences against numpy, one step against Adam by hand, and runs that are killed and go on."""

import csv
import errno
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SIZES, Identity, tiny_recipe

from madsep import checkpoint
from madsep.checkpoint import build_network, load_checkpoint, read_tensors, write_checkpoint
from madsep.errors import InputError
from madsep.losses import generalised_kl
from madsep.settings import Target
from madsep.stages.train import Options, split, train
from madsep.stft import Stft
from madsep.systems import Recipe, load_recipe
from madsep.training.loop import HISTORY, Loop, write_events
from madsep.training.sequences import Sequences
from madsep.training.state import Trainer
from madsep.training.validation import validation_sdr

N_SAMPLES = 12_000  # 130 frames, of which 120 are estimated: 15 sequences of a track
EACH_STEP = -1.0  # save_every_s
NEVER = 1e9
OUTPUTS = ["history.csv", "tensorboard", "weights.safetensors"]  # of a finished run: no state is left
HELD_OUT = {"validation": True, "selection": "best"}
COLUMNS = ["epoch", "step", "loss", "kl_denoised", "kl_masked", "latent", "learning_rate", "validation_loss", "validation_sdr"]


pytestmark = pytest.mark.usefixtures("torch_settings_restored")


def sung(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A mixture and its voice: syllables with vibrato over a bass and noise."""
    generator = np.random.default_rng(seed)
    t = np.arange(N_SAMPLES) / 44100
    pitch_hz = (200 + 100 * generator.random()) * (1 + 0.02 * np.sin(2 * np.pi * 5 * t))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 44100
    voice = 0.2 * np.sin(2 * np.pi * 4 * t) ** 2 * sum(np.sin(k * phase) / k for k in range(1, 8))
    background = 0.02 * generator.standard_normal(N_SAMPLES) + 0.2 * np.sin(2 * np.pi * 80 * t)
    return voice + background, voice


def write_prepared(folder: Path, songs: list[tuple[np.ndarray, np.ndarray]], subset: str = "train") -> Path:
    """Prepared tracks `Artist - 0`, `Artist - 1`, ... and their manifest."""
    folder.mkdir(exist_ok=True)
    entries = []
    for number, song in enumerate(songs):
        slug = f"{subset}{number:03}"
        np.save(folder / f"{slug}.npy", np.stack(song)[:, None].astype(np.float32))
        entries.append(
            {
                "slug": slug,
                "name": f"Artist - {number}",
                "subset": subset,
                "file": f"{slug}.npy",
                "signals": ["mixture", "vocals"],
                "sha256": f"digest {number}",
            }
        )
    manifest = folder / f"{subset}.json"
    manifest.write_text(json.dumps({"tracks": entries}))
    return manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("prepared"), [sung(seed) for seed in range(3)])


def run(recipe: Recipe, manifest: Path, folder: Path, save_every_s: float = NEVER, held_out: tuple[str, ...] = ()) -> Path:
    train(recipe, [manifest], folder, Options("cpu", 1, save_every_s, held_out))
    return folder


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


def losses(folder: Path, column: str = "loss") -> list[float]:
    return [float(row[column]) for row in history(folder)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / "weights.safetensors")[0]


def same_bytes(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in ("weights.safetensors", "history.csv"))


def entries_of(manifest: Path) -> list[dict[str, Any]]:
    return [entry | {"file": manifest.parent / entry["file"]} for entry in json.loads(manifest.read_text())["tracks"]]


# --- sequences


def test_a_batch_is_the_numpy_computation(manifest: Path) -> None:
    """Window, transform, clip and target of each sequence, from its samples; the last one reads beyond the track's end."""
    recipe = tiny_recipe()
    target = Target(definition="irm_background", clip=0.05, input_clip=0.3)
    sequences = Sequences(entries_of(manifest), recipe.segments, 3, Stft(recipe.front_end))
    first_frames = [(track, 3 + 8 * number) for track in range(3) for number in range(15)]
    assert len(sequences) == len(first_frames)
    chosen = [0, 14, 15, 44, 7]
    mixture, wanted = sequences.batch(torch.tensor(chosen), target)
    assert mixture.shape == (5, 12, 257) and wanted.shape == (5, 8, 257)
    clipped = []
    for row, number in enumerate(chosen):
        track, first = first_frames[number]
        signals = np.pad(np.stack(sung(track)).astype(np.float32).astype(np.float64), ((0, 0), (3 * 96, 5000)))
        frames = np.stack([signals[:, 96 * frame : 96 * frame + 257] for frame in range(first, first + 12)], axis=1)
        x, v = bins = np.fft.rfft(frames * np.hamming(257) / np.sqrt(512), 512)
        x_magnitude, v_magnitude = np.abs(bins)
        b_magnitude = np.abs(x - v)
        np.testing.assert_allclose(mixture[row], np.minimum(x_magnitude, 0.3), atol=1e-5)
        ratio = (x_magnitude * v_magnitude / (v_magnitude + b_magnitude + 1e-15))[2:-2]
        np.testing.assert_allclose(wanted[row], np.minimum(ratio, 0.05), atol=1e-5)
        clipped.append([(x_magnitude > 0.3).any(), (ratio > 0.05).any()])
    assert np.any(clipped, axis=0).all()


def test_tracks_of_a_batch_are_named(manifest: Path) -> None:
    recipe = tiny_recipe()
    sequences = Sequences(entries_of(manifest), recipe.segments, 3, Stft(recipe.front_end))
    assert sequences.tracks_of(torch.tensor([44, 0, 1])) == ["Artist - 0", "Artist - 2"]


def test_every_sequence_comes_once_an_epoch_in_an_order_of_the_seed(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[int]] = []
    batch = Sequences.batch

    def spy(self: Sequences, numbers: torch.Tensor, target: Target) -> Any:
        drawn.append(numbers.tolist())
        return batch(self, numbers, target)

    monkeypatch.setattr(Sequences, "batch", spy)
    orders = []
    for seed in (1, 1, 2):
        drawn.clear()
        run(tiny_recipe(training={"seed": seed}), manifest, tmp_path / f"run{len(orders)}")
        assert [len(numbers) for numbers in drawn] == 2 * ([4] * 11 + [1])
        orders.append([list(chain(*drawn[:12])), list(chain(*drawn[12:]))])
    for order in orders:
        assert sorted(order[0]) == sorted(order[1]) == list(range(45))
        assert order[0] != order[1]
    assert orders[0] == orders[1] != orders[2]


# --- the optimisation


def test_the_loss_falls_and_everything_is_written(manifest: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(training={"n_epochs": 4})
    folder = run(recipe, manifest, tmp_path)
    assert losses(folder)[-1] < 0.6 * losses(folder)[0]
    rows = history(folder)
    assert list(rows[0]) == COLUMNS
    assert [(row["epoch"], row["step"], row["learning_rate"], row["validation_loss"]) for row in rows] == [
        (str(epoch), str(12 * epoch), "0.001", "") for epoch in range(1, 5)
    ]
    metadata = read_tensors(folder / "weights.safetensors")[1]
    assert metadata["trained"] == recipe.training_half()
    assert metadata["provenance"]["device"] == "cpu" and metadata["provenance"]["versions"]["torch"] == torch.__version__
    assert sorted(path.name for path in folder.iterdir()) == OUTPUTS
    write_checkpoint(folder / "weights.safetensors", recipe, tmp_path / "checkpoint.safetensors")
    loaded = load_checkpoint(tmp_path / "checkpoint.safetensors", torch.device("cpu"))
    assert all(torch.equal(tensor, weights(folder)[name]) for name, tensor in loaded.network.state_dict().items())


def test_tensorboard_shows_the_history(manifest: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run(tiny_recipe(training={**HELD_OUT}), manifest, tmp_path, held_out=("Artist - 2",))
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == sorted(COLUMNS[2:])
    for name in COLUMNS[2:]:
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in shown] == [1, 2]
        assert [value for _, value in shown] == pytest.approx(losses(folder, name), rel=1e-6)


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "MDL1-branch": ("MDL1-branch", {"network": SIZES["network"], "training": {"gradient_norm_clip": 1.5}}),
    "GRU-NRI": ("GRU-NRI", {}),
    "GRU-RIS-s": ("GRU-RIS-s", {}),
    "recurrent residual": ("MDL1", {"network": {**SIZES["network"], "encoder_residual": "recurrent"}}),
    "realigned": ("MDL1", {"network": {**SIZES["network"], "realign_backward": True}}),
    "mixture added, narrow": ("MDL1", {"network": {**SIZES["network"], "decoder_residual": "mix_output", "decoder_width": 1}}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns(manifest: Path, tmp_path: Path, variant: str) -> None:
    name, changes = VARIANTS[variant]
    recipe = load_recipe(name, {"MDL1": SIZES, name: {**(SIZES if name == "MDL1" else {}), **changes}})
    folder = run(recipe, manifest, tmp_path, held_out=("Artist - 2",))
    assert losses(folder)[-1] < 0.9 * losses(folder)[0]


def initialised(recipe: Recipe) -> Any:
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(recipe.training.seed))
    return network


def test_an_epochs_row_is_the_mean_over_its_sequences(manifest: Path, tmp_path: Path) -> None:
    """With a learning rate of nearly zero the network stays as it began; its losses over all sequences at once are the row's."""
    recipe = tiny_recipe(training={"learning_rate": 1e-30, "n_epochs": 1, "validation": True})
    folder = run(recipe, manifest, tmp_path, held_out=("Artist - 1",))
    entries, network = entries_of(manifest), initialised(recipe)
    for tracks, columns in (([0, 2], ("kl_denoised", "kl_masked")), ([1], ("validation_loss", None))):
        sequences = Sequences([entries[track] for track in tracks], recipe.segments, 3, Stft(recipe.front_end))
        mixture, target = sequences.batch(torch.arange(len(sequences)), recipe.target)
        with torch.no_grad():
            output = network(mixture)
        for column, estimate in zip(columns, (output.denoised, output.masked), strict=True):
            if column:
                assert losses(folder, column)[0] == pytest.approx(generalised_kl(target, estimate).item(), rel=1e-5)


def test_the_first_step_is_adams_with_the_clipped_gradient(manifest: Path, tmp_path: Path) -> None:
    """After one step Adam has moved each weight by rate * g / (|g| + 1e-8), for the gradient scaled to the norm allowed."""
    changes = {"n_epochs": 1, "batch_size": 45, "gradient_norm_clip": 1e-6, "learning_rate": 0.01}
    recipe = tiny_recipe(training=changes)
    trained = weights(run(recipe, manifest, tmp_path))
    network = initialised(recipe)
    sequences = Sequences(entries_of(manifest), recipe.segments, 3, Stft(recipe.front_end))
    order = torch.randperm(45, generator=torch.Generator().manual_seed(recipe.training.seed * 1_000_003))
    mixture, target = sequences.batch(order, recipe.target)
    recipe.trained_family.loss(network, network(mixture), target, recipe.loss).total.backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm().item()
    assert norm > 1e-6
    for name, parameter in network.named_parameters():
        clipped = parameter.grad * (1e-6 / norm)
        expected = parameter.detach() - 0.01 * clipped / (clipped.abs() + 1e-8)
        torch.testing.assert_close(trained[name], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("first_epoch", "rates"), [(1, [1, 1, 0.5, 0.25]), (2, [1, 1, 1, 0.5])])
def test_the_rate_falls_on_a_plateau(manifest: Path, tmp_path: Path, first_epoch: int, rates: list[float]) -> None:
    """At so low a rate no epoch is better by 0.01 % than the first that is looked at."""
    plateau = {"factor": 0.5, "patience": 0, "first_epoch": first_epoch}
    recipe = tiny_recipe(training={"n_epochs": 4, "learning_rate": 1e-7, "plateau": plateau})
    assert [rate / 1e-7 for rate in losses(run(recipe, manifest, tmp_path), "learning_rate")] == pytest.approx(rates)


# --- validation


def test_validation_tracks_are_held_out(manifest: Path) -> None:
    entries = entries_of(manifest)
    training, held_out = split(entries, tiny_recipe(training=HELD_OUT), ["Artist - 2", "Artist - 0", "of another dataset"])
    assert [entry["name"] for entry in training] == ["Artist - 1"]
    assert [entry["name"] for entry in held_out] == ["Artist - 0", "Artist - 2"]
    assert split(entries, tiny_recipe(), ["Artist - 2"]) == (entries, [])


@pytest.mark.parametrize("names", [(), ("of another dataset",), ("Artist - 0", "Artist - 1", "Artist - 2")])
def test_validation_needs_tracks_on_both_sides(manifest: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"recipe MDL1: training.validation is true, but [03] of the 3 training tracks"):
        run(tiny_recipe(training=HELD_OUT), manifest, tmp_path, held_out=names)


def test_held_out_tracks_do_not_train(manifest: Path, tmp_path: Path) -> None:
    """The weights are those of a run that never had the track."""
    without = write_prepared(tmp_path / "without", [sung(0), sung(1)])
    alone = run(tiny_recipe(), without, tmp_path / "alone")
    held_out = run(tiny_recipe(training={"validation": True}), manifest, tmp_path / "held_out", held_out=("Artist - 2",))
    assert all(torch.equal(tensor, weights(held_out)[name]) for name, tensor in weights(alone).items())


def test_validation_sdr_is_musevals(manifest: Path) -> None:
    """Of a network that estimates the mixture itself: museval's SDR of the mixture as voice, and of silence-free frames only."""
    import museval

    recipe = tiny_recipe()
    held_out = Sequences(entries_of(manifest)[:2], recipe.segments, 3, Stft(recipe.front_end))
    medians = []
    for prepared in held_out.signals:
        mixture, voice = (part.T.astype(np.float64) for part in prepared[:2])
        references, estimates = [voice, mixture - voice], [mixture, 1e-4 * mixture]
        medians.append(np.nanmedian(museval.evaluate(references, estimates, win=44_100, hop=44_100)[0][0]))
    identity = Identity(recipe.segments.n_context)
    found = validation_sdr(recipe, AlmostIdentity(identity), held_out, torch.device("cpu"))
    assert found == pytest.approx(np.median(medians), abs=1e-3)


class AlmostIdentity(torch.nn.Module):
    """Estimates a little less than the mixture, so that the accompaniment is not silent."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self.identity = identity

    def forward(self, mixture: torch.Tensor, latent_threshold: float) -> Any:
        return self.identity((1 - 1e-5) * mixture, latent_threshold)


def test_best_keeps_the_best_epochs_weights(tmp_path: Path) -> None:
    """Training tracks are all voice, the validation track a third: the estimate rises past the latter's target on its way."""
    mixture = sung(0)[0]
    manifest = write_prepared(tmp_path / "prepared", [(mixture, mixture), (mixture, 0.3 * mixture)])

    def trained(name: str, **training: object) -> Path:
        recipe = tiny_recipe(training={"validation": True, "n_epochs": 12, "learning_rate": 3e-3, **training})
        return run(recipe, manifest, tmp_path / name, held_out=("Artist - 1",))

    best = trained("best", selection="best")
    validation = losses(best, "validation_loss")
    best_epoch = int(np.argmin(validation)) + 1
    assert 1 < best_epoch < 12
    expected, last = weights(trained("expected", n_epochs=best_epoch)), weights(trained("last"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(best).items())
    assert not any(torch.equal(tensor, last[name]) for name, tensor in weights(best).items())


# --- refusals


def test_test_tracks_never_train(manifest: Path, tmp_path: Path) -> None:
    test_manifest = write_prepared(tmp_path / "prepared", [sung(5)], "test")
    with pytest.raises(InputError, match=r"Artist - 0: is a test track; expected train tracks only"):
        train(tiny_recipe(), [manifest, test_manifest], tmp_path / "run", Options("cpu", 1, NEVER, ()))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_names_its_tracks_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    songs = [sung(seed) for seed in range(2)]
    songs[1][0][6000] = np.nan
    manifest = write_prepared(tmp_path / "prepared", songs)
    with pytest.raises(InputError) as error:
        run(tiny_recipe(training={"batch_size": 1}), manifest, tmp_path, EACH_STEP)
    assert "loss nan" in str(error.value) and "not finite" in str(error.value)
    assert "Tracks in this batch: Artist - 1. Try a lower training.learning_rate." in str(error.value)
    tensors, metadata = read_tensors(tmp_path / "state.safetensors")
    assert f"step {metadata['position']['step'] + 1}:" in str(error.value)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_rate_that_blows_up_stops_the_run(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"epoch 1, step \d+: loss (nan|inf), .*Artist - .*Try a lower training.learning_rate"):
        run(tiny_recipe(training={"learning_rate": 1e30}), manifest, tmp_path)


def test_a_validation_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    songs = [sung(seed) for seed in range(2)]
    songs[1][1][6000] = np.nan
    manifest = write_prepared(tmp_path / "prepared", songs)
    with pytest.raises(InputError, match=r"epoch 1: the validation loss is nan, not finite.*Validation tracks: Artist - 1"):
        run(tiny_recipe(training=HELD_OUT), manifest, tmp_path, held_out=("Artist - 1",))


# --- killed runs

SELECTED = {**HELD_OUT, "n_epochs": 3, "learning_rate": 3e-3, "plateau": {"factor": 0.5, "patience": 0, "first_epoch": 1}}
RUNS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "plain": ({"n_epochs": 3}, ()),
    "best epoch, falling rate": (SELECTED, ("Artist - 2",)),
}


class Killed(Exception):
    """Stands for a kill at a known step."""


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, n_calls: int) -> None:
    """Let the call after `n_calls` of owner.name raise Killed."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > n_calls:
            raise Killed
        return original(*arguments)

    monkeypatch.setattr(owner, name, counted)


@pytest.fixture(scope="module")
def whole_runs(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that were never killed, and saved their state at each epoch's end only."""
    return {
        name: run(tiny_recipe(training=training), manifest, tmp_path_factory.mktemp("whole"), held_out=held_out)
        for name, (training, held_out) in RUNS.items()
    }


def test_two_runs_are_equal_byte_by_byte(whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path) -> None:
    training, held_out = RUNS["best epoch, falling rate"]
    again = run(tiny_recipe(training=training), manifest, tmp_path / "again", EACH_STEP, held_out)
    assert same_bytes(again, whole_runs["best epoch, falling rate"])
    other = run(tiny_recipe(training=training | {"seed": 219}), manifest, tmp_path / "other", held_out=held_out)
    assert not same_bytes(other, whole_runs["best epoch, falling rate"])


@pytest.mark.parametrize("save_every_s", [EACH_STEP, NEVER])
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("n_steps", [0, 5, 8, 13, 23])
def test_a_killed_run_goes_on_as_if_it_never_had_been(
    whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path, name: str, n_steps: int, save_every_s: float
) -> None:
    training, held_out = RUNS[name]
    recipe = tiny_recipe(training=training)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Loop, "step", n_steps)
        run(recipe, manifest, tmp_path, save_every_s, held_out)
    n_epoch = 12 if name == "plain" else 8
    n_saved = n_steps if save_every_s == EACH_STEP else n_steps // n_epoch * n_epoch
    state = tmp_path / "state.safetensors"
    assert (read_tensors(state)[1]["position"]["step"] if state.exists() else 0) == n_saved
    assert same_bytes(run(recipe, manifest, tmp_path, save_every_s, held_out), whole_runs[name])


@pytest.mark.parametrize("n_writes", [0, 1, 6, 39])
def test_a_run_killed_while_it_saves_goes_on(whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path, n_writes: int) -> None:
    """Write 40 is that of the weights: the last state is there, and nothing is left to train."""
    training, held_out = RUNS["plain"]
    recipe = tiny_recipe(training=training)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, checkpoint, "save_file", n_writes)
        run(recipe, manifest, tmp_path, EACH_STEP, held_out)
    assert not (tmp_path / "weights.safetensors").exists()
    (tmp_path / "history.csv").unlink(missing_ok=True)  # as a workflow removes outputs of a failed job
    assert same_bytes(run(recipe, manifest, tmp_path, EACH_STEP, held_out), whole_runs["plain"])


PROGRAM = """
import sys, time
from pathlib import Path
from madsep.stages.train import Options, train
from madsep.training.loop import Loop
from tiny import tiny_recipe
step = Loop.step
Loop.step = lambda *arguments: (time.sleep(0.002), step(*arguments))[1]  # 120 steps: a quarter of a second on any machine
train(tiny_recipe(training={"n_epochs": 10}), [Path(sys.argv[1])], Path(sys.argv[2]), Options("cpu", 1, -1.0, ()))
"""


def test_a_process_killed_at_any_moment_leaves_what_the_next_one_needs(manifest: Path, tmp_path: Path) -> None:
    recipe, folder = tiny_recipe(training={"n_epochs": 10}), tmp_path / "killed"
    whole = run(recipe, manifest, tmp_path / "whole")
    here = Path(__file__).parent
    program = [sys.executable, "-c", PROGRAM, str(manifest), str(folder)]
    process = subprocess.Popen(program, cwd=here.parent, env={"PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not (folder / "state.safetensors").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    moment_s = random.uniform(0, 0.2)
    time.sleep(moment_s)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it had ended before"
    assert not (folder / "weights.safetensors").exists()
    assert same_bytes(run(recipe, manifest, folder, EACH_STEP), whole), f"killed {moment_s} s after the first state"
    assert sorted(path.name for path in folder.iterdir()) == OUTPUTS


def kill(recipe: Recipe, manifest: Path, folder: Path, n_steps: int = 17) -> Path:
    """A folder whose run was killed; the states of the last two steps."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Loop, "step", n_steps)
        run(recipe, manifest, folder, EACH_STEP)
    return folder


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"", lambda content: b"\0" * len(content)])
def test_of_a_damaged_state_the_one_before_is_used_and_that_is_said(
    whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    recipe = tiny_recipe(training=RUNS["plain"][0])
    state = kill(recipe, manifest, tmp_path) / "state.safetensors"
    state.write_bytes(damage(state.read_bytes()))
    caplog.set_level("INFO", "madsep")
    run(recipe, manifest, tmp_path)
    assert any(str(state) in line and "damaged or truncated" in line and "the state saved before it" in line for line in caplog.messages)
    assert any("training continues from" in line and "state.previous.safetensors: epoch 2, step 16" in line for line in caplog.messages)
    assert same_bytes(tmp_path, whole_runs["plain"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"training": {"n_epochs": 3, "learning_rate": 0.5}}, "'settings.training.learning_rate' was 0.001, now 0.5"),
        ({"training": {"n_epochs": 4}}, "'settings.training.n_epochs' was 3, now 4"),
        ({"training": {"n_epochs": 3}, "target": {"clip": 2.0}}, "'settings.target.clip' was 1.0, now 2.0"),
        ({"training": {"n_epochs": 3}, "loss": {"gate": None}}, "'settings.loss.gate' was {'denoiser': 0.25, 'masker': 1.5}, now None"),
        ({"training": {"n_epochs": 3}, "network": {"n_denoiser_hidden": 17}}, "'settings.network.n_denoiser_hidden' was 16, now 17"),
    ],
)
def test_a_state_of_other_settings_is_refused(manifest: Path, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    folder = kill(tiny_recipe(training={"n_epochs": 3}), manifest, tmp_path)
    before = (folder / "state.safetensors").read_bytes()
    with pytest.raises(InputError) as error:
        run(tiny_recipe(**changes), manifest, folder)
    assert f"state.safetensors: was saved with other settings: {told}. Restore that value to go on, or delete" in str(error.value)
    assert (folder / "state.safetensors").read_bytes() == before


def test_a_state_of_other_data_is_refused(manifest: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(training={"n_epochs": 3})
    folder = kill(recipe, manifest, tmp_path / "run")
    other = write_prepared(tmp_path / "other", [sung(seed) for seed in range(4)])
    with pytest.raises(InputError, match=r"was saved with other settings: 'data' was '[0-9a-f]{64}', now '[0-9a-f]{64}'"):
        run(recipe, other, folder)


def test_separation_may_change_while_training_is_interrupted(whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path) -> None:
    training = {"n_epochs": 3}
    kill(tiny_recipe(training=training), manifest, tmp_path)
    run(tiny_recipe(training=training, separation={"griffin_lim_iterations": 9}), manifest, tmp_path)
    assert same_bytes(tmp_path, whole_runs["plain"])


def test_saving_and_resuming_keep_the_whole_state(tmp_path: Path) -> None:
    recipe = tiny_recipe(training=SELECTED)

    def trainer(seed: int) -> Trainer:
        network = build_network(recipe)
        network.initialise(torch.Generator().manual_seed(seed))
        return Trainer(network, recipe.training)

    one, other, path = trainer(1), trainer(2), tmp_path / "state.safetensors"
    for value in (2.0, 1.0, 3.0):
        one.optimiser.zero_grad()
        sum(parameter.square().sum() for parameter in one.network.parameters()).backward()
        one.optimiser.step()
        one.keep_best(value)
        assert one.schedule is not None
        one.schedule.step(value)
    one.position.step, one.position.sums, one.position.history = 7, {"total": 0.1 + 0.2}, [{"loss": 1 / 3, "validation_loss": None}]
    identity = {"settings": {"a": 1}, "data": "x"}
    one.save(path, identity)
    assert other.resume(path, identity)
    assert other.position == one.position and other.position.best == 1.0
    for left, right in ((one.network.state_dict(), other.network.state_dict()), (one.best_weights, other.best_weights)):
        assert left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())
    assert not torch.equal(one.best_weights["mask.weight"], one.network.state_dict()["mask.weight"])
    left, right = one.optimiser.state_dict(), other.optimiser.state_dict()
    assert left["param_groups"] == right["param_groups"] and left["param_groups"][0]["lr"] == 1.5e-3
    for number, moments in left["state"].items():
        assert all(torch.equal(value, right["state"][number][key]) for key, value in moments.items())
    assert one.schedule is not None and other.schedule is not None
    assert one.schedule.state_dict() == other.schedule.state_dict()


def test_a_finished_run_leaves_nothing_that_a_killed_one_had_half_written(manifest: Path, tmp_path: Path) -> None:
    tmp_path.joinpath(".state.a1b2c3.safetensors").write_bytes(b"half")  # ours, see madsep.files.atomic
    tmp_path.joinpath(".tmpA1b2C3").write_bytes(b"half")  # that of safetensors 0.8
    run(tiny_recipe(), manifest, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == OUTPUTS


def test_there_is_nothing_to_resume_at_first(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    assert not Trainer(build_network(recipe), recipe.training).resume(tmp_path / "state.safetensors", {})


def test_events_on_a_full_disk_end_as_a_plain_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", fail)
    with pytest.raises(InputError, match="tensorboard: the disk is full"):
        write_events(dict.fromkeys(HISTORY, 1.0), tmp_path)
