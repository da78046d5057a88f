"""Describe a reproduction check in words."""

from typing import Any

from madsep.comparison.reproduction import (
    LEVEL,
    MARGINS,
    MIN_SHARE,
    NOT_REPRODUCED,
    SHARE_WITHIN,
    TRIM,
    UNDECIDED,
    Reproduction,
)
from madsep.comparison.runs import named

N_FARTHEST = 5
CONFIDENCE = f"{1 - 2 * LEVEL:.0%}"
WITHIN = f"{SHARE_WITHIN:.0%} of the tracks differ by no more"
LIMITS = "; ".join(f"{metric} {margin.difference:g} dB, distance {margin.distance:g} dB" for metric, margin in MARGINS.items())
HOW = f"""BSSEval v4; frames=median. Differences are run - published, track by track, in dB; n: tracks with a number.
Difference: {TRIM:.0%} trimmed mean over tracks. Distance: {WITHIN}. Both with {CONFIDENCE} intervals.
Reproduced: in {" and ".join(MARGINS)} of every target, the difference's interval lies within +-margin (two one-sided tests
at {LEVEL:.0%}) and the distance's interval below its limit, on at least {MIN_SHARE:.0%} of the published tracks.
Margins: {LIMITS}.
Not reproduced: one of these intervals lies wholly outside. Undecided: anything else; these tracks cannot tell.
p: for the hypothesis that the difference is at least as large as the margin. A small p speaks for equivalence.
"Reproduced" means equal within these margins, not identical. ISR and SAR are shown but not judged."""
# their authors' code separated only whole batches
ENDING_IN_SILENCE = ("MDL1", "MDLT")


def headline(found: Reproduction) -> str:
    """Return the verdict in one line, with the metrics that prevent a better one and the targets that lack tracks."""
    trainings = f" ({found.n_trainings} trainings)" if found.n_trainings > 1 else ""
    text = f"{found.run}{trainings} against the published {found.published}: {found.verdict}"
    judged = found.summary[found.summary["metric"].isin(list(MARGINS))]
    rows = {verdict: judged[judged["verdict"] == verdict] for verdict in (NOT_REPRODUCED, UNDECIDED)}
    listed = {verdict: ", ".join(of["target"] + " " + of["metric"]) for verdict, of in rows.items() if len(of)}
    if found.verdict in listed:
        text += f" ({listed.pop(found.verdict)})"
    text += "".join(f"; {verdict}: {names}" for verdict, names in listed.items())
    few = judged[judged["n_tracks"] < judged["n_published"]].drop_duplicates("target")
    for row in few.to_dict("records"):
        text += f"; {row['target']} on {row['n_tracks']} of {row['n_published']} tracks"
    return text


def reproduction_text(found: Reproduction, framing: str | None) -> str:
    """Return the text of a reproduction check. `framing` is that of the run, or None if it is not recorded."""
    paragraphs = [headline(found), "\n".join(map(_paired_line, found.summary.to_dict("records"))), HOW, _about_trainings(found)]
    for (target, metric), tracks in found.tracks.groupby(["target", "metric"], sort=False):
        if metric not in MARGINS:
            continue
        compared = tracks[tracks["difference_db"].notna()]
        lines = [_track_line(row) for row in compared[compared["difference_db"] != 0].head(N_FARTHEST).to_dict("records")]
        paragraphs.append("\n".join([f"Tracks that differ most in {target} {metric}:", *(lines or ["  none differs"])]))
        if len(compared) < len(tracks):
            absent = sorted(set(tracks["track"]) - set(compared["track"]))
            paragraphs.append(f"Tracks without a number in {target} {metric} of this run: {named(absent)}.")
    if found.published in ENDING_IN_SILENCE:
        paragraphs.append(
            f"The published files of {found.published} end in up to 5.6 s of silence, whose frames have no score.\n"
            f"Framing of this run: {framing or 'not recorded'}; `separation: {{framing: legacy}}` leaves out the same end."
        )
    return "\n\n".join(paragraphs) + "\n"


def _about_trainings(found: Reproduction) -> str:
    """Return a paragraph on what the verdict says about other trainings."""
    if found.n_trainings == 1:
        return (
            "One set of scores was compared, so the verdict holds for it alone. A training with another seed has other scores.\n"
            "`seeds` in the config trains a recipe several times. The intervals then include the spread over its trainings."
        )
    return (
        f"The scores are those of {found.n_trainings} trainings with different seeds. The intervals include the spread over trainings,\n"
        "the standard deviation of their differences. A track's distance is its mean over trainings.\n"
        "The published system is one training, whose own spread is not known."
    )


def _paired_line(row: dict[Any, Any]) -> str:
    name = f"{row['target']:<13} {row['metric']}"
    if row["n_tracks"] < 2:  # an interval needs two
        return f"{name}: n = {row['n_tracks']}, too few tracks with a number in this run: {row['verdict']}"
    difference = f"{row['difference']:+.3f} dB ({row['ci_low']:+.3f} .. {row['ci_high']:+.3f})"
    distance = f"{row['distance']:.3f} dB ({row['distance_ci_low']:.3f} .. {row['distance_ci_high']:.3f})"
    facts = [f"difference {difference}", f"distance {distance}"]
    if row["spread"] == row["spread"]:
        facts.append(f"spread {row['spread']:.3f} dB")
    if row["p_value"] == row["p_value"]:
        facts.append(f"p = {row['p_value']:.2g}")
    facts.append(f"n = {row['n_tracks']}")
    return f"{name}: {', '.join(facts)}: {row['verdict']}"


def _track_line(row: dict[Any, Any]) -> str:
    return f"  {row['difference_db']:+8.2f} dB  {row['track']} (run {row['run_db']:.2f}, published {row['published_db']:.2f})"
