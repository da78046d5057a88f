"""The separation stage: what it writes for prepared tracks and for anyone's songs."""

import errno
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from tiny import SIZES, Identity, tiny_checkpoint
from trainings import run
from wavs import RATE_HZ, noise_stems, prepare_test_tracks, save_checkpoint, write_track

from madsep.core.errors import InputError
from madsep.core.files import read_json, write_json
from madsep.core.settings import Separation
from madsep.models.checkpoint import load_checkpoint, write_checkpoint
from madsep.models.mad import Mad, MadOutput
from madsep.separation.network import Separator
from madsep.separation.songs import Job, separate, separate_song, separate_songs, write_targets
from madsep.systems.recipe import load_recipe

NAMES = ("Artist & Co. - It's (Mine)", 'P.I.L. - "Quoted" No. 2')
TARGETS = ("vocals", "accompaniment")


def set_up(tmp_path: Path, **separation: Any) -> tuple[Path, Job]:
    """A checkpoint and the job that separates two prepared test tracks of different lengths."""
    for number, name in enumerate(NAMES):
        write_track(tmp_path / "musdb/test" / name, noise_stems(number, 0.7 + 0.11 * number))
    write_track(tmp_path / "musdb/train/Somebody - Else", noise_stems(9, 0.5))
    manifest = prepare_test_tracks(tmp_path / "musdb", tmp_path / "prepared")
    checkpoint = save_checkpoint(tiny_checkpoint(separation=separation), tmp_path / "checkpoint.safetensors")
    return checkpoint, Job([manifest], ["test001", "test002"], tmp_path / "estimates/test001-test002.json")


def read(path: Path) -> np.ndarray:
    """16-bit samples (n_samples, n_channels) as integers."""
    assert sf.info(path).subtype == "PCM_16"
    return sf.read(path, dtype="int16", always_2d=True)[0].astype(int)


@pytest.mark.parametrize("separation", [{}, {"framing": "legacy"}, {"griffin_lim_iterations": 3}, {"latent_threshold": 0.1}])
def test_targets_add_up_to_the_mixture(tmp_path: Path, separation: dict[str, Any]) -> None:
    checkpoint, job = set_up(tmp_path, **separation)
    separate(checkpoint, job, "cpu", 1)
    for name in NAMES:
        vocals, accompaniment = (read(tmp_path / "estimates/test" / name / f"{target}.wav") for target in TARGETS)
        assert vocals.any() and accompaniment.any()
        np.testing.assert_array_equal(vocals + accompaniment, read(tmp_path / "musdb/test" / name / "mixture.wav"))


def test_manifest_names_each_file_with_its_hash(tmp_path: Path) -> None:
    checkpoint, job = set_up(tmp_path)
    separate(checkpoint, job, "cpu", 1)
    tracks = read_json(job.manifest)["tracks"]
    assert [(track["slug"], track["name"]) for track in tracks] == [("test001", NAMES[0]), ("test002", NAMES[1])]
    for track in tracks:
        assert set(track["files"]) == set(TARGETS)
        for target, file in track["files"].items():
            assert file["file"] == f"test/{track['name']}/{target}.wav"
            assert file["sha256"] == hashlib.sha256((job.manifest.parent / file["file"]).read_bytes()).hexdigest()
            assert file["n_clipped"] == 0


def test_the_share_of_the_latent_that_the_threshold_zeroes_is_logged(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, torch_settings_restored: None
) -> None:
    """Of MDLT, with the weights of a trained MDL1; counted by hand from H_dec without a threshold, once for all tracks of a job."""
    _, job = set_up(tmp_path)
    mdl1, mdlt = (load_recipe(name, {"MDL1": SIZES, "MDLT": {"separation": SIZES["separation"]}}) for name in ("MDL1", "MDLT"))
    trained = run(mdl1, manifest, tmp_path / "training")
    write_checkpoint(trained / "weights.safetensors", mdlt, tmp_path / "mdlt.safetensors")
    plain, seen, forward = load_checkpoint(tmp_path / "mdlt.safetensors", torch.device("cpu")).network, [], Mad.forward

    def kept(network: Mad, mixture: torch.Tensor, latent_threshold: float = 0.0) -> MadOutput:
        seen.append(mixture)
        return forward(network, mixture, latent_threshold)

    monkeypatch.setattr(Mad, "forward", kept)
    with caplog.at_level(logging.INFO, "madsep"):
        separate(tmp_path / "mdlt.safetensors", job, "cpu", 1)
    monkeypatch.undo()
    with torch.inference_mode():
        latents = torch.cat([plain(mixture).h_dec.abs().flatten() for mixture in seen])
    share = (latents <= 0.2).double().mean().item()
    assert len(seen) > 2 and 0.01 < share < 0.99
    told = [line for line in caplog.messages if "H_dec" in line]
    assert told == [f"MDLT: the threshold of 0.2 sets {100 * share:.2f} % of the entries of H_dec to zero"]


@pytest.mark.parametrize(("separation", "n_lines"), [({}, 0), ({"latent_threshold": 0.1}, 1)])
def test_songs_are_told_of_a_latent_threshold_where_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, separation: dict[str, Any], n_lines: int
) -> None:
    checkpoint = save_checkpoint(tiny_checkpoint(separation=separation), tmp_path / "checkpoint.safetensors")
    sf.write(tmp_path / "song.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 9000), RATE_HZ)
    with caplog.at_level(logging.INFO, "madsep"):
        separate_songs(checkpoint, [tmp_path / "song.wav"], tmp_path / "out", "cpu", 1)
    assert len([line for line in caplog.messages if "H_dec" in line]) == n_lines


def test_only_the_tracks_of_the_job_are_separated(tmp_path: Path) -> None:
    checkpoint, job = set_up(tmp_path)
    separate(checkpoint, replace(job, slugs=["test002"]), "cpu", 1)
    assert [path.name for path in (tmp_path / "estimates/test").iterdir()] == [NAMES[1]]


def test_legacy_framing_is_silent_at_both_ends_and_full_framing_is_not(tmp_path: Path) -> None:
    checkpoint, job = set_up(tmp_path, framing="legacy")
    separate(checkpoint, job, "cpu", 1)
    full = save_checkpoint(tiny_checkpoint(), tmp_path / "full.safetensors")
    separate(full, replace(job, manifest=tmp_path / "full/test001-test002.json"), "cpu", 1)
    recipe = tiny_checkpoint().recipe
    hop, step, context = recipe.front_end.hop_length, recipe.segments.step, recipe.segments.n_context
    for name in NAMES:
        vocals = read(tmp_path / "estimates/test" / name / "vocals.wav")
        n_estimated = (len(vocals) // hop + 6) // (4 * step) * 4 * step  # whole batches of 4 segments
        end = (context + n_estimated - 1 - 6) * hop + recipe.front_end.window_length
        assert 0 < end < len(vocals)
        assert not vocals[: context * hop].any() and not vocals[end:].any()
        assert vocals[end - 2 * hop : end].any()
        assert read(tmp_path / "full/test" / name / "vocals.wav")[end:].any()


def test_training_tracks_are_not_separated(tmp_path: Path) -> None:
    checkpoint, job = set_up(tmp_path)
    manifest = job.prepared[0]
    manifest.write_text(manifest.read_text().replace('"subset": "test"', '"subset": "train"'))
    with pytest.raises(InputError, match=r"is a train track; expected test tracks only\. Test tracks never train\."):
        separate(checkpoint, job, "cpu", 1)
    assert not job.manifest.parent.exists()


def test_clipped_samples_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mixture = np.zeros((2, 6), np.float32)
    voice = np.array([[0.5, 1.0, 1.5, -1.0, -1.5, 0.0]] * 2, np.float32)
    with caplog.at_level(logging.WARNING, "madsep"):
        clipped = write_targets(iter([voice[None, :, :4], voice[None, :, 4:]]), ("vocals",), mixture, tmp_path, RATE_HZ)
    # 1.0 is one step above the range, -1.0 its end; -(-32768) is one step above it, too
    assert clipped == {"vocals": 2 * 3, "accompaniment": 2 * 2}
    np.testing.assert_array_equal(read(tmp_path / "vocals.wav")[:, 0], [16384, 32767, 32767, -32768, -32768, 0])
    np.testing.assert_array_equal(read(tmp_path / "accompaniment.wav")[:, 1], [-16384, -32767, -32767, 32767, 32767, 0])
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{tmp_path}/vocals.wav: 6 of 12 samples clipped",
        f"{tmp_path}/accompaniment.wav: 4 of 12 samples clipped",
    ]


def identity() -> Separator:
    """Estimates the mixture itself, at 44.1 kHz."""
    checkpoint = tiny_checkpoint()
    return Separator(replace(checkpoint, network=Identity(checkpoint.recipe.segments.n_context)), torch.device("cpu"))


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_an_impulse_stays_where_it_is_at_every_rate(tmp_path: Path, rate_hz: int) -> None:
    samples = np.zeros((rate_hz // 2 + 7, 2))
    samples[3001, 0] = 0.5
    samples[1009, 1] = -0.5
    sf.write(tmp_path / "song.wav", samples, rate_hz, subtype="PCM_16")
    separate_song(identity(), tmp_path / "song.wav", tmp_path / "out")
    vocals = read(tmp_path / "out/vocals.wav")
    assert sf.info(tmp_path / "out/vocals.wav").samplerate == rate_hz
    assert vocals.shape == samples.shape
    assert np.abs(vocals).argmax(axis=0).tolist() == [3001, 1009]


def test_a_resampled_song_comes_back_as_it_was(tmp_path: Path) -> None:
    time_s = np.arange(30_001) / 22_050
    song = 0.3 * np.sin(2 * np.pi * 440 * time_s) + 0.2 * np.sin(2 * np.pi * 3000 * time_s)
    sf.write(tmp_path / "song.wav", song, 22_050, subtype="PCM_16")
    separate_song(identity(), tmp_path / "song.wav", tmp_path / "out")
    difference = read(tmp_path / "out/vocals.wav")[:, 0] / 32768 - song
    assert np.abs(difference[200:-200]).max() < 1e-3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["accompaniment.wav", "vocals.wav"]


def test_songs_of_one_name_are_refused_before_any_work(tmp_path: Path) -> None:
    songs = [tmp_path / "a/Song.wav", tmp_path / "b/Other.wav", tmp_path / "b/Song.flac"]
    with pytest.raises(InputError, match=r"several songs are called 'Song'; separate them into different folders"):
        separate_songs(tmp_path / "no.safetensors", songs, tmp_path / "out", "cpu", 1)
    assert not (tmp_path / "out").exists()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_disk_that_fills_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, job = set_up(tmp_path)
    written, n_written = sf.SoundFile.write, []

    def fail(stream: sf.SoundFile, samples: np.ndarray) -> None:
        n_written.append(len(samples))
        if len(n_written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(stream, samples)

    monkeypatch.setattr(sf.SoundFile, "write", fail)
    with pytest.raises(InputError, match=r"accompaniment\.wav: the disk is full; nothing was written"):
        separate(checkpoint, job, "cpu", 1)
    assert files_in(job.manifest.parent) == []


def test_a_wav_that_cannot_even_be_begun_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, job = set_up(tmp_path)

    def fail(*args: object, **kwargs: object) -> None:
        raise sf.LibsndfileError(2)  # what libsndfile says when the disk has no room for the header

    monkeypatch.setattr(sf, "SoundFile", fail)
    with pytest.raises(InputError, match=r"vocals\.wav: cannot be written \(System error\.\); nothing was kept"):
        separate(checkpoint, job, "cpu", 1)
    assert files_in(job.manifest.parent) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_no_permission_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    checkpoint, job = set_up(tmp_path)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(InputError, match=r"vocals\.wav: no permission to write there"):
        separate(checkpoint, job, "cpu", 1)
    assert files_in(job.manifest.parent) == []


def test_a_song_whose_voice_fails_leaves_no_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sf.write(tmp_path / "song.wav", np.zeros(48_000), 48_000)

    def fail(separator: Separator, mixture: np.ndarray) -> Iterator[np.ndarray]:
        yield np.zeros((1, 1, 100), np.float32)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Separator, "estimates", fail)
    with pytest.raises(InputError, match="the disk is full"):
        separate_song(identity(), tmp_path / "song.wav", tmp_path / "out")
    assert files_in(tmp_path / "out") == []


# --- prepared tracks of another rate than the front end's


class FourShares(torch.nn.Module):
    """A network that estimates fixed shares of the mixture."""

    sequences_independent = True

    def estimate(self, mixture: torch.Tensor, separation: Separation) -> torch.Tensor:
        return torch.tensor(SHARES)[:, None, None] * mixture[:, None]


SHARES = (0.1, 0.2, 0.3, 0.4)
STEMS = ("vocals", "drums", "bass", "other")


def write_prepared_mixture(folder: Path, mixture: np.ndarray, rate_hz: int) -> Job:
    """A prepared test track that holds a mixture (n_channels, n_samples), and the job that separates it."""
    folder.mkdir()
    np.save(folder / "test001.npy", mixture[None].astype(np.float32))
    entry = {"slug": "test001", "name": "A - B", "subset": "test", "file": "test001.npy", "signals": ["mixture"], "sample_rate_hz": rate_hz}
    write_json(folder / "test.json", {"tracks": [entry]})
    return Job([folder / "test.json"], ["test001"], folder / "estimates/test001.json")


def stand_in(monkeypatch: pytest.MonkeyPatch, front_end_hz: int, four: bool = False) -> None:
    """Let the stage load a checkpoint of that rate, with a network whose output is known."""
    checkpoint = tiny_checkpoint(front_end={"sample_rate_hz": front_end_hz})
    network: torch.nn.Module = Identity(checkpoint.recipe.segments.n_context)
    if four:
        front_end, network = {"sample_rate_hz": front_end_hz}, FourShares()
        checkpoint = replace(checkpoint, recipe=load_recipe("HEL1", {"HEL1": {"front_end": front_end}}))
    monkeypatch.setattr("madsep.separation.songs.load_checkpoint", lambda path, device: replace(checkpoint, network=network))


@pytest.mark.parametrize("front_end_hz", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("n_samples", [20_000, 20_001, 3_010])
def test_an_impulse_of_a_prepared_track_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front_end_hz: int, n_samples: int
) -> None:
    mixture = np.zeros((2, n_samples))
    mixture[0, 3001], mixture[1, 1009] = 0.5, -0.5
    job = write_prepared_mixture(tmp_path / "prepared", mixture, RATE_HZ)
    stand_in(monkeypatch, front_end_hz)
    separate(Path("unread"), job, "cpu", 1)
    folder = job.manifest.parent / "test/A - B"
    vocals, accompaniment = (read(folder / f"{target}.wav") for target in TARGETS)
    assert sf.info(folder / "vocals.wav").samplerate == RATE_HZ
    assert vocals.shape == (n_samples, 2)
    assert np.abs(vocals).argmax(axis=0).tolist() == [3001, 1009]
    np.testing.assert_array_equal(vocals + accompaniment, np.rint(32768 * mixture.T))
    if front_end_hz == 16_000:  # what lies above 8 kHz is the accompaniment's
        assert vocals[3001, 0] / 16384 == pytest.approx(16_000 / RATE_HZ, rel=0.1)
    else:
        assert vocals[3001, 0] / 16384 == pytest.approx(1, rel=0.1)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["A - B"]  # no scratch is left


def test_four_sources_of_a_resampled_track_keep_their_order_and_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time_s = np.arange(30_000) / RATE_HZ
    mixture = 0.5 * np.stack([np.sin(2 * np.pi * 440 * time_s), np.sin(2 * np.pi * 3000 * time_s)])
    job = write_prepared_mixture(tmp_path / "prepared", mixture, RATE_HZ)
    stand_in(monkeypatch, 16_000, four=True)
    separate(Path("unread"), job, "cpu", 1)
    found = {path.stem: read(path) for path in (job.manifest.parent / "test/A - B").iterdir()}
    assert found.keys() == {*STEMS, "accompaniment"}
    inner = slice(500, -500)
    for stem, share in zip(STEMS, SHARES, strict=True):
        np.testing.assert_allclose(found[stem][inner], 32768 * share * mixture.T[inner], atol=10)
    np.testing.assert_array_equal(found["accompaniment"], found["drums"] + found["bass"] + found["other"])
