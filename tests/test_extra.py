"""Further training tracks: MedleyDB's layout, and songs that are in several data sets under other names."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import yaml
from prepared_tracks import with_sources, write_prepared_track
from tiny import tiny_checkpoint, tiny_recipe
from wavs import noise_stems, write_track

from madsep.core.errors import InputError
from madsep.data.datasets import DSD100, MUSDB18, Dataset
from madsep.data.extra import find_extra_tracks
from madsep.data.medleydb import read_song
from madsep.data.prepare import prepare
from madsep.data.prepared import Form, PreparedTrack, read_prepared
from madsep.data.songs import same_songs, song_of
from madsep.data.tracks import Track
from madsep.models.checkpoint import read_tensors, write_checkpoint, write_tensors
from madsep.separation.tracks import separate
from madsep.synth import make_dataset
from madsep.training.train import Options, train

RATE_HZ = 44_100
SONG = {"drum set": 0.1, "male singer": 0.2, "vocalists": 0.05}


def write_song(root: Path, name: str, stems: dict[str, float], has_bleed: str = "no", n_channels: int = 2) -> Path:
    """A song in MedleyDB's layout whose stems, instrument -> level, are constant; `raw` tracks are listed, too."""
    folder, listed = root / name, {}
    (folder / f"{name}_STEMS").mkdir(parents=True)
    for number, (instrument, level) in enumerate(stems.items(), start=1):
        file = f"{name}_STEM_{number:02d}.wav"
        sf.write(folder / f"{name}_STEMS" / file, np.full((441, n_channels), level), RATE_HZ, subtype="PCM_16")
        listed[f"S{number:02d}"] = {
            "component": "",
            "filename": file,
            "instrument": instrument,
            "raw": {"R01": {"instrument": "male singer"}},
        }
    sf.write(folder / f"{name}_MIX.wav", np.full((441, n_channels), 0.9), RATE_HZ)  # mastered: not the sum
    metadata = {"artist": "A", "has_bleed": has_bleed, "instrumental": "no", "stems": listed, "title": "T", "version": 1.2}
    (folder / f"{name}_METADATA.yaml").write_text(yaml.safe_dump(metadata))
    return folder


def refuse(root: Path, dataset: Dataset, message: str, known: tuple[str, ...] = ()) -> None:
    with pytest.raises(InputError, match=message) as caught:
        find_extra_tracks(root, dataset, known)
    assert "\n" not in str(caught.value)


# --- one song, several names


def test_a_song_is_told_by_letters_and_digits() -> None:
    assert song_of("MusicDelta_80sRock") == song_of("Music Delta - 80s Rock") == song_of("012 - Music Delta - 80s Rock")
    assert song_of("A - B") != song_of("A - C") and song_of("!?") != song_of("--")
    assert song_of("1234 - X") != song_of("X")  # no number of DSD100
    assert same_songs(["051 - Zoe - Last", "Ann - First"], ["Zoe - Last"]) == ["051 - Zoe - Last"]


# --- MUSDB18 and DSD100


def test_musdb18_cannot_train_for_dsd100(tmp_path: Path) -> None:
    write_track(tmp_path / "wavs/train/Ann - First", noise_stems(0, 0.1))
    assert [track.layout for track in find_extra_tracks(tmp_path / "wavs", DSD100, ["001 - Zoe - Last"])] == ["wav"]
    reason = r"is MUSDB18, which cannot train for DSD100: all 100 songs of DSD100 are in MUSDB18, 23 of its Dev in MUSDB18's test and 27"
    write_track(tmp_path / "wavs/train/Actions - One Minute Smile", noise_stems(0, 0.1))  # musdb's validation track
    refuse(tmp_path / "wavs", DSD100, f"extra_root: .*wavs {reason}")
    (tmp_path / "stems/train").mkdir(parents=True)
    (tmp_path / "stems/train/X.stem.mp4").write_bytes(bytes(100))
    refuse(tmp_path / "stems", DSD100, reason)


def test_dsd100_cannot_train_for_musdb18(tmp_path: Path) -> None:
    make_dataset(tmp_path / "dsd", 1, 1, 0.5, seed=0, layout="dsd100")
    refuse(
        tmp_path / "dsd", MUSDB18, r"extra_root: .*dsd is DSD100, which cannot train for MUSDB18: all 100 songs of DSD100 are in MUSDB18"
    )


@pytest.mark.parametrize("known", ["001 - Zoe - Last", "051 - Zoe Last", "Zoe - Last"])
def test_a_song_of_the_data_set_is_refused_under_any_name(tmp_path: Path, known: str) -> None:
    write_track(tmp_path / "train/Zoe - Last", noise_stems(0, 0.1))
    refuse(tmp_path, DSD100, r"train holds tracks of DSD100 itself: 'Zoe - Last'; take them away", (known,))


# --- MedleyDB


def test_the_instruments_tell_the_voice(tmp_path: Path) -> None:
    folder = write_song(tmp_path / "Audio", "Ann_First", SONG)
    (track,) = find_extra_tracks(tmp_path, MUSDB18, [])
    assert track == Track("Ann_First", "extra", "medleydb", str(folder), 0.01, "musdb18")
    assert list(track.source_files()) == ["Ann_First_METADATA.yaml", *(f"Ann_First_STEM_0{number}.wav" for number in (1, 2, 3))]
    prepare([with_sources(track)], Form(("mixture", "vocals"), True, RATE_HZ), tmp_path / "prepared", "job")
    (prepared,) = read_prepared(tmp_path / "prepared", [track.slug], ["extra"])
    for signal, level in (("mixture", 0.35), ("vocals", 0.25)):  # the sums of stems, not the mastered mix
        np.testing.assert_allclose(prepared.signal(signal), np.full((1, 441), level), atol=1e-4)
    assert prepared.notes == () and prepared.layout == "medleydb"


def test_stems_of_one_channel_are_taken_for_both(tmp_path: Path) -> None:
    write_song(tmp_path, "Ann_First", SONG, n_channels=1)
    (track,) = find_extra_tracks(tmp_path, DSD100, [])
    prepare([with_sources(track)], Form(("vocals",), False, RATE_HZ), tmp_path / "prepared", "job")
    (prepared,) = read_prepared(tmp_path / "prepared", [track.slug], ["extra"])
    np.testing.assert_allclose(prepared.signal("vocals"), np.full((2, 441), 0.25), atol=1e-4)


def test_songs_without_a_voice_with_bleed_or_of_the_data_set_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_song(tmp_path, "A_Voice", SONG)
    write_song(tmp_path, "B_Bleed", SONG, has_bleed="yes")
    write_song(tmp_path, "C_Instrumental", {"piano": 0.1, "beatboxing": 0.1})
    write_song(tmp_path, "D_Alone", {"female singer": 0.1})
    write_song(tmp_path, "MusicDelta_80sRock", SONG)
    caplog.set_level("INFO", logger="madsep")
    assert [track.name for track in find_extra_tracks(tmp_path, MUSDB18, ["Music Delta - 80s Rock"])] == ["A_Voice"]
    assert "1 of 5 songs of MedleyDB train; 1 are in MUSDB18, 3 have no voice or bleed" in caplog.text
    with pytest.raises(
        InputError, match=r"0 of 5 songs of MedleyDB train; 2 are in MUSDB18, 3 have no voice or bleed; expected songs with"
    ):
        find_extra_tracks(tmp_path, MUSDB18, ["Music Delta - 80s Rock", "A - Voice"])


def test_a_stem_with_a_voice_and_others_is_bleed(tmp_path: Path) -> None:
    folder = write_song(tmp_path, "A_Mixed", SONG)
    path = folder / "A_Mixed_METADATA.yaml"
    metadata = yaml.safe_load(path.read_text())
    metadata["stems"]["S01"]["instrument"] = ["male singer", "piano"]
    path.write_text(yaml.safe_dump(metadata))
    assert read_song(folder).has_bleed
    metadata["stems"]["S01"]["instrument"] = ["male singer", "vocalists"]
    path.write_text(yaml.safe_dump(metadata))
    song = read_song(folder)
    assert not song.is_usable and len(song.voices) == 3  # nothing else is left


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stems": {}}, r"A_METADATA\.yaml: is not the metadata of a MedleyDB song; expected has_bleed \(yes or no\) and stems"),
        ({"has_bleed": "maybe"}, "is not the metadata of a MedleyDB song"),
        ({"stems": {"S01": {"filename": "x.wav"}}}, "stem S01 has no filename and instrument"),
        ({"stems": {"S01": {"filename": "x.wav", "instrument": "piano"}}}, r"the stem x\.wav, which A_METADATA\.yaml lists, is missing"),
    ],
)
def test_faulty_metadata_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = write_song(tmp_path, "A", SONG) / "A_METADATA.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    refuse(tmp_path, MUSDB18, message)


def test_stems_that_do_not_fit_each_other_are_named(tmp_path: Path) -> None:
    folder = write_song(tmp_path, "A", SONG)
    (track,) = find_extra_tracks(tmp_path, MUSDB18, [])
    for rate_hz, n_samples, message in ((RATE_HZ, 300, "its stems last from 300 to 441 samples"), (22_050, 441, "found 22050 Hz and 2")):
        sf.write(folder / "A_STEMS/A_STEM_02.wav", np.full((n_samples, 2), 0.1), rate_hz)
        with pytest.raises(InputError, match=message):
            prepare([with_sources(track)], Form(("vocals",), True, RATE_HZ), tmp_path / "prepared", "job")


# --- weights


@pytest.mark.parametrize(
    ("songs", "reason"),
    [
        (["Zoe - Last", "Ann - First"], r" \(all 100 songs of DSD100 are in MUSDB18, .*\)"),
        (["051 - Ann - First", "001 - Zoe - Last"], ""),
    ],
)
def test_weights_that_have_heard_a_test_song_are_refused(tmp_path: Path, songs: list[str], reason: str) -> None:
    """Those of a training on MUSDB18 for a test on DSD100, too."""
    checkpoint = tiny_checkpoint()
    signals = {name: np.full((1, 4000), 0.1) for name in ("mixture", "vocals", "accompaniment")}
    tracks = [write_prepared_track(tmp_path / "prepared", name, signals) for name in ("001 - Zoe - Last", "002 - Bob - Other")]
    path = tmp_path / "checkpoint.safetensors"

    def separated_after(songs: list[str]) -> None:
        metadata = {"recipe": checkpoint.recipe.system_values(), "provenance": {"songs": songs}}
        write_tensors(path, checkpoint.network.state_dict(), metadata)
        separate(path, tracks, tmp_path / "estimates", "job", "cpu", 1)

    with pytest.raises(
        InputError, match=rf"was trained on 1 of the test songs, such as '001 - Zoe - Last'{reason}; train on other songs\."
    ):
        separated_after(songs)
    assert not (tmp_path / "estimates/test").exists()
    separated_after(["051 - Ann - First"])
    assert len(list((tmp_path / "estimates/test").iterdir())) == 2


def test_weights_say_which_songs_they_have_heard(tracks: list[PreparedTrack], tmp_path: Path) -> None:
    recipe = tiny_recipe(training={"n_epochs": 1, "validation": True})
    train(recipe, tracks, [tracks[0].slug], tmp_path / "training", Options("cpu", 1, 600))
    write_checkpoint(tmp_path / "training", recipe, tmp_path / "checkpoint.safetensors")
    provenance = read_tensors(tmp_path / "checkpoint.safetensors")[1]["provenance"]
    assert sorted(provenance["songs"]) == sorted(track.name for track in tracks)
