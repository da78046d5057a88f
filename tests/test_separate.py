"""The separation stage: what it writes for prepared tracks and for anyone's songs."""

import errno
import hashlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from prepared_tracks import AWKWARD_NAMES, write_prepared_track
from tiny import Identity, tiny_checkpoint
from wavs import RATE_HZ, noise_stems, save_checkpoint

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import read_json, sha256
from madsep.core.settings import Separation
from madsep.core.temporary import TEMPORARY
from madsep.data.datasets import ALL_TARGETS, STEMS, TARGETS
from madsep.data.encodings import Encoding
from madsep.data.prepared import PreparedTrack
from madsep.models.checkpoint import load_checkpoint
from madsep.models.mad import Mad, MadOutput
from madsep.separation import songs
from madsep.separation.network import Separator
from madsep.separation.output import target_files, write_targets
from madsep.separation.songs import Output, separate_songs
from madsep.separation.tracks import separate
from madsep.systems.recipe import load_recipe

THRESHOLD = 0.01
AS_USUAL = Output()
NAMES = ("Artist & Co. - It's (Mine)", 'P.I.L. - "Quoted" No. 2')


def separate_song(separator: Separator, song: Path, folder: Path, output: Output = AS_USUAL) -> None:
    songs.separate_song(separator, song, target_files(folder, separator.targets), output)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[PreparedTrack]:
    """Two prepared test tracks of noise, of different lengths; not to be changed."""
    folder = tmp_path_factory.mktemp("prepared")
    return [noise_track(folder, name, 0.7 + 0.11 * number) for number, name in enumerate(NAMES)]


def noise_track(folder: Path, name: str, duration_s: float) -> PreparedTrack:
    mixture = noise_stems(len(name), duration_s)["mixture"].T / 32768
    return write_prepared_track(folder, name, {"mixture": mixture, "vocals": mixture, "accompaniment": mixture})


def save(tmp_path: Path, seed: int = 1, **separation: Any) -> Path:
    """A checkpoint of a tiny network."""
    return save_checkpoint(tiny_checkpoint(seed, separation=separation), tmp_path / "checkpoint.safetensors")


def out(tmp_path: Path) -> Path:
    return tmp_path / "estimates"


def separate_one(tmp_path: Path, tracks: list[PreparedTrack], **separation: Any) -> None:
    separate(save(tmp_path, **separation), tracks, out(tmp_path), "job", "cpu", 1)


def read(path: Path) -> np.ndarray:
    """16-bit samples (n_samples, n_channels) as integers."""
    assert sf.info(path).subtype == "PCM_16"
    return sf.read(path, dtype="int16", always_2d=True)[0].astype(int)


@pytest.mark.parametrize("separation", [{}, {"framing": "legacy"}, {"griffin_lim_iterations": 3}, {"latent_threshold": 0.1}])
def test_targets_add_up_to_the_mixture(tmp_path: Path, tracks: list[PreparedTrack], separation: dict[str, Any]) -> None:
    separate_one(tmp_path, tracks, **separation)
    for track in tracks:
        vocals, accompaniment = (read(out(tmp_path) / "test" / track.name / f"{target}.wav") for target in TARGETS)
        assert vocals.any() and accompaniment.any()
        np.testing.assert_array_equal(vocals + accompaniment, 32768 * track.signal("mixture").T)


def test_a_record_says_what_the_estimates_were_made_from(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    separate_one(tmp_path, tracks)
    for track in tracks:
        record = Stage(out(tmp_path)).checked(track.slug)
        assert record.made_from == {"prepared": track.sha256, "checkpoint": sha256(tmp_path / "checkpoint.safetensors")}
        paths = [f"test/{track.name}/{target}.wav" for target in TARGETS]
        assert record.files == {path: hashlib.sha256((out(tmp_path) / path).read_bytes()).hexdigest() for path in paths}
        assert record.facts == {"name": track.name, "n_clipped": dict.fromkeys(TARGETS, 0)}
    assert read_json(out(tmp_path) / "jobs/job.json")["tracks"].keys() == {track.slug for track in tracks}


def test_the_share_of_the_latent_that_the_threshold_zeroes_is_logged(
    tmp_path: Path, tracks: list[PreparedTrack], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted by hand from H_dec without a threshold, once for all tracks of a job."""
    checkpoint = save(tmp_path, latent_threshold=THRESHOLD)
    plain, seen, forward = load_checkpoint(checkpoint, torch.device("cpu")).network, [], Mad.forward

    def kept(network: Mad, mixture: torch.Tensor, latent_threshold: float = 0.0) -> MadOutput:
        seen.append(mixture)
        return forward(network, mixture, latent_threshold)

    monkeypatch.setattr(Mad, "forward", kept)
    with caplog.at_level(logging.INFO, "madsep"):
        separate(checkpoint, tracks, out(tmp_path), "job", "cpu", 1)
    monkeypatch.undo()
    with torch.inference_mode():
        latents = torch.cat([plain(mixture).h_dec.abs().flatten() for mixture in seen])
    share = (latents <= THRESHOLD).double().mean().item()
    assert len(seen) > 2 and 0.01 < share < 0.99
    told = [line for line in caplog.messages if "H_dec" in line]
    assert told == [f"MDL1: the threshold of {THRESHOLD:g} sets {100 * share:.2f} % of the entries of H_dec to zero"]


@pytest.mark.parametrize(("separation", "n_lines"), [({}, 0), ({"latent_threshold": 0.1}, 1)])
def test_songs_are_told_of_a_latent_threshold_where_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, separation: dict[str, Any], n_lines: int
) -> None:
    checkpoint = save_checkpoint(tiny_checkpoint(separation=separation), tmp_path / "checkpoint.safetensors")
    sf.write(tmp_path / "song.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 9000), RATE_HZ)
    with caplog.at_level(logging.INFO, "madsep"):
        separate_songs(checkpoint, [tmp_path / "song.wav"], tmp_path / "out", "cpu", 1)
    assert len([line for line in caplog.messages if "H_dec" in line]) == n_lines


def test_legacy_framing_is_silent_at_both_ends_and_full_framing_is_not(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    separate_one(tmp_path, tracks, framing="legacy")
    separate(save(tmp_path), tracks, tmp_path / "full", "job", "cpu", 1)
    recipe = tiny_checkpoint().recipe
    hop, step, context = recipe.front_end.hop_length, recipe.segments.step, recipe.segments.n_context
    for name in NAMES:
        vocals = read(out(tmp_path) / "test" / name / "vocals.wav")
        n_estimated = (len(vocals) // hop + 6) // (4 * step) * 4 * step  # whole batches of 4 segments
        end = (context + n_estimated - 6) * hop + recipe.front_end.window_length - 1
        assert 0 < end < len(vocals)
        assert not vocals[: context * hop].any() and not vocals[end:].any()
        assert vocals[end - 2 * hop : end].any()
        assert read(tmp_path / "full/test" / name / "vocals.wav")[end:].any()


# --- identity


def written(folder: Path) -> dict[str, int]:
    """When each wav and record was written, by its path."""
    paths = [*folder.glob("test/*/*.wav"), *folder.glob("records/*.json")]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in paths}


def test_estimates_that_are_there_are_left_as_they_are_without_a_device(
    tmp_path: Path, tracks: list[PreparedTrack], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = save(tmp_path)
    separate(checkpoint, tracks[:1], out(tmp_path), "first", "cpu", 1)
    before = written(out(tmp_path))
    separate(checkpoint, tracks, out(tmp_path), "both", "cpu", 1)
    assert {path: written(out(tmp_path))[path] for path in before} == before and len(written(out(tmp_path))) == 2 * len(before)
    before = written(out(tmp_path))
    monkeypatch.setattr("madsep.separation.tracks.claim", None)
    caplog.clear()
    with caplog.at_level(logging.INFO, "madsep"):
        separate(checkpoint, tracks[1:], out(tmp_path), "second", "cpu", 1)
    assert caplog.messages == [f"{NAMES[1]}: the estimates are up to date"]
    assert written(out(tmp_path)) == before
    assert sorted(path.stem for path in (out(tmp_path) / "jobs").iterdir()) == ["both", "first", "second"]


def test_another_checkpoint_separates_again(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    separate_one(tmp_path, tracks[:1])
    before = Stage(out(tmp_path)).checked(tracks[0].slug)
    separate_one(tmp_path, tracks[:1], seed=2)
    after = Stage(out(tmp_path)).checked(tracks[0].slug)
    assert before.identity != after.identity and before.content != after.content


def test_other_audio_of_the_same_name_is_separated_again_alone(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    checkpoint = save(tmp_path)
    separate(checkpoint, tracks, out(tmp_path), "job", "cpu", 1)
    before = {track.slug: Stage(out(tmp_path)).checked(track.slug) for track in tracks}
    other = noise_track(tmp_path / "other", NAMES[0], 0.5)
    separate(checkpoint, [other, tracks[1]], out(tmp_path), "job", "cpu", 1)
    after = {track.slug: Stage(out(tmp_path)).checked(track.slug) for track in tracks}
    assert [before[track.slug] == after[track.slug] for track in tracks] == [False, True]
    assert len(read(out(tmp_path) / "test" / NAMES[0] / "vocals.wav")) == other.n_samples


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), Path.unlink])
def test_estimates_that_were_changed_are_made_again(tmp_path: Path, tracks: list[PreparedTrack], damage: Any) -> None:
    separate_one(tmp_path, tracks[:1])
    path = out(tmp_path) / "test" / NAMES[0] / "vocals.wav"
    before = path.read_bytes()
    damage(path)
    separate_one(tmp_path, tracks[:1])
    assert path.read_bytes() == before


def test_estimates_of_other_targets_are_removed(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    folder = out(tmp_path) / "test" / NAMES[0]
    folder.mkdir(parents=True)
    (folder / "drums.wav").write_text("of a former run")
    separate_one(tmp_path, tracks[:1])
    assert sorted(path.stem for path in folder.iterdir()) == sorted(TARGETS)


def test_a_track_that_fails_leaves_the_others_and_no_stamp(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    gone = replace(tracks[0], file=tmp_path / "gone.npy", slug="gone", name="Gone")
    separate_one(tmp_path, tracks)
    with pytest.raises(InputError, match=rf"^{gone.file}: cannot be read"):
        separate(save(tmp_path, 2), [gone, tracks[1]], out(tmp_path), "job", "cpu", 1)
    assert not (out(tmp_path) / "jobs/job.json").exists()
    assert Stage(out(tmp_path)).checked(tracks[1].slug).made_from["checkpoint"] == sha256(tmp_path / "checkpoint.safetensors")
    assert not (out(tmp_path) / "records/gone.json").exists()


def test_a_missing_or_damaged_checkpoint_is_refused(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    for text, message in ((None, "cannot be read"), ("no tensors", "cannot be read as a checkpoint")):
        if text:
            (tmp_path / "checkpoint.safetensors").write_text(text)
        with pytest.raises(InputError, match=rf"^{tmp_path}/checkpoint.safetensors: .*{message}"):
            separate(tmp_path / "checkpoint.safetensors", tracks, out(tmp_path), "job", "cpu", 1)
    assert not out(tmp_path).exists()


def test_names_of_all_kinds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = [
        write_prepared_track(tmp_path / "prepared", name, {"mixture": rng.integers(-999, 999, (1, 400 + number)) / 32768})
        for number, name in enumerate(AWKWARD_NAMES)
    ]
    separate_one(tmp_path, found)
    assert {path.name for path in (out(tmp_path) / "test").iterdir()} == set(AWKWARD_NAMES)
    for number, track in enumerate(found):
        assert Stage(out(tmp_path)).checked(track.slug).facts["name"] == track.name
        assert len(read(out(tmp_path) / "test" / track.name / "vocals.wav")) == 400 + number


def test_clipped_samples_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mixture = np.zeros((2, 6), np.float32)
    voice = np.array([[0.5, 1.0, 1.5, -1.0, -1.5, 0.0]] * 2, np.float32)
    files = target_files(tmp_path, ["vocals"])
    with caplog.at_level(logging.WARNING, "madsep"):
        clipped = write_targets(iter([voice[None, :, :4], voice[None, :, 4:]]), ("vocals",), mixture, files, RATE_HZ)
    # 1.0 is one step above the range, -1.0 its end; -(-32768) is one step above it, too
    assert clipped == {"vocals": 2 * 3, "accompaniment": 2 * 2}
    np.testing.assert_array_equal(read(tmp_path / "vocals.wav")[:, 0], [16384, 32767, 32767, -32768, -32768, 0])
    np.testing.assert_array_equal(read(tmp_path / "accompaniment.wav")[:, 1], [-16384, -32767, -32767, 32767, 32767, 0])
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{tmp_path}/vocals.wav: 6 of 12 samples clipped",
        f"{tmp_path}/accompaniment.wav: 4 of 12 samples clipped",
    ]


def test_files_add_up_to_the_mixture_except_where_the_accompaniment_clips(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    steps = generator.integers(-32768, 32768, (2, 500))
    voice = generator.uniform(-0.9, 0.9, (1, 2, 500)).astype(np.float32)
    clipped = write_targets(iter([voice]), ("vocals",), (steps / 32768).astype(np.float32), target_files(tmp_path, ["vocals"]), RATE_HZ)
    vocals, accompaniment = (read(tmp_path / f"{target}.wav").T.astype(int) for target in TARGETS)
    beyond = ~np.isin(steps - vocals, np.arange(-32768, 32768))
    assert clipped == {"vocals": 0, "accompaniment": np.count_nonzero(beyond)} and beyond.any()
    np.testing.assert_array_equal((vocals + accompaniment)[~beyond], steps[~beyond])
    assert (np.abs((vocals + accompaniment) - steps)[beyond] > 0).all() and set(np.abs(accompaniment[beyond])) <= {32767, 32768}


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


def a_song(path: Path, n_samples: int = 9000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(os.fsencode(path), np.random.default_rng(0).uniform(-0.5, 0.5, n_samples), RATE_HZ, format="WAV", subtype="PCM_16")
    return path


@pytest.mark.parametrize(
    ("place", "folder"), [("vocals/vocals.wav", "."), ("accompaniment/accompaniment.wav", "."), ("a/vocals/vocals.wav", "a")]
)
def test_a_song_is_never_written_over(tmp_path: Path, place: str, folder: str) -> None:
    song = a_song(tmp_path / place)
    before = song.read_bytes()
    with pytest.raises(InputError, match=rf"{place}: is the input .*{place} itself"):
        separate_songs(save(tmp_path), [song], tmp_path / folder, "cpu", 1)
    assert song.read_bytes() == before and len(list(song.parent.iterdir())) == 1


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("place", ["song.wav", "checkpoint.safetensors", "other.wav"])
def test_nor_is_it_through_links_nor_the_checkpoint_nor_another_song(tmp_path: Path, link: Any, place: str) -> None:
    given = [a_song(tmp_path / "song.wav"), a_song(tmp_path / "other.wav")]
    checkpoint = save(tmp_path)
    (tmp_path / "out/song").mkdir(parents=True)
    link(tmp_path / "out/song/vocals.wav", tmp_path / place)
    with pytest.raises(InputError, match=rf"out/song/vocals\.wav: is the input .*{place} itself"):
        separate_songs(checkpoint, given, tmp_path / "out", "cpu", 1)
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["vocals.wav"]


def test_a_second_pass_elsewhere_is_a_song_like_any_other(tmp_path: Path) -> None:
    song, checkpoint = a_song(tmp_path / "sep/vocals/vocals.wav"), save(tmp_path)
    separate_songs(checkpoint, [song], tmp_path / "second", "cpu", 1)
    with pytest.raises(InputError, match=r"second/vocals/vocals\.wav: exists already \(and 1 more\); choose another folder"):
        separate_songs(checkpoint, [song], tmp_path / "second", "cpu", 1)
    separate_songs(checkpoint, [song], tmp_path / "second", "cpu", 1, Output(overwrite=True))
    assert (tmp_path / "second/vocals/vocals.wav").is_file()


def test_one_bad_song_of_many_leaves_the_others_and_is_told_last(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = [a_song(tmp_path / "one.wav"), a_song(tmp_path / "two.wav")]
    (tmp_path / "text.mp3").write_text("no song")
    songs = [tmp_path / "gone.wav", good[0], tmp_path / "text.mp3", good[1]]
    with caplog.at_level(logging.INFO, "madsep"), pytest.raises(InputError) as raised:
        separate_songs(save(tmp_path), songs, tmp_path / "out", "cpu", 1)
    assert [line.split(": ")[0] for line in str(raised.value).splitlines()] == [str(songs[0]), str(songs[2])]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one", "two"]
    assert [line for line in caplog.messages if "separated" in line] == [
        f"{song}: separated into {tmp_path}/out/{song.stem}" for song in good
    ]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("...wav", "...wav"),
        ("....flac", "....flac"),
        ("..", None),
        ("...", "..."),
        ("song..wav", "song."),
        (".wav", ".wav"),
        (".hidden.wav", ".hidden"),
    ],
)
def test_names_with_dots_stay_in_the_output_folder(tmp_path: Path, name: str, folder: str | None) -> None:
    (tmp_path / "songs").mkdir()
    song, checkpoint = tmp_path / "songs" / name, save(tmp_path)
    if folder is None:
        with pytest.raises(InputError, match="is a folder"):
            separate_songs(checkpoint, [song], tmp_path / "deep/out", "cpu", 1)
        assert not (tmp_path / "deep").exists()
        return
    a_song(song)
    separate_songs(checkpoint, [song], tmp_path / "deep/out", "cpu", 1)
    assert [path.relative_to(tmp_path / "deep/out") for path in files_in(tmp_path / "deep")]
    assert {path.parent for path in files_in(tmp_path / "deep")} == {tmp_path / "deep/out" / folder}


@pytest.mark.parametrize("name", [b"Caf\xe9.wav", b"\xff\xfe.wav", b"a\xc3.mp3"])
def test_names_that_are_no_text_are_paths_all_the_same(tmp_path: Path, name: bytes) -> None:
    song = a_song(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)))
    separate_songs(save(tmp_path), [song], tmp_path / "out", "cpu", 1)
    assert {path.parent.name for path in files_in(tmp_path / "out")} == {song.stem}


def loud(path: Path) -> np.ndarray:
    """A song of floats above full scale, (n_samples, 2)."""
    samples = np.random.default_rng(3).uniform(-2.5, 2.5, (9000, 2)).astype(np.float32)
    sf.write(path, samples, RATE_HZ, subtype="FLOAT")
    return samples


def test_floats_keep_what_is_above_full_scale(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = loud(tmp_path / "song.wav")
    for folder in ("one", "two"):
        separate_song(identity(), tmp_path / "song.wav", tmp_path / folder, Output(Encoding("wav", "FLOAT")))
    assert caplog.messages == []
    total = sum(sf.read(tmp_path / "one" / f"{target}.wav", dtype="float32")[0] for target in TARGETS)
    np.testing.assert_allclose(total, samples, atol=1e-6)
    assert np.abs(sf.read(tmp_path / "one/vocals.wav")[0]).max() > 1.5 and sf.info(tmp_path / "one/vocals.wav").subtype == "FLOAT"
    for target in TARGETS:  # no time of writing in it
        assert (tmp_path / "one" / f"{target}.wav").read_bytes() == (tmp_path / "two" / f"{target}.wav").read_bytes()
        assert b"PEAK" not in (tmp_path / "one" / f"{target}.wav").read_bytes()[:200]


def test_rescaling_keeps_the_shape_and_the_sum(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = loud(tmp_path / "song.wav")
    with caplog.at_level(logging.INFO, "madsep"):
        separate_song(identity(), tmp_path / "song.wav", tmp_path / "out", Output(clip="rescale"))
    assert [line.split(": ")[1][:26] for line in caplog.messages] == ["its targets are scaled by "]
    vocals, accompaniment = (read(tmp_path / "out" / f"{target}.wav") for target in TARGETS)
    gain = (vocals + accompaniment).std() / (32768 * samples).std()
    assert 0.35 < gain < 0.45
    np.testing.assert_allclose(vocals + accompaniment, 32768 * gain * samples, atol=3)
    assert max(np.abs(vocals).max(), np.abs(accompaniment).max()) > 32_700


def test_a_soft_song_is_not_rescaled(tmp_path: Path) -> None:
    a_song(tmp_path / "song.wav")
    for folder, output in (("plain", Output()), ("rescaled", Output(clip="rescale"))):
        separate_song(identity(), tmp_path / "song.wav", tmp_path / folder, output)
    for target in TARGETS:
        assert (tmp_path / "plain" / f"{target}.wav").read_bytes() == (tmp_path / "rescaled" / f"{target}.wav").read_bytes()


def test_clamping_says_how_much(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loud(tmp_path / "song.wav")
    separate_song(identity(), tmp_path / "song.wav", tmp_path / "out")
    assert any("of 18000 samples clipped" in line for line in caplog.messages)


def test_what_a_killed_command_left_goes_with_the_next_one(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    stale = f"{TEMPORARY}{socket.gethostname()}.{process.pid}.abc"
    for folder in ("out", "out/other song", "out/song"):
        (tmp_path / folder / stale).mkdir(parents=True)
        (tmp_path / folder / stale / "original.f32").touch()
        (tmp_path / folder / f"{stale}def").touch()
    separate_songs(save(tmp_path), [a_song(tmp_path / "song.wav")], tmp_path / "out", "cpu", 1)
    assert sorted(path.name for path in files_in(tmp_path / "out")) == ["accompaniment.wav", "vocals.wav"]
    assert list((tmp_path / "out/other song").iterdir()) == []


def test_a_wav_beyond_4_gib_is_an_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("madsep.data.wav_writer.MAX_WAV_BYTES", 2 * 9000 - 1)
    separate_song(identity(), a_song(tmp_path / "song.wav"), tmp_path / "long")
    monkeypatch.undo()
    separate_song(identity(), tmp_path / "song.wav", tmp_path / "short")
    assert (sf.info(tmp_path / "long/vocals.wav").format, sf.info(tmp_path / "short/vocals.wav").format) == ("RF64", "WAV")
    np.testing.assert_array_equal(read(tmp_path / "long/vocals.wav"), read(tmp_path / "short/vocals.wav"))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_disk_that_fills_while_writing_leaves_nothing(
    tmp_path: Path, tracks: list[PreparedTrack], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save(tmp_path)
    write, n_written = sf.SoundFile.write, []

    def fail(stream: sf.SoundFile, samples: np.ndarray) -> None:
        n_written.append(len(samples))
        if len(n_written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(stream, samples)

    monkeypatch.setattr(sf.SoundFile, "write", fail)
    with pytest.raises(InputError, match=r"accompaniment\.wav: the disk is full; nothing was written"):
        separate(checkpoint, tracks, out(tmp_path), "job", "cpu", 1)
    assert files_in(out(tmp_path)) == []


def test_a_wav_that_cannot_even_be_begun_leaves_nothing(
    tmp_path: Path, tracks: list[PreparedTrack], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save(tmp_path)

    def fail(*args: object, **kwargs: object) -> None:
        raise sf.LibsndfileError(2)  # what libsndfile says when the disk has no room for the header

    monkeypatch.setattr(sf, "SoundFile", fail)
    with pytest.raises(InputError, match=r"vocals\.wav: cannot be written \(System error\.\); nothing was kept"):
        separate(checkpoint, tracks, out(tmp_path), "job", "cpu", 1)
    assert files_in(out(tmp_path)) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_no_permission_to_write(tmp_path: Path, tracks: list[PreparedTrack], monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    checkpoint = save(tmp_path)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(InputError, match=r"vocals\.wav: no permission to write there"):
        separate(checkpoint, tracks, out(tmp_path), "job", "cpu", 1)
    assert files_in(out(tmp_path)) == []


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


def stand_in(monkeypatch: pytest.MonkeyPatch, front_end_hz: int, four: bool = False) -> None:
    """Let the stage load a checkpoint of that rate, with a network whose output is known."""
    checkpoint = tiny_checkpoint(front_end={"sample_rate_hz": front_end_hz})
    network: torch.nn.Module = Identity(checkpoint.recipe.segments.n_context)
    if four:
        front_end, network = {"sample_rate_hz": front_end_hz}, FourShares()
        checkpoint = replace(checkpoint, recipe=load_recipe("HEL1", {"HEL1": {"front_end": front_end}}))
    monkeypatch.setattr("madsep.separation.tracks.load_checkpoint", lambda path, device: replace(checkpoint, network=network))


def separated(tmp_path: Path, mixture: np.ndarray) -> Path:
    """The folder of the estimates of a mixture (n_channels, n_samples) by the checkpoint that stands in."""
    track = write_prepared_track(tmp_path / "prepared", "A - B", {"mixture": mixture})
    (tmp_path / "unread").touch()
    separate(tmp_path / "unread", [track], out(tmp_path), "job", "cpu", 1)
    return out(tmp_path) / "test/A - B"


@pytest.mark.parametrize("front_end_hz", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("n_samples", [20_000, 20_001, 3_010])
def test_an_impulse_of_a_prepared_track_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front_end_hz: int, n_samples: int
) -> None:
    mixture = np.zeros((2, n_samples))
    mixture[0, 3001], mixture[1, 1009] = 0.5, -0.5
    stand_in(monkeypatch, front_end_hz)
    folder = separated(tmp_path, mixture)
    vocals, accompaniment = (read(folder / f"{target}.wav") for target in TARGETS)
    assert sf.info(folder / "vocals.wav").samplerate == RATE_HZ
    assert vocals.shape == (n_samples, 2)
    assert np.abs(vocals).argmax(axis=0).tolist() == [3001, 1009]
    np.testing.assert_array_equal(vocals + accompaniment, np.rint(32768 * mixture.T))
    if front_end_hz == 16_000:  # what lies above 8 kHz is the accompaniment's
        assert vocals[3001, 0] / 16384 == pytest.approx(16_000 / RATE_HZ, rel=0.1)
    else:
        assert vocals[3001, 0] / 16384 == pytest.approx(1, rel=0.1)
    assert sorted(path.stem for path in folder.iterdir()) == sorted(TARGETS)  # no scratch is left


def test_four_sources_of_a_resampled_track_keep_their_order_and_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time_s = np.arange(30_000) / RATE_HZ
    mixture = 0.5 * np.stack([np.sin(2 * np.pi * 440 * time_s), np.sin(2 * np.pi * 3000 * time_s)])
    stand_in(monkeypatch, 16_000, four=True)
    found = {path.stem: read(path) for path in separated(tmp_path, mixture).iterdir()}
    assert found.keys() == set(ALL_TARGETS)
    inner = slice(500, -500)
    for stem, share in zip(STEMS, SHARES, strict=True):
        np.testing.assert_allclose(found[stem][inner], 32768 * share * mixture.T[inner], atol=10)
    np.testing.assert_array_equal(found["accompaniment"], found["drums"] + found["bass"] + found["other"])
