"""What is known of the data sets that a run can work on: their stems, their format, their tracks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

STEMS = ("vocals", "drums", "bass", "other")
TARGETS = ("vocals", "accompaniment")  # what a system that estimates the voice gives
ALL_TARGETS = (*STEMS, "accompaniment")
BASELINE = "MIX"  # SiSEC's floor, scored in every run: the estimate of each source is a fourth of the mixture


@dataclass(frozen=True)
class Dataset:
    """A data set in the folder layout <root>/{train,test}/<track>/<stem>.wav (or, for MUSDB18, one stem file per track).

    The accompaniment is the sum of all `stems` but the mixture and the vocals.
    """

    name: str  # in the config
    title: str  # in messages
    stems: tuple[str, ...]  # in the order of a stem file's streams
    sample_rate_hz: int
    n_channels: int
    n_train: int
    n_test: int
    test_list: str | None  # file in madsep/data with the names of the test tracks; None: they are only counted
    has_stem_files: bool
    errata: Mapping[str, str]  # of tracks, by name
    unsummed: frozenset[str]  # tracks whose mixture may differ from the sum of the stems
    page: str
    how_to_get: str

    def test_names(self) -> list[str]:
        """Names of the test tracks, sorted; none if the data set has no list of them."""
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
    errata={  # of the data set's page and its issue tracker (github.com/sigsep/website)
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
)

DATASETS = {dataset.name: dataset for dataset in (MUSDB18, MIR1K)}
