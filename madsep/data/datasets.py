"""Properties of the supported data sets: stems, format, tracks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

STEMS = ("vocals", "drums", "bass", "other")
TARGETS = ("vocals", "accompaniment")  # the output of a system that estimates the voice
ALL_TARGETS = (*STEMS, "accompaniment")
SUBSETS = ("train", "test")
BASELINE = "MIX"  # SiSEC's baseline, scored in every run: the estimate of each source is a quarter of the mixture


PLAIN = {"train": "train", "test": "test"}


@dataclass(frozen=True)
class Dataset:
    """A data set in the folder layout <root>/{train,test}/<track>/<stem>.wav (or, for MUSDB18, one stem file per track).

    The accompaniment is the sum of all `stems` except the mixture and the vocals.
    """

    name: str  # in the config
    title: str  # in messages
    stems: tuple[str, ...]  # in the order of a stem file's streams
    sample_rate_hz: int
    n_channels: int
    n_train: int
    n_test: int
    test_list: str | None  # file in madsep/data with the names of the test tracks; None: only their number is checked
    has_stem_files: bool
    errata: Mapping[str, str]  # by track name
    unsummed: frozenset[str]  # tracks whose mixture may differ from the sum of the stems
    page: str
    how_to_get: str
    protocols: tuple[str, ...]  # protocols that can score it; the first is the default
    folders: Mapping[str, str] = field(default_factory=lambda: PLAIN)  # subset: folder of its mixtures, and by default of its stems
    sources: Mapping[str, str] | None = None  # subset: folder of its other stems, if it is a different one
    numbers: Mapping[str, range] | None = None  # subset: numbers with which the names of its tracks start
    mono_stems: bool = False  # stems may be mono and are then copied to both channels, as in the campaign's scripts

    @property
    def layout(self) -> str:
        """Layout of its wav folders on disk: `wav` if a track's folder contains all its stems, otherwise the data set's name."""
        return self.name if self.sources else "wav"

    def wav_files(self, folder: Path, layout: str) -> dict[str, Path]:
        """Return the wav of each stem, given the folder of the track's mixture. Additional tracks always have the layout `wav`."""
        if layout == "wav" or self.sources is None:
            return {stem: folder / f"{stem}.wav" for stem in self.stems}
        subset = next(subset for subset, where in self.folders.items() if Path(where).name == folder.parent.name)
        root = folder.parents[len(Path(self.folders[subset]).parts)]
        places = {"mixture": folder}
        return {stem: places.get(stem, root / self.sources[subset] / folder.name) / f"{stem}.wav" for stem in self.stems}

    def test_names(self) -> list[str]:
        """Return the sorted names of the test tracks, or an empty list if the data set has no list of them."""
        if self.test_list is None:
            return []
        names: list[str] = json.loads((resources.files("madsep") / "data" / self.test_list).read_text(encoding="utf-8"))
        return names

    @property
    def channels(self) -> str:
        """The number of channels in words."""
        return "mono (1 channel)" if self.n_channels == 1 else f"stereo ({self.n_channels} channels)"


MUSDB18 = Dataset(
    name="musdb18",
    title="MUSDB18",
    stems=("mixture", "drums", "bass", "other", "vocals"),
    sample_rate_hz=44_100,
    n_channels=2,
    n_train=100,
    n_test=50,
    test_list="musdb18_test.json",
    has_stem_files=True,
    errata={  # from the data set's page and its issue tracker (github.com/sigsep/website)
        "Al James - Schoolboy Facination": "vocals are mixed into the stem 'other'",
        "BKS - Bulldozer": "a cowbell is mixed into the stem 'other' (1:12)",
        "Chris Durban - Celebrate": "other instruments bleed into the vocals",
        "Detsky Sad - Walkie Talkie": "the stem 'other' is mixed into the drums",
        "Enda Reilly - Cur An Long Ag Seol": "speech at the start of the stem 'other'",
        "Hop Along - Sister Cities": "other instruments bleed into the vocals",
        "Leaf - Wicked": "an electric guitar is mixed into the drums (2:20, 3:02)",
        "PR - Oh No": "the sum of the sources is not the mixture in the left channel",
    },
    unsummed=frozenset({"PR - Oh No"}),
    page="https://sigsep.github.io/datasets/musdb.html",
    how_to_get="'make demo' runs without MUSDB18, on synthetic songs",
    protocols=("sisec18", "sisec16", "mdx21"),
)

# Liutkus et al., "The 2016 signal separation evaluation campaign", LVA/ICA 2017. The campaign's page calls the folders train and test, but
# their names are Dev and Test. The tracks of Test have the lower numbers.
DSD100 = Dataset(
    name="dsd100",
    title="DSD100",
    stems=("mixture", "vocals", "drums", "bass", "other"),
    sample_rate_hz=44_100,
    n_channels=2,
    n_train=50,
    n_test=50,
    test_list=None,
    has_stem_files=False,
    errata={},
    unsummed=frozenset(),
    page="https://sigsep.github.io/datasets/dsd100.html",
    how_to_get="'madsep synth FOLDER --layout dsd100' makes a synthetic one",
    protocols=("sisec16", "sisec18", "mdx21"),
    folders={"train": "Mixtures/Dev", "test": "Mixtures/Test"},
    sources={"train": "Sources/Dev", "test": "Sources/Test"},
    numbers={"train": range(51, 101), "test": range(1, 51)},
    mono_stems=True,
)

# Hsu and Jang, "On the improvement of singing voice separation for monaural recordings using the MIR-1K dataset", IEEE TASLP 18(2), 2010
MIR1K = Dataset(
    name="mir1k",
    title="MIR-1K",
    stems=("mixture", "accompaniment", "vocals"),
    sample_rate_hz=16_000,
    n_channels=1,
    n_train=175,
    n_test=825,
    test_list=None,
    has_stem_files=False,
    errata={},
    unsummed=frozenset(),
    page="https://sites.google.com/site/unvoicedsoundseparation/mir-1k",
    how_to_get="'madsep import-mir1k' makes it from MIR-1K's own folder",
    protocols=("mir1k",),
)

DATASETS = {dataset.name: dataset for dataset in (MUSDB18, DSD100, MIR1K)}
