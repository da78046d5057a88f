"""description.md of a submission, after the campaign's template; the method's text is generated from the settings that ran."""

from collections.abc import Mapping
from typing import Any

from madsep.core.settings import Augmentation, FrontEnd, Segments, Training
from madsep.systems.recipe import Recipe

WINDOWS = {"hamming": "Hamming", "hann": "Hann", "bartlett": "Bartlett", "blackman_harris": "Blackman-Harris"}
TARGETS = {
    "irm_background": "X V / (V + B), for the magnitudes X, V and B of mixture, voice and background (mixture minus voice)",
    "irm_mixture_x2": "2 X V / (V + X), for the magnitudes X and V of mixture and voice",
    "magnitude": "the magnitude of each source",
}


def describe(recipe: Recipe, scoring: Mapping[str, Any], authors: Mapping[str, str | None]) -> str:
    """Return the text of description.md for `recipe`.

    `scoring` is the engine and its audit; `authors` gives authors, affiliations and contact, or None for each.
    """
    text = recipe.description
    names = authors["authors"] or f"Reproduction with madsep of the system by {text.original_authors}"
    paragraphs = "\n\n".join((_front_end(recipe), _network(recipe), _training(recipe), _separation(recipe), _scoring(scoring)))
    references = "\n\n".join(f"{number} {reference}" for number, reference in enumerate(text.references, start=1))
    return f"""# {recipe.short_name} <!-- Your submission short name in <=4 characters -->
{names} <!-- Authors -->

{authors["affiliations"] or "Affiliations not given"} <!-- Affiliations -->

Contact: {authors["contact"] or "not given"} <!-- one corresponding mail address -->

## Additional Info

* __is_blind:__ {_yes(text.is_blind)}  <!-- if you used supervised learning, answer no -->
* __additional_training_data:__ {_yes(text.additional_training_data)}  <!-- if you used more data than musdb -->

## Supplemental Material

* __Code:__ {text.code}
* __Demos:__ {text.demos}

## Method

{text.title}.{_note(text.note)}

{paragraphs}

## References

{references}
"""


def _note(note: str | None) -> str:
    return f" {note}" if note else ""


def _front_end(recipe: Recipe) -> str:
    front_end = recipe.front_end
    return (
        f"Front end: magnitude of the short-time Fourier transform at {front_end.sample_rate_hz} Hz, {_window(front_end)}, zero-padded to "
        f"{front_end.fft_length}, hop {front_end.hop_length}; {front_end.n_bins} bins. Sequences of {recipe.segments.n_frames} frames, of "
        f"which {recipe.segments.n_context} at either end are context{_overlap(recipe.segments)}."
    )


def _window(front_end: FrontEnd) -> str:
    kind = "periodic" if front_end.periodic else "symmetric"
    divisor = {"sqrt_fft_length": f" divided by sqrt({front_end.fft_length})", "window_sum": " divided by its sum", "one": ""}
    gain = "" if front_end.gain == 1 else f" and multiplied with {front_end.gain}"
    name = WINDOWS[front_end.window]
    return f"{kind} {name} window of {front_end.window_length} samples{divisor[front_end.scale]}{gain}"


def _overlap(segments: Segments) -> str:
    return f"; neighbours share {segments.overlap} estimated frames, cross-faded" if segments.overlap else ""


def _network(recipe: Recipe) -> str:
    settings = "; ".join(f"{key} {value}" for key, value in recipe.network.model_dump(mode="json").items())
    return f"Network: {recipe.trained_family.method_of(recipe.network)} Settings: {settings}."


def _training(recipe: Recipe) -> str:
    training, target = recipe.training, recipe.target
    loss = "".join(f"; {key} {value}" for key, value in recipe.loss.model_dump(mode="json").items())
    family, extra = recipe.trained_family, " and further tracks" if training.extra_tracks else ""
    normalisation = "inputs standardised in each bin" if family.standardises else "no normalisation"
    of_each = " of each network" if family.clips_parts else ""
    tracks = (
        f"all training tracks{extra}, without selection"
        if not training.validation
        else f"the training tracks{extra} but those held out for validation; the {training.selection} epoch is kept"
    )
    return (
        f"Training: target {TARGETS[target.definition]}, {_bound(target.clip)}; input {_bound(target.input_clip)}. Cost: {family.cost}"
        f"{loss}. {training.optimiser.capitalize()}, learning rate {_rate(training)}; batches of {training.batch_size} "
        f"sequences, gradient norm{of_each} {_bound(training.gradient_norm_clip)}, {training.n_epochs} epochs, seed {training.seed}; "
        f"products in {training.precision}; {tracks}. Mono mean of all channels; {training.edge_frames_dropped} frames at either end of a "
        f"track left out; {_augmentation(training.augmentation)}; {normalisation}, no dropout."
    )


def _bound(clip: float | None) -> str:
    return "not clipped" if clip is None else f"clipped at {clip}"


def _rate(training: Training) -> str:
    rate, plateau = training.learning_rate, training.plateau
    if training.final_learning_rate is not None:
        return f"{rate}, falling to {training.final_learning_rate} along half a cosine"
    if plateau is None:
        return f"{rate}, constant"
    return f"{rate}, multiplied by {plateau.factor} on a plateau of {plateau.patience} epochs, from epoch {plateau.first_epoch} on"


def _augmentation(augmentation: Augmentation | None) -> str:
    if augmentation is None:
        return "no augmentation"
    whose = "accompaniments of tracks drawn at random" if augmentation.other_accompaniments else "their own accompaniments"
    shifted = ", shifted at random" if augmentation.circular_shift else ""
    speeds = f", both at speeds of 1 +- {augmentation.speed}" if augmentation.speed else ""
    return f"voices mixed anew each epoch with {whose}{shifted}, with gains up to +-{augmentation.gain_db} dB{speeds}"


def _separation(recipe: Recipe) -> str:
    separation = recipe.separation
    phase = (
        "phase of the mixture"
        if separation.griffin_lim_iterations == 0
        else f"{separation.griffin_lim_iterations} iterations of Griffin and Lim's algorithm from the phase of the mixture"
    )
    latent = (
        "" if separation.latent_threshold == 0 else f" Entries of H_dec with magnitude up to {separation.latent_threshold} are set to zero."
    )
    framing = "every frame is estimated" if separation.framing == "full" else "the last incomplete batch of sequences is left silent"
    products = f"Products in {separation.precision}."
    channels = "each channel alone" if separation.channels == "each" else "masks of the channels' mean, applied to all"
    rest = "mixture minus vocals" if recipe.estimated == ("vocals",) else "the sum of the other stems"
    return f"Separation: {channels}, {phase}; {framing}.{latent} {products} Accompaniment: {rest} in the time domain."


def _scoring(scoring: Mapping[str, Any]) -> str:
    by_museval = "museval (BSSEval v4, window and hop of 1 s)"
    if scoring["engine"] == "museval":
        return f"Scores: {by_museval}."
    text = f"Scores: madsep's own engine, which gives the numbers of {by_museval}"
    differences = scoring.get("audit_by_museval", {}).get("worst_difference_db", {})
    if not differences:
        return f"{text}."
    return f"{text}; museval scored {len(differences)} tracks again and differed by at most {max(differences.values()):.1e} dB."


def _yes(value: bool) -> str:
    return "yes" if value else "no"
