"""Results published after SiSEC 2018: the rules of the table that ships, and every row against the collection it was made from."""

import re
from pathlib import Path

import pandas as pd
import pytest

from madsep.comparison.later import ASSUMED, AUDIO, NO_EXTRA, STATED, later_results, later_values
from madsep.comparison.published import published_kinds
from madsep.scoring.scores import TARGETS

MEDIANS = "cSDR-MM: BSSEval v4 (museval, 1 s win/hop), median over frames then median over tracks"
SPLEETER = (
    'paper: "standard source separation metrics"; code spleeter/__main__.py: museval.eval_mus_dir, np.median of tracks of median frames'
)
ONLY_SDR = 'cSDR-MM (source says only "SDR"/"median"; frame+track medians assumed'
AUDIO_OF = {
    "MUSDB18 (AAC stems)": "stems",
    "MUSDB18 (AAC stems) (not restated for UMXL)": "stems",
    "trained HQ; scored on MUSDB18 stems": "stems",
    "MUSDB18-HQ": "HQ",
    "MUSDB18 per paper; code reads wav (is_wav=True), so decoded stems or HQ": "stems or HQ",
}
LEFT_OUT = {  # pattern in a system's name -> why it is not listed although its averages are the campaign's
    r"= SiSEC18|oracle|mixture as every": "of the campaign, or no separator",
    r"per-frame JSONs kept by Demucs|as reprinted in Hybrid|scored by Hybrid|as printed by Spleeter": "listed from its own source",
    r"TRAINED ON THE TEST SET": "trained on the test set",
    r"conflicts|superseded": "contradicted or corrected",
    r"third-party": "a run or reprint by others of what is listed, or without an address",
    r"D3Net \+ extra \(as reprinted\)|thesis table|LaSAFT|YadongChen": "averages neither stated nor those of the papers it follows",
}


@pytest.fixture(scope="module")
def collected(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "data/later/published_after_2018.csv", keep_default_na=False)


def test_rules_of_the_table() -> None:
    table = later_results()
    assert len(table) > 50 and table["system"].is_unique and not set(table["system"]) & set(published_kinds())
    assert set(table["audio"]) == set(AUDIO) and set(table["recipe"]) == {STATED, ASSUMED}
    assert table["year"].between(2019, 2030).all() and table["n_trainings"].between(1, 10).all()
    assert all(re.fullmatch(rf"{NO_EXTRA}|private|[1-9]\d*", songs) for songs in table["extra_songs"])
    assert all(re.match(r"[\w.-]+/[\w.-]+ ", source) for source in table["source"])  # a repository and a place in it
    assert not table[["vocals", "drums", "bass", "other"]].isna().any(axis=None)
    assert (table[list(TARGETS)].isna() | table[list(TARGETS)].apply(lambda values: values.between(-3, 20))).all(axis=None)
    for pattern in LEFT_OUT:
        assert not table["system"].str.contains(pattern).any()


def test_rows_of_the_page() -> None:
    values = later_values()
    assert [row["system"] for row in values["rows"][:1]] == list(later_results().nlargest(1, "vocals")["system"])
    assert {row[name] for row in values["rows"] for name in ("audio",)} == set(values["filters"]["audio"])
    assert {row["extra"] for row in values["rows"]} == set(values["filters"]["extra"])
    assert {str(row["year"]) for row in values["rows"]} == set(values["filters"]["year"])
    rows = {row["system"]: row for row in values["rows"]}
    assert rows["Demucs v1"]["note"] == "mean of 5 trainings" and rows["Danna-Sep"]["note"] == "averages not stated"
    assert rows["Open-Unmix UMX"]["cells"][0] == {"value": "6.320", "text": "6.32"} and rows["Open-Unmix UMX"]["cells"][1]["text"] == "-"


def test_every_row_is_collected_with_the_campaigns_averages(collected: pd.DataFrame) -> None:
    for row in later_results().to_dict("records"):
        found = collected[(collected["system"] == row["system"]) & (collected["target"] != "average")]
        found = found[[source.startswith(row["source"]) for source in found["source"]]]
        found = found[[recipe.startswith((MEDIANS, SPLEETER, ONLY_SDR)) for recipe in found["metric_recipe"]]]
        assert dict(zip(found["target"], found["value_db"], strict=True)) == {t: row[t] for t in TARGETS if not pd.isna(row[t])}
        (recipe,), (data,), (extra,), (year,) = (set(found[c]) for c in ("metric_recipe", "data", "extra_data_songs", "year"))
        seeds = re.fullmatch(rf"{re.escape(MEDIANS)}(; mean of (\d) seeds)?", recipe)
        assert row["recipe"] == (ASSUMED if recipe.startswith(ONLY_SDR) else STATED)
        assert row["n_trainings"] == int((seeds and seeds[2]) or 1) and (seeds or recipe.startswith((SPLEETER, ONLY_SDR)))
        assert (row["audio"], row["year"]) == (AUDIO_OF[data], year)
        assert row["extra_songs"] == ("none" if extra == "0" else "private" if extra.startswith("private") else extra)


def test_whatever_has_the_campaigns_averages_is_listed_or_left_out_for_a_reason(collected: pd.DataFrame) -> None:
    recipes = tuple(recipe + end for recipe in (MEDIANS,) for end in ("", *(f"; mean of {n} seeds" for n in range(2, 6))))
    same = collected["metric_recipe"].map(lambda recipe: recipe in recipes or recipe.startswith((SPLEETER, ONLY_SDR)))
    cited = ~collected["source"].str.contains("without an address") & ~collected["data"].str.startswith("non-HQ")
    known = set(collected[same & cited & (collected["target"] != "average")]["system"])
    left_out = {system for system in known if any(re.search(pattern, system) for pattern in LEFT_OUT)}
    assert known - left_out == set(later_results()["system"])
