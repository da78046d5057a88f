"""Generate a submission's description.md after the campaign's template. The text on the method follows from the settings."""

from collections.abc import Mapping
from typing import Any

from madsep.core.settings import Augmentation, FrontEnd, Segments, Training
from madsep.systems.recipe import Recipe

WINDOWS = {"hamming": "Hamming", "hann": "Hann", "bartlett": "Bartlett", "blackman_harris": "Blackman-Harris"}
TARGETS = {
    "irm_background": "X V / (V + B), where X, V and B are the magnitudes of the mixture, the voice and the mixture minus the voice",
    "irm_mixture_x2": "2 X V / (V + X), where X and V are the magnitudes of the mixture and the voice",
    "magnitude": "the magnitude of each source",
}


def describe(recipe: Recipe, scoring: Mapping[str, Any], authors: Mapping[str, str | None]) -> str:
    """Return the text of description.md for `recipe`.

    `scoring` holds the engine and its audit. `authors` holds authors, affiliations and contact. Each of them may be None.
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
    front_end, segments = recipe.front_end, recipe.segments
    return (
        f"Front end: the magnitude of the short-time Fourier transform at {front_end.sample_rate_hz} Hz, with a {_window(front_end)}, "
        f"zero-padded to {front_end.fft_length} samples, and a hop of {front_end.hop_length} samples, which gives {front_end.n_bins} bins. "
        f"Sequences have {segments.n_frames} frames. The {segments.n_context} frames at either end are context only.{_overlap(segments)}"
    )


def _window(front_end: FrontEnd) -> str:
    kind = "periodic" if front_end.periodic else "symmetric"
    divisor = {"sqrt_fft_length": f" divided by sqrt({front_end.fft_length})", "window_sum": " divided by its sum", "one": ""}
    gain = "" if front_end.gain == 1 else f" and multiplied by {front_end.gain}"
    name = WINDOWS[front_end.window]
    return f"{kind} {name} window of {front_end.window_length} samples{divisor[front_end.scale]}{gain}"


def _overlap(segments: Segments) -> str:
    return f" Neighbouring sequences share {segments.overlap} estimated frames, which are cross-faded." if segments.overlap else ""


def _network(recipe: Recipe) -> str:
    settings = "; ".join(f"{key} {value}" for key, value in recipe.network.model_dump(mode="json").items())
    return f"Network: {recipe.trained_family.method_of(recipe.network)} Settings: {settings}."


def _training(recipe: Recipe) -> str:
    training, target = recipe.training, recipe.target
    loss = "".join(f"; {key} {value}" for key, value in recipe.loss.model_dump(mode="json").items())
    family, extra = recipe.trained_family, " and further tracks" if training.extra_tracks else ""
    normalisation = "standardised in each bin" if family.standardises else "not normalised"
    of_each = " of each network" if family.clips_parts else ""
    tracks = (
        f"all training tracks{extra} are used, and the last epoch is kept"
        if not training.validation
        else f"some training tracks are held out for validation, all others{extra} are used, and the {training.selection} epoch is kept"
    )
    return (
        f"Training: the target is {TARGETS[target.definition]}, {_bound(target.clip)}. The input is {_bound(target.input_clip)}. "
        f"Cost: {family.cost}{loss}. Optimiser: {training.optimiser.capitalize()} with a learning rate of {_rate(training)}, "
        f"for {training.n_epochs} epochs with batches of {training.batch_size} sequences and seed {training.seed}. "
        f"The gradient norm{of_each} is {_bound(training.gradient_norm_clip)}. Matrix products are computed in {training.precision}. "
        f"Data: {tracks}. Channels are averaged, and {training.edge_frames_dropped} frames at either end of each track are left out."
        f"{_blocks(training.block_s)} {_augmentation(training.augmentation)} Inputs: {normalisation}. There is no dropout."
    )


def _blocks(block_s: float | None) -> str:
    return "" if block_s is None else f" Of each block of {block_s} s, the first sequences are used, as many as DeepConvSep's code counts."


def _bound(clip: float | None) -> str:
    return "not clipped" if clip is None else f"clipped at {clip}"


def _rate(training: Training) -> str:
    rate, plateau = training.learning_rate, training.plateau
    if training.final_learning_rate is not None:
        return f"{rate}, which falls to {training.final_learning_rate} along half a cosine"
    if plateau is None:
        return f"{rate}, which is constant"
    return (
        f"{rate}, which is multiplied by {plateau.factor} after {plateau.patience} epochs without progress from epoch {plateau.first_epoch}"
    )


def _augmentation(augmentation: Augmentation | None) -> str:
    if augmentation is None:
        return "There is no augmentation."
    whose = "the accompaniments of randomly drawn tracks" if augmentation.other_accompaniments else "their own accompaniments"
    shifted = " after a random shift" if augmentation.circular_shift else ""
    speeds = f" Both are played at speeds of 1 +- {augmentation.speed}." if augmentation.speed else ""
    gains = f" with gains of up to +-{augmentation.gain_db} dB"
    return f"Augmentation: in each epoch, voices are mixed with {whose}{shifted},{gains}.{speeds}"


def _separation(recipe: Recipe) -> str:
    separation = recipe.separation
    channels = (
        "each channel is separated alone" if separation.channels == "each" else "the masks of the channels' mean apply to all channels"
    )
    phase = (
        "the mixture's phase"
        if separation.griffin_lim_iterations == 0
        else f"{separation.griffin_lim_iterations} iterations of Griffin and Lim's algorithm, starting from the mixture's phase"
    )
    framing = "Every frame is estimated." if separation.framing == "full" else "The last incomplete batch of sequences is left silent."
    threshold = separation.latent_threshold
    latent = "" if threshold == 0 else f" Entries of H_dec with a magnitude of up to {threshold} are set to zero."
    rest = "the mixture minus the vocals" if recipe.estimated == ("vocals",) else "the sum of the other stems"
    return (
        f"Separation: {channels}, with {phase}. {framing}{latent} Matrix products are computed in {separation.precision}. "
        f"The accompaniment is {rest} in the time domain."
    )


def _scoring(scoring: Mapping[str, Any]) -> str:
    by_museval = "museval (BSSEval v4, with a window and a hop of 1 s)"
    if scoring["engine"] == "museval":
        return f"Scores: {by_museval}."
    text = f"Scores: madsep's own engine, which gives the same numbers as {by_museval}"
    differences = scoring.get("audit_by_museval", {}).get("worst_difference_db", {})
    if not differences:
        return f"{text}."
    worst = max(differences.values())
    return f"{text}. museval scored {_counted(len(differences))} again and differed by at most {worst:.1e} dB."


def _counted(n_tracks: int) -> str:
    return "1 track" if n_tracks == 1 else f"{n_tracks} tracks"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
