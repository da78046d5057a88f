"""BSSEval v4 and v3, images mode: the engine of `bss_eval` and of the track scorers."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from madsep.bsseval import direct, energies
from madsep.bsseval.filters import Solution, System, solve_all
from madsep.bsseval.framing import Frame, frames
from madsep.bsseval.passes import Correlations, FrameCorrelator, correlate, correlate_frame, summarise
from madsep.bsseval.signals import Signal, as_signal
from madsep.bsseval.stretches import Estimate, Sources, Summary, scenario_silence
from madsep.core.errors import InputError

EPSILON = np.finfo(float).eps  # added to the diagonal of museval's normal equations; affects references below -90 dB
Scenario = tuple[int, ...]  # numbers of estimates that are scored together
BARELY = 1e-12  # artifacts below this share of the error are rounding: the estimate consists of filtered references


class BssEvalWarning(UserWarning):
    """Scores are finite and defined, but not meaningful. The message says why."""


@dataclass(frozen=True)
class Settings:
    """Settings of the engine: window and hop in samples (either may be infinite), filter taps, and v3 if `framewise_filters`."""

    window: float
    hop: float
    filters_len: int = 512
    framewise_filters: bool = False
    n_threads: int = 1


def bss_eval(
    references: Sequence[np.ndarray] | np.ndarray,
    estimates: Sequence[np.ndarray] | np.ndarray,
    window: float,
    hop: float,
    filters_len: int = 512,
    framewise_filters: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return SDR, ISR, SIR and SAR in dB, each (n_sources, n_frames), as `museval.metrics.bss_eval` does without permutations.

    `references` and `estimates` have shape (n_sources, n_samples, n_channels) or (n_sources, n_samples), or are sequences of (n_samples,
    n_channels). They may have any real type and may be memory maps. Shorter estimates are padded with zeros, longer ones cut. `window` and
    `hop` are in samples. An infinite window is the whole signal. `framewise_filters` gives BSS Eval v3, which computes filters for each
    frame.

    Scores are NaN in frames in which any reference or estimate is silent. Raises InputError for shapes that do not match, for a sample that
    is not finite and for a source that is silent throughout. Warns with BssEvalWarning if scores are not meaningful.
    """
    if len(references) != len(estimates):
        raise InputError(f"{len(references)} references and {len(estimates)} estimates: expected equal numbers.")
    names = [f"source {number + 1}" for number in range(len(references))]
    scorer = Scorer(names, [as_signal(one) for one in references], Settings(window, hop, filters_len, framewise_filters))
    made = [Estimate(name, as_signal(one), (number,)) for number, (name, one) in enumerate(zip(names, estimates, strict=True))]
    sdr, isr, sir, sar = scorer.score(made, [tuple(range(len(made)))])[0]
    return sdr, isr, sir, sar


class Scorer:
    """Scorer of any number of systems on one track. Computations that involve only the references are done once.

    Raises InputError if the references differ in shape or have no samples.
    """

    def __init__(self, names: Sequence[str], references: Sequence[Signal], settings: Settings) -> None:
        if settings.filters_len < 1 or settings.n_threads < 1:
            raise InputError(f"filters_len {settings.filters_len}, n_threads {settings.n_threads}: expected at least 1 of each.")
        self.settings = settings
        self._sources = Sources(tuple(names), tuple(references), ())
        self._sources.check()
        self._frames = frames(settings.window, settings.hop, self._sources.n_samples)
        self._known: Correlations | None = None

    def score(self, estimates: Sequence[Estimate], scenarios: Sequence[Scenario]) -> list[np.ndarray]:
        """Return SDR, ISR, SIR and SAR in dB for each scenario, each (4, estimates of the scenario, n_frames).

        The signals are read once for all scenarios. Scores are NaN in frames in which an estimate of the scenario, or its source, is
        silent.
        Raises InputError if one is silent throughout, or if a sample is not finite. Warns with BssEvalWarning, which names the source.
        """
        sources = Sources(self._sources.names, self._sources.references, tuple(estimates))
        sources.check()
        if self.settings.framewise_filters:
            return self._score_framewise(sources, scenarios)
        correlations = correlate(sources, self._frames, self.settings.filters_len, self.settings.n_threads, self._known)
        self._known = replace(correlations, differences=np.empty(0), total_differences=np.empty(0))
        assert correlations.whole is not None
        _refuse_silence(sources, correlations.whole)
        return [_score_scenario(sources, correlations, scenario, self._frames) for scenario in scenarios]

    def _score_framewise(self, sources: Sources, scenarios: Sequence[Scenario]) -> list[np.ndarray]:
        """Score each frame like a track, as BSS Eval v3 does."""
        _refuse_silence(sources, summarise(sources))
        length, n_threads = max(stop - start for start, stop in self._frames), self.settings.n_threads

        def some(thread: int) -> list[tuple[int, list[np.ndarray]]]:
            worker, found = FrameCorrelator(sources, self.settings.filters_len, length, True), []
            for number in range(thread, len(self._frames), n_threads):
                frame = self._frames[number]
                alone = correlate_frame(sources, frame, worker)
                found.append((number, [_score_scenario(sources, alone, scenario, [frame]) for scenario in scenarios]))
            return found

        with ThreadPoolExecutor(n_threads) as pool:
            found = sorted(chain.from_iterable(pool.map(some, range(n_threads))), key=lambda item: item[0])
        return [np.concatenate(parts, axis=2) for parts in zip(*(scores for _, scores in found), strict=True)]


def _refuse_silence(sources: Sources, whole: Summary) -> None:
    for number, estimate in enumerate(sources.estimates):
        for heard, what in ((whole.source_heard, "reference"), (whole.estimate_heard, "estimate")):
            if not heard[number]:
                raise InputError(f"The {what} of {estimate.name} is silent throughout; BSSEval is not defined for it.")


def _score_scenario(sources: Sources, correlations: Correlations, scenario: Scenario, framed: list[Frame]) -> np.ndarray:
    """Return scores (4, n_targets, n_frames) with NaN in frames that are left out."""
    scores = np.full((4, len(scenario), len(framed)), np.nan)
    heard = ~scenario_silence(correlations.summaries, scenario)
    if not heard.any():
        return scores
    filters = _filters(sources, correlations, scenario)
    found = _energies(sources, correlations, scenario, filters)
    for frame in np.flatnonzero(np.any([one.doubtful for one in found], axis=0) & heard).tolist():
        places = [place for place, one in enumerate(found) if one.doubtful[frame]]
        exact = direct.frame_energies(sources, [scenario[place] for place in places], framed[frame], [filters[place] for place in places])
        for place, values in zip(places, exact, strict=True):
            found[place].replace(frame, values)
    for place, number in enumerate(scenario):
        _warn_of_estimate(sources.estimates[number].name, found[place], heard)
        scores[:, place, heard] = energies.ratios(found[place])[:, heard]
    if len(scenario) == 1:  # no other source can interfere: museval divides by exactly zero
        scores[2, :, heard] = np.inf
    return scores


def _mixing(sources: Sources, scenario: Scenario) -> np.ndarray:
    """Return (channels of the scenario's sources, reference channels): 1 if a reference channel is part of a source's channel."""
    n_channels = sources.n_channels
    mixing = np.zeros((len(scenario), n_channels, len(sources.references), n_channels))
    for place, number in enumerate(scenario):
        for part in sources.estimates[number].parts:
            mixing[place, :, part] = np.eye(n_channels)
    return mixing.reshape(len(scenario) * n_channels, -1)


def _filters(sources: Sources, correlations: Correlations, scenario: Scenario) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return each target's filters onto all sources and onto its own, over the reference channels: (n_lags, m, n_channels)."""
    mixing, n_channels = _mixing(sources, scenario), sources.n_channels
    columns = [column for number in scenario for column in range(*sources.channels(number).indices(1 << 30))]
    lags = mixing @ correlations.total_references @ mixing.T
    products = mixing @ correlations.total_differences[:, :, columns]
    # museval solves (G + eps I) C = <x, s + d>; with C = delta + B that is (G + eps I) B = <x, d> - eps delta
    lags[0] += EPSILON * np.eye(len(mixing))
    products[0] -= EPSILON * np.eye(len(mixing))
    places = [slice(place * n_channels, (place + 1) * n_channels) for place in range(len(scenario))]
    systems = [System(lags, products)] + [System(lags[:, place, place], products[:, place, place]) for place in places]
    solutions = solve_all(systems)
    names = [sources.estimates[number].name for number in scenario]
    _warn_of_references(solutions[0], names, n_channels)
    for name, solution in zip(names, solutions[1:], strict=True):
        _warn_of_references(solution, [name], n_channels)
    together = mixing.T @ solutions[0].filters
    return [(together[:, :, place], mixing[place].T @ own.filters) for place, own in zip(places, solutions[1:], strict=True)]


def _energies(
    sources: Sources, correlations: Correlations, scenario: Scenario, filters: list[tuple[np.ndarray, np.ndarray]]
) -> list[energies.Energies]:
    """Return the energies of all targets in all frames, computed with two matrix products."""
    mixing, n_channels, n_frames = _mixing(sources, scenario), sources.n_channels, len(correlations.references)
    identities = [mixing[place * n_channels : (place + 1) * n_channels].T for place in range(len(scenario))]
    weights = np.stack([energies.target_forms(*pair, identity) for pair, identity in zip(filters, identities, strict=True)])
    values = correlations.references.reshape(n_frames, -1) @ weights.reshape(5 * len(scenario), -1).T
    crossed = np.zeros((len(scenario), *correlations.differences.shape[1:]))
    for place, number in enumerate(scenario):
        crossed[place, :, :, sources.channels(number)] = filters[place][0]
    products = correlations.differences.reshape(n_frames, -1) @ crossed.reshape(len(scenario), -1).T
    amplitudes = np.sqrt(np.stack([summary.channel_energy for summary in correlations.summaries]))
    found = []
    for place, number in enumerate(scenario):
        quadratic = values[:, 5 * place : 5 * place + 5].T
        source = np.array([summary.source_energy[number] for summary in correlations.summaries])
        distortion = np.array([summary.difference_energy[number] for summary in correlations.summaries])
        gross = energies.gross_amplitudes(*filters[place], identities[place]) @ amplitudes.T
        gross[4] += np.sqrt(distortion)
        artifacts = distortion - 2 * products[:, place] + quadratic[4]
        doubtful = (np.stack([*quadratic[:4], artifacts]) < energies.LOST_DIGITS * gross**2).any(axis=0)
        spatial, filtered, interference, projected, _ = quadratic
        found.append(energies.Energies(source, distortion, spatial, filtered, interference, projected, artifacts, doubtful))
    return found


def _warn_of_references(solution: Solution, names: list[str], n_channels: int) -> None:
    together, cause = " + ".join(names), "empty frequency bands, or delayed or filtered copies of one another"
    messages = [
        f"Reference {name}: a channel is a copy or a sum of other channels; projections are onto the span of all channels"
        for name in dict.fromkeys(names[channel // n_channels] for channel in solution.left_out)
    ]
    if solution.nearly_singular:
        messages.append(f"Reference {together}: nearly {cause}; the last digits of ISR, SIR and SAR are rounding errors, as in museval")
    if solution.noise_added:
        messages.append(f"Reference {together}: {cause}; ISR, SIR and SAR were computed with white noise 100 dB below each channel")
    for message in messages:
        warnings.warn(message, BssEvalWarning, stacklevel=2)


def _warn_of_estimate(name: str, found: energies.Energies, heard: np.ndarray) -> None:
    error, artifacts = found.distortion[heard].sum(), found.artifacts[heard].sum()
    if error == 0 or artifacts <= BARELY * error:
        what = "equals its reference" if error == 0 else "consists of filtered references"
        warnings.warn(f"Estimate of {name}: {what}; ratios above about 120 dB measure rounding errors", BssEvalWarning, stacklevel=2)
