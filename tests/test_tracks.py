"""Finding MUSDB18 on disk: layouts, names and what is refused."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import musdb
import numpy as np
import pytest
import soundfile as sf
import yaml
from prepared_tracks import AWKWARD_NAMES, with_sources
from wavs import noise_stems, write_track

from madsep.core.errors import InputError
from madsep.data import tracks
from madsep.data.datasets import MIR1K, MUSDB18
from madsep.data.extra import find_extra_tracks
from madsep.data.inventory import read_inventory, write_inventory
from madsep.data.prepare import prepare
from madsep.data.prepared import Form
from madsep.data.tracks import Track, batches, find_tracks, slug_of

TRAIN_NAMES = [f"Artist {number:03d} - Song" for number in range(100)]


def add_wavs(folder: Path, n_samples: int = 100) -> None:
    folder.mkdir(parents=True)
    first = folder / "mixture.wav"
    sf.write(first, np.zeros((n_samples, 2)), 44_100, subtype="PCM_16")
    for stem in MUSDB18.stems[1:]:
        shutil.copy(first, folder / f"{stem}.wav")


def make_wav_tree(root: Path, train: list[str], test: list[str]) -> Path:
    for subset, names in (("train", train), ("test", test)):
        (root / subset).mkdir(parents=True)
        for name in names:
            add_wavs(root / subset / name)
    return root


def make_stem_tree(root: Path, train: list[str], test: list[str]) -> Path:
    for subset, names in (("train", train), ("test", test)):
        (root / subset).mkdir(parents=True)
        for name in names:
            (root / subset / f"{name}.stem.mp4").write_bytes(bytes(1220))
    return root


@pytest.fixture(scope="module")
def full_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wav_tree(tmp_path_factory.mktemp("full") / "musdb18hq", TRAIN_NAMES, MUSDB18.test_names())


def refuse(root: Path, message: str, allow_partial: bool = True) -> None:
    with pytest.raises(InputError, match=message):
        find_tracks(root, MUSDB18, allow_partial)


def test_test_names_are_the_campaigns(shared: Path) -> None:
    published = (shared / "data/sisec18/mus18_test_tracks.json").read_text()
    names = MUSDB18.test_names()
    assert len(names) == 50
    assert names == sorted(names)
    assert all(f'"{name}"' in published for name in names)


def test_musdbs_validation_tracks_are_held_out() -> None:
    setup = yaml.safe_load((Path(musdb.__file__).parent / "configs" / "mus.yaml").read_text())
    names = setup["validation_tracks"]
    assert tracks.validation_names([*names, "Artist - Song"]) == names and len(set(names)) == 14
    assert tracks.validation_names([names[3], "Artist - Song"]) == [names[3]]


@pytest.mark.parametrize(("n_tracks", "held_out"), [(1, [0]), (2, [0]), (8, [0, 7]), (100, list(range(0, 100, 7)))])
def test_of_other_tracks_every_seventh_is_held_out(n_tracks: int, held_out: list[int]) -> None:
    names = [f"Artist - {n:03d}" for n in range(n_tracks)]
    assert tracks.validation_names(names[::-1]) == [names[n] for n in held_out]


def test_full_wav_tree(full_tree: Path) -> None:
    found = find_tracks(full_tree, MUSDB18, allow_partial=False)
    assert [track.subset for track in found] == ["train"] * 100 + ["test"] * 50
    assert [track.name for track in found[100:]] == MUSDB18.test_names()
    place = full_tree / "train/Artist 000 - Song"
    assert found[0] == Track("Artist 000 - Song", "train", "wav", str(place), 100 / 44_100, "musdb18")
    assert found[0].source_files() == {stem: place / f"{stem}.wav" for stem in MUSDB18.stems}


def test_full_stem_tree_nested_one_folder_deeper(tmp_path: Path) -> None:
    make_stem_tree(tmp_path / "MUSDB18" / "MUSDB18", TRAIN_NAMES, MUSDB18.test_names())
    (tmp_path / "MUSDB18" / "README.txt").touch()
    (tmp_path / "MUSDB18" / "MUSDB18" / "train" / "._Artist 000 - Song.stem.mp4").touch()
    found = find_tracks(str(tmp_path / "MUSDB18"), MUSDB18, allow_partial=False)
    assert [track.subset for track in found] == ["train"] * 100 + ["test"] * 50
    assert found[-1].name == "Zeno - Signs"
    assert found[-1].path == str(tmp_path / "MUSDB18/MUSDB18/test/Zeno - Signs.stem.mp4")
    assert {(track.layout, track.duration_s) for track in found} == {("stems", 0.01)}


def test_names_are_sorted_without_the_suffix(tmp_path: Path) -> None:
    root = make_stem_tree(tmp_path, ["A", "A - B", "A!"], ["Triviul feat. The Fiend - Widow"])
    assert [track.name for track in find_tracks(root, MUSDB18, True)] == ["A", "A - B", "A!", "Triviul feat. The Fiend - Widow"]


def test_stem_duration_is_right_within_a_third_or_so(shared: Path, tmp_path: Path) -> None:
    for subset in ("train", "test"):
        shutil.copytree(shared / "data/musdb_sample/train", tmp_path / subset)
    real = next((tmp_path / "test").iterdir())
    real.rename(real.with_name("Other - Song.stem.mp4"))
    assert [track.duration_s for track in find_tracks(tmp_path, MUSDB18, True)] == pytest.approx([6.8, 6.8], rel=0.4)


def test_wrong_roots(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", r"gone: no such folder; give the folder that holds MUSDB18's train/ and test/")
    (tmp_path / "file").touch()
    refuse(tmp_path / "file", "file: is a file")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", "empty: is empty")
    refuse(tmp_path, r"no train/ and test/ in it, only 'empty', 'file';")


def test_missing_subset_folder(tmp_path: Path) -> None:
    make_wav_tree(tmp_path, ["A"], ["B"])
    shutil.rmtree(tmp_path / "test")
    refuse(tmp_path, "the folder test/ is missing")


def test_no_tracks(tmp_path: Path) -> None:
    refuse(make_wav_tree(tmp_path, ["A"], []), r"test: holds no tracks; expected \*\.stem\.mp4 files or folders")


def test_several_data_sets(tmp_path: Path) -> None:
    make_wav_tree(tmp_path / "MUSDB18", ["A"], ["B"])
    make_wav_tree(tmp_path / "MUSDB18-HQ", ["A"], ["B"])
    refuse(tmp_path, r"holds several data sets \('MUSDB18', 'MUSDB18-HQ'\)")


@pytest.mark.parametrize("name", ["A", "C"])
def test_mixed_layouts(tmp_path: Path, name: str) -> None:
    root = make_wav_tree(tmp_path, ["A"], ["B"])
    (root / "train" / f"{name}.stem.mp4").touch()
    refuse(root, "stem files and wav folders are mixed")


def test_every_missing_stem_is_named_up_to_five(tmp_path: Path) -> None:
    root = make_wav_tree(tmp_path, ["A", "It's (B) & C."], ["T"])
    (root / "train" / "A" / "bass.wav").unlink()
    (root / "test" / "T" / "mixture.wav").unlink()
    refuse(root, r"missing stems: '.*test/T/mixture\.wav', '.*train/A/bass\.wav'\. Every")
    for stem in MUSDB18.stems:
        (root / "train" / "It's (B) & C." / f"{stem}.wav").unlink()
    refuse(root, r"It's \(B\) & C\./drums\.wav'.* and 2 more\. Every")


def spread(root: Path, layout: str, suffix: str, subtype: str | None = None) -> Path:
    """Write the stems of a wav tree in the layout folders or flat, in another format; return the new root."""
    new = root.with_name(f"{root.name}-{layout}-{suffix}-{subtype}")
    for path in root.glob("*/*/*.wav"):
        subset, name, stem = path.relative_to(root).with_suffix("").parts
        place = new / subset / (f"{name}/{stem}{suffix}" if layout == "folders" else f"{name}_{stem}{suffix}")
        place.parent.mkdir(parents=True, exist_ok=True)
        sf.write(place, *sf.read(path), subtype=subtype)
    return new


@pytest.mark.parametrize(
    ("layout", "suffix", "subtype"),
    [("folders", ".flac", None), ("flat", ".wav", "FLOAT"), ("flat", ".flac", "PCM_24"), ("flat", ".wav", None)],
)
def test_other_layouts_and_formats_are_prepared_alike(tmp_path: Path, layout: str, suffix: str, subtype: str | None) -> None:
    root = tmp_path / "data"
    for number, place in enumerate(("train/A_b - Mix", "test/It's (B) & C.")):
        write_track(root / place, noise_stems(number, 0.1))
    other = spread(root, layout, suffix, subtype)
    arrays = []
    for tree in (root, other):
        found = [with_sources(track) for track in find_tracks(tree, MUSDB18, allow_partial=True)]
        assert [(track.name, track.subset, track.layout) for track in found] == [
            ("A_b - Mix", "train", "wav"),
            ("It's (B) & C.", "test", "wav"),
        ]
        assert {track.duration_s for track in found} == {0.1}
        assert all(path.is_file() for track in found for path in track.source_files().values())
        write_inventory(found, tmp_path / "inventory.json")
        assert [*read_inventory(tmp_path / "inventory.json").values()] == found
        folder = tmp_path / f"prepared-{tree.name}"
        prepare(found, Form(("mixture", *MUSDB18.stems[1:]), False, 44_100), folder, "job")
        arrays.append([np.load(folder / f"{track.slug}.npy") for track in found])
    for one, two in zip(*arrays, strict=True):
        np.testing.assert_array_equal(one, two)


def test_missing_and_doubled_files_of_other_layouts_are_named(tmp_path: Path) -> None:
    root = make_wav_tree(tmp_path / "data", ["A"], ["B"])
    flat = spread(root, "flat", ".flac")
    (flat / "train/A_bass.flac").unlink()
    refuse(flat, r"missing stems: '.*train/A_bass\.wav'\. Every track has mixture, drums, bass, other, vocals as \.wav or \.flac\.")
    (flat / "train/A_bass.flac").touch()
    (flat / "train/A_bass.wav").touch()
    refuse(flat, r"train/A_bass\.wav: holds the bass of A, and so does .*train/A_bass\.flac; take one of them away\.")
    (root / "test/B/mixture.flac").touch()
    refuse(root, r"test/B/mixture\.wav: holds the mixture of B, and so does .*test/B/mixture\.flac")
    (root / "test/B/mixture.flac").unlink()
    shutil.copy(root / "train/A/bass.wav", root / "train/C_bass.wav")
    refuse(root, r"files <track>_<stem> and wav folders are mixed; keep only one layout")


def test_what_is_no_stem_of_the_data_set_is_no_matter(tmp_path: Path) -> None:
    root = make_wav_tree(tmp_path, ["A"], ["B"])
    for name in ("accompaniment.wav", "instrumental.wav", "no_vocals.flac", "notes.txt"):
        (root / "train/A" / name).touch()
    assert all(not track.files for track in find_tracks(root, MUSDB18, allow_partial=True))


def test_unreadable_mixture(tmp_path: Path) -> None:
    root = make_wav_tree(tmp_path, ["A"], ["B"])
    (root / "train" / "A" / "mixture.wav").write_text("text")
    refuse(root, r"train/A/mixture\.wav: cannot be read as audio")


def test_partial_sets_must_be_allowed(tmp_path: Path) -> None:
    root = make_wav_tree(tmp_path, ["A"], ["B", "Zeno - Signs"])
    expected = r"found 1 training and 2 test tracks, expected 100 and 50"
    missing = r"missing test tracks: 'AM Contra - Heart Peripheral', .* and 44 more; unexpected test tracks: 'B'\."
    refuse(root, f"{expected}; {missing}\n.*allow_partial: true", allow_partial=False)
    assert len(find_tracks(root, MUSDB18, allow_partial=True)) == 3


def test_one_training_track_missing(full_tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(full_tree, root)
    shutil.rmtree(root / "train" / TRAIN_NAMES[7])
    refuse(root, r"found 99 training and 50 test tracks, expected 100 and 50\.\n", allow_partial=False)


@pytest.mark.parametrize("leaked", ["B", "Zeno - Signs"])
@pytest.mark.parametrize("allow_partial", [True, False])
def test_test_tracks_are_refused_in_training(tmp_path: Path, leaked: str, allow_partial: bool) -> None:
    root = make_wav_tree(tmp_path, ["A", leaked], ["B"])
    refuse(root, f"test tracks lie among the training tracks: '{leaked}'", allow_partial)


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wav_tree(tmp_path / "data", ["A"], ["B"])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(find_tracks("~/data", MUSDB18, True)) == 2


def make_mir1k(root: Path, train: list[str], test: list[str]) -> Path:
    for subset, names in (("train", train), ("test", test)):
        for name in names:
            (root / subset / name).mkdir(parents=True)
            for stem in MIR1K.stems:
                sf.write(root / subset / name / f"{stem}.wav", np.zeros(160), 16_000)
    return root


def test_mir1k(tmp_path: Path) -> None:
    make_mir1k(tmp_path, ["abjones_1_01", "amy_1_01"], ["Ani_1_01"])
    found = find_tracks(tmp_path, MIR1K, allow_partial=True)
    assert found[2] == Track("Ani_1_01", "test", "wav", str(tmp_path / "test/Ani_1_01"), 0.01, "mir1k")
    assert [track.name for track in found] == ["abjones_1_01", "amy_1_01", "Ani_1_01"]
    with pytest.raises(
        InputError, match=r"found 2 training and 1 test tracks, expected 175 and 825\.\nIf this is meant, set allow_partial"
    ):
        find_tracks(tmp_path, MIR1K, allow_partial=False)
    (tmp_path / "test/Ani_1_01/accompaniment.wav").unlink()
    with pytest.raises(InputError, match=r"Ani_1_01/accompaniment\.wav'\. Every track has mixture, accompaniment, vocals as \.wav"):
        find_tracks(tmp_path, MIR1K, allow_partial=True)


def test_all_of_mir1k_needs_no_leave(tmp_path: Path) -> None:
    one = make_mir1k(tmp_path / "one", ["a"], []) / "train/a"
    for subset, count in (("train", 175), ("test", 825)):
        (tmp_path / "all" / subset).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "all" / subset / f"{subset}_{number}").symlink_to(one)
    assert len(find_tracks(tmp_path / "all", MIR1K, allow_partial=False)) == 1000


def test_mir1k_as_it_is_handed_out_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "Wavfile").mkdir()
    (tmp_path / "Wavfile" / "Ani_1_01.wav").touch()
    with pytest.raises(InputError, match=r"no train/ and test/ in it, only 'Wavfile'; .*'madsep import-mir1k' makes it"):
        find_tracks(tmp_path, MIR1K, allow_partial=True)


def test_mir1k_has_no_stem_files(tmp_path: Path) -> None:
    make_stem_tree(tmp_path, ["A"], ["B"])
    with pytest.raises(InputError, match=r"holds no tracks; expected folders with mixture, accompaniment, vocals as \.wav"):
        find_tracks(tmp_path, MIR1K, allow_partial=True)


def make_track(name: str, duration_s: float) -> Track:
    return Track(name, name.rstrip("0123456789"), "wav", name, duration_s, "musdb18")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Angels In Amplifiers - I'm Alright", "angels-in-amplifiers-i-m-alright-"),
        ("Beyonc\u00e9", "beyonce-"),
        ("\u6f22\u5b57", ""),
        ("-", ""),
        ("{bar} <b>", "bar-b-"),
        ("x" * 250, "x" * 48 + "-"),
        ("x" * 47 + " y", "x" * 47 + "-"),
    ],
)
def test_a_slug_is_readable_and_ends_with_a_digest_of_the_exact_name(name: str, words: str) -> None:
    assert slug_of(name) == words + hashlib.sha256(name.encode()).hexdigest()[:8]


def test_no_two_names_share_a_slug_and_each_is_safe_for_rules_and_shells() -> None:
    names = [*AWKWARD_NAMES, *MUSDB18.test_names(), "zeno - signs", "Zeno  Signs"]
    slugs = {slug_of(name) for name in names}
    assert len(slugs) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) and len(slug) <= 57 for slug in slugs)


def test_batches_by_hand() -> None:
    durations = {"train001": 3, "train002": 3, "train003": 5, "train004": 9, "test001": 1, "test002": 4, "test003": 1}
    found = tracks.batches([make_track(name, duration_s) for name, duration_s in durations.items()], 6)
    assert [[track.name for track in batch] for batch in found] == [
        ["train001", "train002"],
        ["train003"],
        ["train004"],
        ["test001", "test002", "test003"],
    ]
    slugs = {name: slug_of(name) for name in durations}
    assert [tracks.batch_name(batch) for batch in found] == [
        f"{slugs['train001']}--{slugs['train002']}",
        slugs["train003"],
        slugs["train004"],
        f"{slugs['test001']}--{slugs['test003']}",
    ]
    assert tracks.batches([], 6) == []


def test_errata_tracks_of_the_test_set_have_the_campaigns_names() -> None:
    assert set(MUSDB18.errata) >= MUSDB18.unsummed
    in_test = {"Al James - Schoolboy Facination", "BKS - Bulldozer", "Detsky Sad - Walkie Talkie", "PR - Oh No"}
    assert set(MUSDB18.errata) & set(MUSDB18.test_names()) == in_test | {"Enda Reilly - Cur An Long Ag Seol"}


# --- further training tracks


def make_extra(root: Path, *names: str) -> Path:
    for name in names:
        add_wavs(root / "train" / name, 441)
    return root


def refuse_extra(root: Path, message: str, known: list[str] | None = None) -> None:
    with pytest.raises(InputError, match=message):
        find_extra_tracks(root, MUSDB18, known or [])


def test_extra_tracks_are_a_subset_of_their_own(tmp_path: Path) -> None:
    root = make_extra(tmp_path / "extra", "Zoe - Last", "Ann & Co. - First", "Bob - Second")
    (root / "train" / "notes.txt").touch()
    (root / "train" / ".hidden").mkdir()
    add_wavs(root / "test" / "Cy - Not taken")
    found = find_extra_tracks(str(root), MUSDB18, ["Zoe - Other"])
    assert found == [
        Track(name, "extra", "wav", str(root / "train" / name), 0.01, "musdb18")
        for name in ("Ann & Co. - First", "Bob - Second", "Zoe - Last")
    ]


def test_extra_stem_files(tmp_path: Path) -> None:
    root = make_stem_tree(tmp_path / "extra", ["B - Two", "A - One"], [])
    found = find_extra_tracks(root, MUSDB18, [])
    assert [(track.name, track.layout, track.subset) for track in found] == [("A - One", "stems", "extra"), ("B - Two", "stems", "extra")]
    assert found[0].source_files() == {"stems": root / "train/A - One.stem.mp4"}


@pytest.mark.parametrize("folder", ["", "train", "test/A - B", "A - B"])
def test_no_extra_tracks(tmp_path: Path, folder: str) -> None:
    root = tmp_path / "extra"
    if folder:
        (root / folder).mkdir(parents=True)
    refuse_extra(root, r"extra_root: .*extra/train holds no tracks; expected folders with mixture, drums, bass, other, vocals as \.wav")


def test_extra_tracks_that_are_the_data_sets_own_are_refused(tmp_path: Path) -> None:
    root = make_extra(tmp_path / "extra", "Ann - A", "Zeno - Signs", TRAIN_NAMES[3])
    message = r"extra/train holds tracks of MUSDB18 itself: {}; take them away"
    refuse_extra(root, message.format("'Zeno - Signs'"))  # a test track, known or not
    refuse_extra(root, message.format(f"'{TRAIN_NAMES[3]}', 'Zeno - Signs'"), TRAIN_NAMES)
    shutil.rmtree(root / "train" / "Zeno - Signs")
    refuse_extra(root, message.format(f"'{TRAIN_NAMES[3]}'"), TRAIN_NAMES)
    assert len(find_extra_tracks(root, MUSDB18, [])) == 2


def test_an_extra_track_that_lacks_a_stem_is_refused(tmp_path: Path) -> None:
    root = make_extra(tmp_path / "extra", "Ann - A", "Bob - B")
    (root / "train/Bob - B/bass.wav").unlink()
    refuse_extra(root, r"missing stems: '.*train/Bob - B/bass\.wav'\. Every track has mixture")
    (root / "train/Bob - B/bass.wav").write_text("there")
    (root / "train/Ann - A/mixture.wav").write_text("no audio")
    refuse_extra(root, r"Ann - A/mixture\.wav: cannot be read as audio")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    make_wav_tree(tmp_path / "data", ["A"], ["B"])
    source = tmp_path / "data/test/B"
    source.rename(source.with_name(os.fsdecode(b"Caf\xe9")))
    with pytest.raises(InputError, match=r"the track 'Caf\\udce9' has a name that is not UTF-8.*rename it"):
        find_tracks(tmp_path / "data", MUSDB18, allow_partial=True)


def test_a_job_holds_tracks_of_one_subset() -> None:
    tracks = [Track(name, subset, "wav", name, 1.0, "musdb18") for name, subset in (("A", "train"), ("B", "train"), ("C", "test"))]
    assert [[track.name for track in batch] for batch in batches(tracks, 100)] == [["A", "B"], ["C"]]
