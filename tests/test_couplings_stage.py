"""Couplings of checkpoints over tracks: which frames, which layers, what the files hold, and what is refused."""

import itertools
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
import yaml
from prepared_tracks import write_prepared_track
from tiny import tiny_checkpoint
from torch import nn

from madsep import cli
from madsep.core.artefacts import read_record
from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.couplings import stage
from madsep.couplings.figures import draw_losses, draw_maps
from madsep.couplings.frames import Group, groups, named_stack, own_stack, sequences_inside, stack_of, untrained
from madsep.couplings.options import Options
from madsep.couplings.results import Results
from madsep.couplings.stage import Request, couplings, couplings_of_run, request
from madsep.couplings.table import compare_couplings
from madsep.data.mixtures import Mixture, find_mixtures
from madsep.data.prepared import PreparedTrack
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import Checkpoint, build_network, write_tensors
from madsep.separation.network import Separator
from madsep.systems.recipe import load_recipe

CPU = torch.device("cpu")
RATE_HZ, N_BINS = 16_000, 17
FRONT_END = {"window_length": 32, "fft_length": 32, "hop_length": 16}
KINDS = {"nca", "student", "p1", "untrained", "jacobian", "jacobian untrained"}
SUFFIXES = ("pdf", "svg", "png")
FILES = {
    *("couplings.npz", "measures.csv", "summary.csv", "losses.csv", "lags.csv", "provenance.yaml"),
    *(f"{figure}.{suffix}" for figure in ("couplings", "jacobian", "lags", "losses") for suffix in SUFFIXES),
}


def dense_checkpoint(name: str = "DAE-mir1k", seed: int = 5, **sections: Mapping[str, Any]) -> Checkpoint:
    """A network of one of the recipes for MIR-1K at 17 bins, initialised with a seed that is not the recipe's."""
    recipe = load_recipe(name, {"DAE-mir1k": {"front_end": FRONT_END, "separation": {"batch_size": 7}, **sections}})
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(seed))
    return Checkpoint(recipe, network.eval(), {"device": "cpu"})


def diagonal_checkpoint() -> Checkpoint:
    """A DAE without biases whose two layers are diagonal and positive: it is a filter with the gains that `gains` gives."""
    checkpoint = dense_checkpoint()
    with torch.no_grad():
        for layer in checkpoint.network.layers:
            layer.weight.copy_(torch.diag(torch.linspace(0.5, 1.5, N_BINS)))
            layer.bias.zero_()
    return checkpoint


def gains() -> np.ndarray:
    return np.linspace(0.5, 1.5, N_BINS) ** 2


def save(checkpoint: Checkpoint, path: Path) -> Path:
    write_tensors(path, checkpoint.network.state_dict(), {"recipe": checkpoint.recipe.system_values(), "provenance": {"device": "cpu"}})
    return path


def noise(seed: int, n_samples: int, n_channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.4, 0.4, (n_channels, n_samples)).astype(np.float32)


def mixture(seed: int, n_samples: int, n_channels: int = 1, rate_hz: int = RATE_HZ) -> Mixture:
    return Mixture(f"track {seed}", lambda: (noise(seed, n_samples, n_channels), rate_hz))


def wanted(**changes: Any) -> Request:
    """Few iterations with a large step, and single keys of the config's `nca` changed."""
    nca = {"orientation": "module", "seed": 3, "double": False, "n_iterations": 30, "learning_rate": 0.01, "tolerance": None}
    return request(nca | {"n_frames": None, "jacobian_sequences": 4} | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Couplings of the diagonal network over three tracks, the first two of which are short."""
    root = tmp_path_factory.mktemp("couplings")
    checkpoint = save(diagonal_checkpoint(), root / "checkpoint.safetensors")
    tracks = [mixture(seed, n_samples) for seed, n_samples in enumerate((300, 500, 900))]
    couplings(checkpoint, tracks, root / "out", wanted(), "cpu", 1)
    return root / "out"


@pytest.mark.parametrize("name", ["DAE-mir1k", "SF-mir1k"])
def test_frames_are_those_of_the_transform_and_of_the_separator(name: str) -> None:
    checkpoint = dense_checkpoint(name)
    recipe, track = checkpoint.recipe, mixture(0, 1000, n_channels=2)
    (group,) = groups([track], recipe, 1, CPU)
    stack = stack_of(group, checkpoint.network, recipe, own_stack(recipe, "x"))
    mono = torch.from_numpy(noise(0, 1000, 2).mean(0))
    torch.testing.assert_close(stack.inputs, Stft(recipe.front_end).transform(mono).abs())
    assert group.n_frames == len(stack.inputs) == Stft(recipe.front_end).n_frames(1000)
    first, second = checkpoint.network.layers
    decoded = torch.relu(second(torch.relu(first(stack.inputs))))
    torch.testing.assert_close(stack.outputs, decoded * stack.inputs if name == "SF-mir1k" else decoded)


def test_the_denoiser_sees_what_it_sees_when_the_separator_works() -> None:
    """With context, and a last sequence that reaches beyond the track's end."""
    checkpoint = tiny_checkpoint()
    recipe, audio = checkpoint.recipe, noise(1, 5000)
    (group,) = groups([Mixture("a", lambda: (audio, 44_100))], recipe, 1, CPU)
    stack = stack_of(group, checkpoint.network, recipe, own_stack(recipe, "x"))
    seen: list[torch.Tensor] = []
    handle = checkpoint.network.denoiser_enc.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    list(Separator(checkpoint, CPU).estimates(audio))
    handle.remove()
    n_frames = Stft(recipe.front_end).n_frames(5000)
    separated = torch.cat(seen).flatten(0, 1)
    assert len(separated) > n_frames == len(stack.inputs)
    torch.testing.assert_close(stack.inputs, separated[:n_frames])
    by_name = stack_of(group, checkpoint.network, recipe, named_stack(recipe, checkpoint.network, ["denoiser_enc", "denoiser_dec"], "x"))
    torch.testing.assert_close(by_name.inputs, stack.inputs)
    torch.testing.assert_close(by_name.outputs * stack.inputs, stack.outputs)
    assert [weight.shape for weight, _ in by_name.layers] == [(16, 257), (257, 16)]


def test_layers_by_name_are_the_family_s_own() -> None:
    checkpoint = dense_checkpoint("MSS-DAE-mir1k")
    (group,) = groups([mixture(2, 700)], checkpoint.recipe, 1, CPU)
    named = named_stack(checkpoint.recipe, checkpoint.network, [f"layers.{number}" for number in range(4)], "x")
    one, other = (stack_of(group, checkpoint.network, checkpoint.recipe, take) for take in (named, own_stack(checkpoint.recipe, "x")))
    for found, expected in zip(itertools.chain(*one.layers, one[1:]), itertools.chain(*other.layers, other[1:]), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_short_tracks_are_joined_and_none_is_lost() -> None:
    recipe = dense_checkpoint().recipe
    stft = Stft(recipe.front_end)
    tracks = [mixture(seed, n_samples) for seed, n_samples in enumerate((200, 200, 1600, 200, 1400, 300))]
    n_frames = [stft.n_frames(n) for n in (200, 200, 1600, 200, 1400, 300)]
    found = list(groups(tracks, recipe, 60, CPU))
    assert [group.tracks for group in found] == [("track 0", "track 1", "track 2"), ("track 3", "track 4", "track 5")]
    assert [group.n_frames for group in found] == [sum(n_frames[:3]), sum(n_frames[3:])]
    assert found[0].name == "track 0 .. track 2" and next(groups(tracks[2:], recipe, 60, CPU)).name == "track 2"
    with pytest.raises(InputError, match=rf"2 tracks together have {sum(n_frames[:2])} frames; a map of 17 x 17 bins needs at least 60"):
        list(groups(tracks[:2], recipe, 60, CPU))


def test_sequences_of_the_jacobian_lie_within_the_tracks() -> None:
    recipe = tiny_checkpoint().recipe  # 8 estimated frames in a sequence
    tracks = [Mixture(str(seed), lambda seed=seed: (noise(seed, 700), 44_100)) for seed in range(3)]
    (group,) = groups(tracks, recipe, 20, CPU)
    assert group.n_frames == 3 * 12 and len(group.sequences) == 6  # of 8 and 4 frames
    assert torch.equal(sequences_inside(group, 4, 2), group.sequences[[0, 4]])
    assert torch.equal(sequences_inside(group, 4, 9), group.sequences[[0, 2, 4]])
    assert torch.equal(sequences_inside(group, 2, 9), group.sequences)
    assert torch.equal(sequences_inside(group, 0, 9), group.sequences[1::2])  # the others begin with the silence before the track
    with pytest.raises(InputError, match="all sequences are silent in frame 6"):
        sequences_inside(type(group)(group.tracks, group.sequences[1::2], group.inside.reshape(6, 8)[1::2].flatten()), 5, 1)


def test_the_control_is_the_network_before_its_training() -> None:
    recipe = load_recipe("GRA", {"GRA": {"network": {"n_hidden": 9, "n_hidden_layers": 1}}})
    trained, initial = build_network(recipe), build_network(recipe)
    trained.initialise(torch.Generator().manual_seed(recipe.training.seed + 1))
    initial.initialise(torch.Generator().manual_seed(recipe.training.seed))
    trained.standardise(torch.full((recipe.front_end.n_bins,), 2.0), torch.full((recipe.front_end.n_bins,), 3.0))
    control = untrained(Checkpoint(recipe, trained, {}), CPU)
    for name, parameter in control.named_parameters():
        assert torch.equal(parameter, initial.get_parameter(name))
    assert torch.equal(control.get_buffer("input_mean"), trained.get_buffer("input_mean"))
    assert torch.equal(control.get_buffer("input_deviation"), trained.get_buffer("input_deviation"))


def test_a_diagonal_network_has_diagonal_maps(finished: Path) -> None:
    maps = np.load(finished / "couplings.npz")
    assert set(maps) == KINDS | {"frequencies_hz"}
    assert all(maps[kind].shape == (N_BINS, N_BINS) and maps[kind].dtype == np.float32 for kind in KINDS)
    np.testing.assert_allclose(maps["frequencies_hz"], np.linspace(0, RATE_HZ / 2, N_BINS))
    np.testing.assert_allclose(maps["jacobian"], np.diag(gains()), rtol=1e-5, atol=1e-7)
    values = pd.read_csv(finished / "summary.csv").pivot(index="kind", columns="measure", values="mean")
    for kind in ("nca", "p1", "jacobian"):
        assert values.loc[kind, "energy_share"] == pytest.approx(1)
        assert values.loc[kind, "relative_fit_of_diagonal"] == pytest.approx(values.loc[kind, "relative_fit"], abs=1e-6)
    assert values.loc["jacobian", "relative_fit_lost_by_best_gains"] == pytest.approx(0, abs=1e-5)
    assert values.loc["jacobian", "relative_fit"] == pytest.approx(0, abs=1e-5)
    assert set(values.index) == KINDS and (values.loc[["untrained", "jacobian untrained", "student"], "energy_share"] < 0.9).all()


def test_fits_are_compared_with_the_jacobian_of_their_network() -> None:
    results, eye, inputs = Results(), torch.eye(2), torch.tensor([[1.0, 3.0], [3.0, 5.0]])
    for number in range(2):
        results.start(Group((str(number),), torch.zeros(1, 2, 2), torch.ones(2, dtype=torch.bool)))
        for kind, matrix in {
            "nca": torch.eye(2),
            "p1": torch.ones(2, 2),
            "student": torch.eye(2).flip(0),
            "untrained": -torch.eye(2),
        }.items():
            results.add(kind, matrix, inputs, inputs)
        for kind in ("jacobian", "jacobian untrained"):
            results.add(kind, (1 + number) * eye, inputs[:1], inputs[:1])
    table = results.measures()
    cosines = table[table["measure"] == "input_weighted_cosine_to_jacobian"]
    expected = {"nca": 1, "p1": 20 / np.sqrt(20 * 40), "student": 0, "untrained": -1}
    assert dict(zip(cosines["kind"], cosines["value"], strict=False)) == pytest.approx(expected)
    assert list(cosines["group"]) == ["0"] * 4 + ["1"] * 4 and set(cosines["n_frames"]) == {2}


def test_the_tables_agree(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == FILES
    measures, summary, losses, lags = (pd.read_csv(finished / f"{name}.csv") for name in ("measures", "summary", "losses", "lags"))
    provenance = yaml.safe_load((finished / "provenance.yaml").read_text())
    assert [group["tracks"] for group in provenance["groups"]] == [["track 0", "track 1"], ["track 2"]]
    n_frames = {group["group"]: group["n_frames"] for group in provenance["groups"]}
    fits = measures[~measures["kind"].str.startswith("jacobian")]
    assert dict(zip(fits["group"], fits["n_frames"], strict=True)) == n_frames and min(n_frames.values()) >= 2 * N_BINS
    means = measures.groupby(["kind", "measure"])["value"].mean()
    for row in summary.itertuples():
        assert row.mean == pytest.approx(means[row.kind, row.measure], rel=1e-6, abs=1e-9) and row.n_groups == 2
        assert row.low <= row.mean * (1 + 1e-6) + 1e-9 and row.mean <= row.high * (1 + 1e-6) + 1e-9
    assert {tuple(key): len(fit) for key, fit in losses.groupby(["group", "kind"])} == dict.fromkeys(
        itertools.product(n_frames, ("nca", "student", "untrained")), 31
    )
    last = losses[losses["iteration"] == 30].set_index(["group", "kind"])["relative_loss"]
    fitted = measures[measures["measure"] == "relative_fit"].set_index(["group", "kind"])["value"]
    for key, value in last.items():
        assert value == pytest.approx(fitted[key], rel=1e-4)
    assert list(lags["lag"].fillna(99)) == [0, 99] * 2 and list(lags["share"]) == [1, 0] * 2  # frames do not see each other
    assert lags["energy"][0] == pytest.approx((gains() ** 2).sum(), rel=1e-5)
    assert provenance["settings"]["name"] == "DAE-mir1k" and provenance["options"]["n_frames"] == 2 * N_BINS


def test_the_same_request_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    tracks = [mixture(seed, n_samples) for seed, n_samples in enumerate((300, 500, 900))]
    couplings(save(diagonal_checkpoint(), tmp_path / "checkpoint.safetensors"), tracks, tmp_path / "out", wanted(), "cpu", 1)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (finished / name).read_bytes(), name


def test_a_run_s_couplings_are_computed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are computed again for another checkpoint, track or request, and if a file was changed."""
    caplog.set_level(logging.INFO, "madsep")
    for figure in ("draw_maps", "draw_losses", "draw_profile"):
        monkeypatch.setattr(stage, figure, lambda *_: [])
    names = ("{bar}", "NA", "e\u0301")
    tracks = [write_prepared_track(tmp_path / "prepared", name, {"mixture": noise(seed, 900)}, RATE_HZ) for seed, name in enumerate(names)]
    folder, checkpoint = tmp_path / "couplings", save(diagonal_checkpoint(), tmp_path / "checkpoint.safetensors")

    def computed(tracks: Sequence[PreparedTrack] = tracks, **changes: Any) -> bool:
        caplog.clear()
        couplings_of_run(checkpoint, tracks, folder, wanted(n_iterations=1, **changes), "cpu", 1)
        assert (folder / "jobs/couplings.json").is_file()
        return caplog.messages[-1] != f"the couplings in {folder} are up to date"

    assert computed() and not computed()
    provenance = yaml.safe_load((folder / "provenance.yaml").read_text(encoding="utf-8"))
    assert [group["tracks"] for group in provenance["groups"]] == [[name] for name in names]
    assert provenance["made_from"] == read_record(folder / "records/couplings.json").made_from
    assert provenance["made_from"]["checkpoint"] == sha256(checkpoint)
    (folder / "jobs/couplings.json").unlink()
    assert not computed()
    assert computed(seed=4) and computed(tracks=tracks[:2], seed=4)
    (folder / "measures.csv").write_text("other")
    assert computed(tracks=tracks[:2], seed=4)
    save(dense_checkpoint(), checkpoint)
    assert computed(tracks=tracks[:2], seed=4)


def test_defaults_stand_in_one_place() -> None:
    """Those of the options; the config that ships repeats them for its readers."""
    assert request({}).fit == Options()
    nca = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text(encoding="utf-8"))["nca"]
    del nca["every_track"]
    assert request(nca) == request({})


def test_mixtures_are_found_where_tracks_lie(tmp_path: Path) -> None:
    for name, folder in (("one", "songs"), ("two", "songs/Artist - B"), ("three", "other")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        sf.write(tmp_path / folder / ("mixture.wav" if name == "two" else f"{name}.wav"), noise(0, 50).T, RATE_HZ)
    found = find_mixtures([tmp_path / "songs", tmp_path / "other/three.wav"])
    assert [mixture.name for mixture in found] == ["Artist - B", "one", "three"]
    assert [len(mixture.mono(RATE_HZ)) for mixture in found] == [50] * 3
    (alone,) = find_mixtures([tmp_path / "songs/Artist - B"])
    assert alone.name == "Artist - B"
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.npy").touch()
    faults = {"empty": "holds no tracks", "gone.wav": "no such file or folder", "a.npy": "is not a wav, a flac or a stem file"}
    for path, fault in faults.items():
        with pytest.raises(InputError, match=fault):
            find_mixtures([tmp_path / path])
    with pytest.raises(InputError, match="one: is given 2 times"):
        find_mixtures([tmp_path / "songs", tmp_path / "songs/one.wav"])


Call = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run `madsep couplings` into tmp_path/out; return its exit status and its lines on stderr."""

    def call(*arguments: object) -> tuple[int, list[str]]:
        options = ["-o", tmp_path / "out", "--iterations", 2, "--device", "cpu", "--threads", 1]
        monkeypatch.setattr(sys, "argv", ["madsep", "couplings", *map(str, [*arguments, *options])])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        return int(ended.value.code or 0), errors.splitlines()

    return call


def test_the_command(command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for figure in ("draw_maps", "draw_losses", "draw_profile"):
        monkeypatch.setattr(stage, figure, lambda *_: [])
    checkpoint = save(dense_checkpoint("SF-mir1k"), tmp_path / "checkpoint.safetensors")
    for seed, n_samples in enumerate((900, 250)):
        sf.write(tmp_path / f"song {seed}.wav", noise(seed, n_samples, 2).T, RATE_HZ)
    songs = sorted(tmp_path.glob("*.wav"))
    status, lines = command(
        checkpoint, *songs, "--layers", "layers.0", "--layers", "layers.1", "--frames", 70, "--tolerance", 0.1, "--float64"
    )
    assert status == 0 and {path.name for path in (tmp_path / "out").iterdir()} == {
        name for name in FILES if name.endswith(("z", "v", "l"))
    }
    assert [line for line in lines if ": nca " in line] == ["madsep: WARNING: song 0 .. song 1: nca has not converged in 2 iterations"]
    provenance = yaml.safe_load((tmp_path / "out/provenance.yaml").read_text())
    assert provenance["layers"] == ["layers.0", "layers.1"] and provenance["options"]["n_frames"] == 70
    assert provenance["options"]["double"]
    status, (line,) = command(checkpoint, *songs)
    assert (status, line) == (
        1,
        f"madsep: ERROR: {tmp_path}/out: the folder is not empty; give a new one, or add --overwrite to replace the earlier result.",
    )
    status, lines = command(checkpoint, *songs, "--frames", 70, "--overwrite")
    assert status == 0 and (tmp_path / "out/couplings.npz").stat().st_size > 0
    (tmp_path / "out/mine.txt").touch()
    assert command(checkpoint, *songs, "--overwrite") == (
        1,
        [f"madsep: ERROR: {tmp_path}/out: the folder is not empty; give a new one, or empty it first."],
    )


def test_refusals_are_plain_lines_and_leave_nothing(command: Call, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    dense = save(dense_checkpoint(), folder / "dense.safetensors")
    recipe = load_recipe("MIM-HW", {"MIM-HW": {"front_end": FRONT_END | {"sample_rate_hz": RATE_HZ}, "network": {"n_layers": 1}}})
    highway = save(Checkpoint(recipe, build_network(recipe), {}), folder / "highway.safetensors")
    dead = diagonal_checkpoint()
    nn.init.zeros_(dead.network.layers[1].weight)
    zeros = save(dead, folder / "zeros.safetensors")
    for name, samples, rate_hz in (
        ("good", noise(0, 900), RATE_HZ),
        ("slow", noise(0, 900), 8000),
        ("silent", np.zeros((1, 900)), RATE_HZ),
        ("short", noise(0, 90), RATE_HZ),
    ):
        sf.write(folder / f"{name}.wav", samples.T, rate_hz)
    good = folder / "good.wav"
    cases = [
        ((folder / "gone.safetensors", good), f"{folder}/gone.safetensors: cannot be read (No such file or directory)"),
        ((dense, folder / "slow.wav"), "slow: has a sample rate of 8000 Hz, the checkpoint's is 16000 Hz"),
        ((dense, folder / "silent.wav"), "silent: is silent throughout"),
        ((dense, folder / "short.wav"), "1 track has"),
        ((dense, folder / "gone.wav"), f"{folder}/gone.wav: no such file or folder."),
        ((highway, good), f"{highway}: its family highway has no dense layers on single frames; expected one of mad, dae"),
        (
            (dense, good, "--layers", "layer.0"),
            f"{dense}: has no dense layer 'layer.0'; did you mean 'layers.0'? (its dense layers: layers.0, la",
        ),
        ((zeros, good), "good: the network's outputs are zero in all frames"),
    ]
    for arguments, expected in cases:
        status, (line,) = command(*arguments)
        assert status == 1 and line.startswith(f"madsep: ERROR: {expected}"), line
    assert list(tmp_path.iterdir()) == [folder]


def test_layers_must_follow_each_other_and_end_as_wide_as_they_begin() -> None:
    checkpoint = tiny_checkpoint()
    for names, fault in {
        ("denoiser_enc", "denoiser_enc"): "'denoiser_enc' reads 257 values, 'denoiser_enc' gives 16; name consecutive layers",
        ("denoiser_enc",): "'denoiser_enc' reads 257 values, 'denoiser_enc' gives 16; expected equal widths",
    }.items():
        with pytest.raises(InputError, match=fault):
            named_stack(checkpoint.recipe, checkpoint.network, names, "x")


def test_one_table_of_several_systems(tmp_path: Path) -> None:
    head = "kind,measure,mean,low,high,n_groups\n"
    (tmp_path / "a.csv").write_text(head + "nca,energy_share,0.5,0.25,0.75,4\nnca,relative_fit,0.1,,,4\np1,energy_share,1,1,1,4\n")
    (tmp_path / "b.csv").write_text(head + "nca,energy_share,0.125,,,1\nnca,relative_fit,,,,1\np1,energy_share,0,0,0,1\n")
    paths = tmp_path / "all.csv", tmp_path / "all.html"
    compare_couplings({"B": tmp_path / "b.csv", "A": tmp_path / "a.csv"}, *paths)
    table = pd.read_csv(paths[0])
    assert list(table) == ["system", "kind", "measure", "mean", "low", "high", "n_groups"]
    assert list(table["system"]) == ["B"] * 3 + ["A"] * 3 and table["mean"][0] == 0.125
    nca, p1 = (re.findall("<tr.*?</tr>", part, re.DOTALL) for part in paths[1].read_text().split("<h2>")[1:])
    cells = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in nca]
    assert cells[0] == ["measure", "B (n = 1)", "A (n = 4)"]
    assert cells[1:] == [["energy_share", "0.125", "0.500 (0.250 .. 0.750)"], ["relative_fit", "-", "0.100"]]
    assert len(p1) == 2
    compare_couplings({"<i>B & C": tmp_path / "b.csv"}, *paths)
    assert "<th>&lt;i&gt;B &amp; C (n = 1)</th>" in paths[1].read_text() and "<i>" not in paths[1].read_text()
    (tmp_path / "a.csv").write_text("kind,mean\nnca,1\n")
    with pytest.raises(InputError, match=r"a\.csv: expected the columns kind,measure,mean"):
        compare_couplings({"A": tmp_path / "a.csv"}, *paths)


def test_maps_are_drawn_whole_and_up_to_8_khz(tmp_path: Path) -> None:
    maps = {"one": np.eye(9), "zeros": np.zeros((9, 9))}
    for nyquist_hz, bands in ((22_050, ("22.05", "8")), (6000, ("6",))):
        paths = draw_maps(maps, nyquist_hz, "title", tmp_path / f"{nyquist_hz}")
        assert [path.suffix for path in paths] == [".pdf", ".svg", ".png"]
        svg = paths[1].read_text()
        assert all(f"<!-- {name}, to {band} kHz -->" in svg for name in maps for band in bands)
        assert svg.count(", to ") == len(maps) * len(bands) and "<dc:date>" not in svg


def test_the_losses_name_how_many_fits_there_are(tmp_path: Path) -> None:
    rows = [
        (group, kind, step, 1 / (1 + step)) for group in "ab" for kind in ("nca", "student") for step in range(4 if group == "a" else 6)
    ]
    losses = pd.DataFrame(rows, columns=["group", "kind", "iteration", "relative_loss"])
    svg = draw_losses(losses, "t", tmp_path / "losses")[1].read_text()
    assert "<!-- nca, median of 2 -->" in svg and "<!-- student, median of 2 -->" in svg
