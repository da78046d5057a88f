"""Test tracks with their references and estimates, ready to be scored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from madsep.core.errors import InputError
from madsep.data.audio import read_wav
from madsep.data.prepared import read_prepared, signal
from madsep.scoring.engines import Signals

N_SOURCES = 4  # vocals, drums, bass and other


@dataclass(frozen=True)
class Estimates:
    """Which prepared test tracks to score, on which targets, and the folder that holds their estimates as test/<true name>/<target>.wav.

    Without a folder, the estimates are those of `mix`.
    """

    prepared: Sequence[Path]
    slugs: Sequence[str]
    targets: Sequence[str]
    folder: Path | None

    def tracks(self) -> Iterator[tuple[dict[str, Any], Signals, Signals]]:
        """Yield each track's entry, references and estimates, by target and of shape (n_channels, n_samples).

        Raises InputError when an estimate is missing or of another length, or a reference is silent throughout.
        """
        for entry in read_prepared(self.prepared, "test", self.slugs):
            references = {target: signal(entry, target) for target in self.targets}
            for target, reference in references.items():
                if not reference.any():
                    raise InputError(f"{entry['name']}: the {target} reference is silent throughout; BSSEval is not defined for it.")
            yield entry, references, self._read(entry["name"], signal(entry, "mixture"))

    def _read(self, name: str, mixture: np.ndarray) -> Signals:
        if self.folder is None:
            return mix(mixture, self.targets)
        found = {}
        for target in self.targets:
            path = self.folder / "test" / name / f"{target}.wav"
            if not path.is_file():
                raise InputError(f"{path}: this estimate is missing; separate the track again (remove its manifest in {self.folder}).")
            found[target] = read_wav(path)[0]
            if found[target].shape != mixture.shape:
                raise InputError(f"{path}: has shape {found[target].shape} (channels, samples); expected {mixture.shape} as the mixture.")
        return found


def mix(mixture: np.ndarray, targets: Sequence[str]) -> Signals:
    """Estimate each source as a fourth of the mixture, so the accompaniment as three fourths: SiSEC 2018's MIX, the floor of its figures.

    `mixture` has shape (n_channels, n_samples), as the estimates. Source: github.com/sigsep/sigsep-mus-oracle, MIX.py.
    """
    return {target: mixture * np.float32((N_SOURCES - 1 if target == "accompaniment" else 1) / N_SOURCES) for target in targets}
