"""The single pass over a track that computes the correlations of each frame and of the whole track."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import scipy.fft

from madsep.bsseval.correlations import LagCorrelator, Workspace, balancing_gains, restored, scale
from madsep.bsseval.framing import Frame, tiles
from madsep.bsseval.stretches import Loader, Sources, Summary

RUN = 16  # tiles that a thread takes at a time; sums are formed per run, so results do not depend on the number of threads
TILE = 1 << 16  # samples per tile; a track whose frames overlap or leave gaps is correlated in tiles


@dataclass
class Correlations:
    """Correlations, at lags 0 ... n_lags - 1, of reference channels with each other and with differences.

    [t, a, b] is the sum over n of a(n) b(n + t). Each frame is treated as if it were surrounded by silence.
    """

    references: np.ndarray  # (n_frames, n_lags, reference channels, reference channels)
    differences: np.ndarray  # (n_frames, n_lags, reference channels, difference channels)
    total_references: np.ndarray  # (n_lags, reference channels, reference channels), of the whole track
    total_differences: np.ndarray
    summaries: list[Summary] = field(default_factory=list)  # of each frame
    whole: Summary | None = None


class FrameCorrelator:
    """Workspace of one thread that correlates one frame after another."""

    def __init__(self, sources: Sources, n_lags: int, length: int, with_references: bool) -> None:
        self.sources, self.n_lags, self.with_references = sources, n_lags, with_references
        n_plain, n_pairs = pair_counts(sources)
        self._correlator = LagCorrelator((n_plain, n_pairs - (0 if with_references else n_plain)), n_lags, length)
        self._loader = Loader(sources, self._correlator.n_columns)

    def frame(self, frame: Frame) -> tuple[np.ndarray, Summary]:
        """Return the lags (n_lags, reference channels, extended channels) of a frame and its summary."""
        start, stop = frame
        lags: np.ndarray | None = None
        summary: Summary | None = None
        for first in range(start, stop, self._correlator.stretch):
            n_own, last = min(self._correlator.stretch, stop - first), min(first + self._correlator.n_columns, stop)
            part = self._loader.load(first, last, n_own)
            found = self._correlator.lags(self._loader.pairs, self._loader.energy(last - first))
            lags = found if lags is None else np.add(lags, found, out=lags)
            summary = part if summary is None else summary + part
        assert lags is not None and summary is not None
        return channels_only(lags, self.sources, self.with_references), summary


class BorderCorrelator:
    """Adds what tiles miss of the whole track: products of the last samples before a border with the first samples after it."""

    def __init__(self, sources: Sources, n_lags: int, with_references: bool) -> None:
        self.sources, self.n_lags, self.with_references = sources, n_lags, with_references
        n_plain, n_pairs = pair_counts(sources)
        n_extended = n_pairs - (0 if with_references else n_plain)
        n_fft = scipy.fft.next_fast_len(max(2 * n_lags - 2, 1))
        self._loader = Loader(sources, max(2 * n_lags - 2, 1))
        self._plain = np.empty((n_plain, RUN, n_fft), complex)
        self._extended = np.empty((n_extended, RUN, n_fft), complex)
        self._workspace = Workspace(RUN, n_fft, n_plain, n_extended)

    def lags(self, borders: Sequence[Frame]) -> np.ndarray:
        """Return summed lags for at most RUN borders. Each is given as (first sample of the tile that ends there, border)."""
        pairs, reach = self._loader.pairs, self.n_lags - 1
        n_plain, n_extended = len(self._plain), len(self._extended)
        self._plain[:], self._extended[:], energy = 0, 0, np.zeros(2 * len(pairs))
        for number, (tile_start, border) in enumerate(borders):
            start, stop = max(tile_start, border - reach), min(border + reach, self.sources.n_samples)
            self._loader.load(start, stop, stop - start)
            energy = energy + self._loader.energy(stop - start)
            n_before = border - start
            self._plain[:, number, reach - n_before : reach] = pairs[:n_plain, :n_before]
            self._extended[:, number, reach : reach + stop - border] = pairs[-n_extended:, n_before : stop - start]
        gains = balancing_gains(energy)
        if gains is not None:
            scale(self._plain, gains[: 2 * n_plain])
            scale(self._extended, gains[-2 * n_extended :])
        lags = restored(self._workspace.lags(self._plain, self._extended, self.n_lags), energy, gains)
        return channels_only(lags, self.sources, self.with_references)


def pair_counts(sources: Sources) -> tuple[int, int]:
    """Return the number of pairs of reference channels and the number of all pairs."""
    n_plain = -(-len(sources.references) * sources.n_channels // 2)
    return n_plain, n_plain - (-len(sources.estimates) * sources.n_channels // 2)


def channels_only(lags: np.ndarray, sources: Sources, with_references: bool) -> np.ndarray:
    """Drop the zero channels that complete pairs: (n_lags, R, R + D), or (n_lags, R, D) without the references' own part."""
    n_references, n_differences = len(sources.references) * sources.n_channels, len(sources.estimates) * sources.n_channels
    even = n_references + n_references % 2 if with_references else 0
    wanted = [*range(n_references if with_references else 0), *range(even, even + n_differences)]
    if lags.shape[1:] == (n_references, len(wanted)):
        return lags
    return lags[:, :n_references][:, :, wanted]


def correlate(sources: Sources, framed: list[Frame], n_lags: int, n_threads: int, known: Correlations | None = None) -> Correlations:
    """Read a track once and return all its correlations. `known` has earlier results for the same references and frames."""
    store, n = _empty(sources, len(framed), n_lags, known), sources.n_samples
    covering = tiles(framed, n)
    if covering is not None:
        _sweep(sources, covering, store, n_threads, (len(framed), True, known is None))
        return store
    _sweep(sources, framed, store, n_threads, (len(framed), False, known is None))
    _sweep(sources, [(start, min(start + TILE, n)) for start in range(0, n, TILE)], store, n_threads, (0, True, known is None))
    return store


def correlate_frame(sources: Sources, frame: Frame, worker: FrameCorrelator) -> Correlations:
    """Return the correlations of one frame, treated as a whole track as in BSS Eval v3."""
    lags, summary = worker.frame(frame)
    n_references = len(sources.references) * sources.n_channels
    own, other = lags[:, :, :n_references], lags[:, :, n_references:]
    return Correlations(own[None], other[None], own, other, [summary], summary)


def summarise(sources: Sources) -> Summary:
    """Return the summary of the whole track."""
    loader, n = Loader(sources, TILE), sources.n_samples
    parts = [loader.load(start, min(start + TILE, n), min(start + TILE, n) - start) for start in range(0, n, TILE)]
    return sum(parts[1:], parts[0])


def _empty(sources: Sources, n_frames: int, n_lags: int, known: Correlations | None) -> Correlations:
    n_references, n_differences = len(sources.references) * sources.n_channels, len(sources.estimates) * sources.n_channels
    own = (n_lags, n_references, n_references)
    differences = np.empty((n_frames, n_lags, n_references, n_differences))
    total = np.zeros(differences.shape[1:])
    if known is not None:
        return Correlations(known.references, differences, known.total_references, total)
    return Correlations(np.empty((n_frames, *own)), differences, np.zeros(own), total)


def _sweep(sources: Sources, covered: list[Frame], store: Correlations, n_threads: int, want: tuple[int, bool, bool]) -> None:
    """Correlate the frames `covered` and store the results as `want` says.

    `want` is (number of leading frames to store, whether to add to the totals, whether to compute the references' own part).
    """
    n_kept, with_total, with_references = want
    n_threads, n_lags, length = n_threads, store.differences.shape[1], max(stop - start for start, stop in covered)

    def runs_of(thread: int) -> Iterator[tuple[int, np.ndarray | None, list[Summary]]]:
        worker = FrameCorrelator(sources, n_lags, length, with_references)
        border = BorderCorrelator(sources, n_lags, with_references)
        for number in range(thread, -(-len(covered) // RUN), n_threads):
            run = list(enumerate(covered))[number * RUN : (number + 1) * RUN]
            total, summaries = None, []
            for index, frame in run:
                lags, summary = worker.frame(frame)
                summaries.append(summary)
                if index < n_kept:
                    _keep(store, index, lags, with_references)
                if with_total:
                    total = lags if total is None else np.add(total, lags, out=total)
            inner = [frame for _, frame in run if frame[1] < sources.n_samples]
            if total is not None and inner and n_lags > 1:
                total = total + border.lags(inner)
            yield number, total, summaries

    if n_threads == 1:
        found = list(runs_of(0))
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            found = sorted(chain.from_iterable(pool.map(lambda thread: list(runs_of(thread)), range(n_threads))), key=lambda run: run[0])
    _collect(store, found, want)


def _keep(store: Correlations, index: int, lags: np.ndarray, with_references: bool) -> None:
    n_references = lags.shape[1] if with_references else 0
    if with_references:
        store.references[index] = lags[:, :, :n_references]
    store.differences[index] = lags[:, :, n_references:]


def _collect(store: Correlations, found: list[tuple[int, np.ndarray | None, list[Summary]]], want: tuple[int, bool, bool]) -> None:
    n_kept, with_total, with_references = want
    summaries = [summary for _, _, run in found for summary in run]
    store.summaries += summaries[:n_kept]
    if not with_total:
        return
    for summary in summaries:
        store.whole = summary if store.whole is None else store.whole + summary
    for _, total, _ in found:
        assert total is not None
        n_references = total.shape[1] if with_references else 0
        if with_references:
            store.total_references += total[:, :, :n_references]
        store.total_differences += total[:, :, n_references:]
