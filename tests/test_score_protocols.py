"""`madsep score --protocol`: folders scored by each protocol, against the workflow's scores and independent formulas."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from scored import write_estimates, write_prepared_tracks
from typer.testing import CliRunner

from madsep.bsseval import bss_eval_sources
from madsep.cli import app
from madsep.core.errors import InputError
from madsep.scoring.engines import Engine
from madsep.scoring.protocols import SISEC16
from madsep.scoring.scores import read_track
from madsep.scoring.stage import score_tracks

RATE_HZ = 1000  # the least that wavs may have
STEMS = ("vocals", "drums", "bass", "other")


def make(folder: Path, seconds: float, n_channels: int, silent: tuple[float, float] = (0, 0)) -> dict[str, np.ndarray]:
    """Write references and estimates of one track, with silence in the drums; return the references (n_channels, n_samples)."""
    rng = np.random.default_rng(0)
    stems = {stem: rng.normal(0, 0.05, (n_channels, round(seconds * RATE_HZ))).astype(np.float32) for stem in STEMS}
    stems["drums"][:, round(silent[0] * RATE_HZ) : round(silent[1] * RATE_HZ)] = 0
    accompaniment = stems["drums"] + stems["bass"] + stems["other"]
    references = {"mixture": stems["vocals"] + accompaniment, **stems}
    noise = rng.normal(0, 0.02, accompaniment.shape)
    estimates = {"vocals": stems["vocals"] + 0.3 * accompaniment + noise, "accompaniment": accompaniment + noise}
    for place, signals in (("musdb", references), ("estimates", estimates)):
        (folder / place / "test/A").mkdir(parents=True)
        for name, signal in signals.items():
            sf.write(folder / place / "test/A" / f"{name}.wav", signal.T, RATE_HZ, subtype="FLOAT")
    return {**references, "accompaniment": accompaniment}


def read(folder: Path, target: str) -> np.ndarray:
    audio: np.ndarray = sf.read(folder / "estimates/test/A" / f"{target}.wav", always_2d=True)[0].T
    return audio


def score(folder: Path, protocol: str, *options: str) -> str:
    arguments = ["score", str(folder / "musdb"), str(folder / "estimates"), "-o", str(folder / "scores"), "--protocol", protocol, *options]
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, InputError):
        raise result.exception
    return result.output


def test_sisec16_is_what_a_run_scores_of_the_means_of_channels(tmp_path: Path) -> None:
    references = make(tmp_path, 62, 2, (14, 46))
    output = score(tmp_path, "sisec16")
    found = read_track(tmp_path / "scores/test/A.json", SISEC16)
    means = {name: signal.mean(axis=0, keepdims=True) for name, signal in references.items()}
    tracks = write_prepared_tracks(tmp_path / "prepared", {"A": means}, RATE_HZ)
    estimates = {target: read(tmp_path, target).mean(axis=0, keepdims=True) for target in ("vocals", "accompaniment")}
    write_estimates(tmp_path / "of_run", tracks[0], estimates)
    score_tracks(tracks, tuple(estimates), tmp_path / "of_run", tmp_path / "run", "job", Engine("sisec16"))
    expected = read_track(tmp_path / "run/test/A.json", SISEC16)
    keys = ["target", "metric", "time", "duration"]
    assert found[keys].equals(expected[keys]) and found["score"].isna().sum() == 8  # a frame of two targets and four metrics
    np.testing.assert_allclose(found["score"], expected["score"], rtol=0, atol=0.01)  # the estimates of a run have 16 bit
    assert "Median over the frames of all tracks (BSS Eval v3 images, frames of 30 s every 15 s, mono)" in " ".join(output.split())
    assert "vocals: SDR[v3 images, 30 s every 15 s, mono; all frames=median; n=1; nan=33.3%]" in output
    value = float(np.nanmedian(found[(found["target"] == "vocals") & (found["metric"] == "SDR")]["score"]))
    assert f"{value:.2f}" in output


def test_sisec16_needs_all_stems(tmp_path: Path) -> None:
    make(tmp_path, 2, 2)
    (tmp_path / "musdb/test/A/bass.wav").unlink()
    sf.write(tmp_path / "musdb/test/A/accompaniment.wav", np.ones((2000, 2)) * 0.1, RATE_HZ)
    with pytest.raises(InputError, match="has no reference bass of A"):
        score(tmp_path, "sisec16")


def test_mdx21_is_the_challenges_formula_also_for_one_target_and_a_silent_stem(tmp_path: Path) -> None:
    references = make(tmp_path, 3, 2, (0, 3))
    (tmp_path / "estimates/test/A/accompaniment.wav").unlink()
    sf.write(tmp_path / "estimates/test/A/drums.wav", read(tmp_path, "vocals").T, RATE_HZ, subtype="FLOAT")
    output = score(tmp_path, "mdx21")
    targets = {target["name"]: target for target in json.loads((tmp_path / "scores/test/A.json").read_text())["targets"]}
    for target in ("vocals", "drums"):
        reference, estimate = references[target].astype(np.float64), read(tmp_path, target)
        expected = 10 * np.log10((np.sum(reference**2) + 1e-7) / (np.sum((reference - estimate) ** 2) + 1e-7))
        assert targets[target]["SDR"] == pytest.approx(expected, abs=1e-6) and f"{expected:.2f}" in output
    assert targets["drums"]["SDR"] < -40 and "SDR[whole track, all channels, 1e-7 added to both energies; tracks=mean; n=1;" in output


def test_mir1k_is_nsdr_of_the_voice(tmp_path: Path) -> None:
    references = make(tmp_path, 4, 1)
    output = score(tmp_path, "mir1k")
    estimate, mixture = read(tmp_path, "vocals"), references["mixture"]
    true = np.stack([references["vocals"][0], references["accompaniment"][0]])
    (sdr, _), (sir, _), (sar, _) = bss_eval_sources(true, np.stack([estimate[0], (mixture - estimate)[0]]))
    of_mixture = bss_eval_sources(true, np.stack([mixture[0], mixture[0]]))[0][0]
    document = json.loads((tmp_path / "scores/test/A.json").read_text())
    expected = {"SDR": sdr, "SIR": sir, "SAR": sar, "SDR_mixture": of_mixture, "NSDR": sdr - of_mixture}
    assert document["vocals"] == pytest.approx(expected, abs=1e-4) and (document["protocol"], document["n_samples"]) == ("mir1k", 4000)
    assert f"{sdr - of_mixture:.2f}" in output and "GNSDR[v3 sources, whole clip; clips=mean, weighted by length; n=1;" in output


def test_mir1k_refuses_several_channels_and_wants_the_voice(tmp_path: Path) -> None:
    make(tmp_path, 1, 2)
    with pytest.raises(InputError, match="A: has 2 channels; NSDR is a score of mono data"):
        score(tmp_path, "mir1k")
    (tmp_path / "estimates/test/A/vocals.wav").unlink()
    with pytest.raises(InputError, match="needs an estimate of vocals"):
        score(tmp_path, "mir1k")


def test_scores_of_different_protocols_do_not_share_a_folder(tmp_path: Path) -> None:
    make(tmp_path, 1, 2)
    assert "vocals: SDR[v4; frames=median; tracks=median; n=1; nan=0.0%]" in score(tmp_path, "sisec18")
    before = (tmp_path / "scores/test/A.json").read_text()
    with pytest.raises(InputError, match=r"A\.json: holds scores of protocol sisec18; give those of protocol mdx21 another folder"):
        score(tmp_path, "mdx21", "--overwrite")
    assert (tmp_path / "scores/test/A.json").read_text() == before
    with pytest.raises(InputError, match=r"A\.json: holds scores of protocol sisec18"):
        score(tmp_path, "sisec16")


def test_museval_scores_one_protocol(tmp_path: Path) -> None:
    make(tmp_path, 1, 2)
    assert "museval scores sisec18 alone" in score(tmp_path, "mdx21", "--engine", "museval")
