"""The Python API: separate, score, compare. Audio is float32 (n_channels, n_samples) with full scale at 1. Rates are in hertz.

Paths are strings or `pathlib.Path`. An error that the user can fix is a `madsep.core.errors.InputError`, which is a ValueError.
Functions import what they need when they are called.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from madsep.core.errors import InputError, require

if TYPE_CHECKING:
    import pandas as pd

    from madsep.separation.network import Separator as Network

AnyPath = str | PathLike[str]
Audio = NDArray[np.float32]


class Scores(NamedTuple):
    """Scores of one track, as two tables.

    The columns of `frames` are target, metric, time (s), duration (s) and score (dB). Those of `medians`, which are taken over frames, are
    target, metric, median (dB), n_frames and nan_share (0 to 1).
    """

    frames: "pd.DataFrame"
    medians: "pd.DataFrame"


class Separator:
    """A trained system in memory, ready to separate. `load` reads it from a checkpoint.

    >>> import madsep, numpy as np
    >>> separator = madsep.load("checkpoint.safetensors", device="cpu")
    >>> separator.targets
    ('vocals', 'accompaniment')
    >>> mixture = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 22_050))
    >>> estimates = separator.separate(mixture, rate=22_050)
    >>> {target: estimate.shape for target, estimate in estimates.items()}
    {'vocals': (2, 22050), 'accompaniment': (2, 22050)}
    >>> bool(np.allclose(estimates["vocals"] + estimates["accompaniment"], mixture, atol=1e-6))
    True
    >>> sorted(path.as_posix() for path in separator.separate_file("song.wav", "separated", format="flac").values())
    ['separated/song/accompaniment.flac', 'separated/song/vocals.flac']
    """

    def __init__(self, network: "Network") -> None:
        self._network = network

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets in the order of `separate`: vocals or all four stems, then accompaniment."""
        return (*self._network.targets, "accompaniment")

    @property
    def sample_rate_hz(self) -> int:
        """Sampling rate of the system. Audio at another rate is resampled to it and back."""
        return self._network.checkpoint.recipe.front_end.sample_rate_hz

    def separate(self, audio: np.ndarray, rate: int) -> dict[str, Audio]:
        """Separate `audio` (n_channels, n_samples) at `rate` Hz into targets of the same shape and rate, in float32.

        Each channel is separated on its own. If the system estimates only vocals, the accompaniment is the mixture minus the vocals.
        Raises InputError for another rank, no samples, more than 32 channels, or samples that are not finite.
        """
        from madsep.data.audio import resample_to_length
        from madsep.separation.output import accompaniment_of, resampled

        mixture, own_hz, targets = _checked("audio", audio), self.sample_rate_hz, self._network.targets
        with tempfile.TemporaryDirectory(prefix="madsep-") as name:
            scratch, heard = Path(name), mixture
            if rate != own_hz:
                n_samples = math.ceil(mixture.shape[1] * own_hz / rate)
                heard = resample_to_length(mixture, rate, own_hz, n_samples, scratch / "mixture.f32")
            blocks = self._network.estimates(heard)
            if rate != own_hz:
                blocks = resampled(blocks, targets, mixture.shape, (own_hz, rate), scratch)
            estimates = np.concatenate(list(blocks), axis=2)
        return {**dict(zip(targets, estimates, strict=True)), "accompaniment": accompaniment_of(estimates, targets, mixture)}

    def separate_file(
        self,
        path: AnyPath,
        output: AnyPath,
        format: Literal["wav", "flac", "mp3"] = "wav",
        subtype: Literal["PCM_16", "PCM_24", "FLOAT"] | None = None,
        stems: Sequence[str] = (),
        overwrite: bool = False,
    ) -> dict[str, Path]:
        """Separate a song of any rate, channel count and length. Return the paths of the written files, by target.

        The files are `output`/<song>/<target>.<format>. `stems` names the targets to write, by default all. Memory does not grow with the
        song's length. Raises InputError if the song cannot be read, a file exists and `overwrite` is false, or the format cannot hold it.
        """
        from madsep.core.files import check_new, refuse_inputs
        from madsep.data.encodings import Encoding
        from madsep.separation.songs import Output, separate_song

        song, wanted = Path(path), Output(Encoding(format, subtype), stems=stems, overwrite=overwrite)
        files = wanted.files(Path(output), song, self._network.targets)
        refuse_inputs([*files.values()], [song])
        for file in files.values():
            check_new(file, overwrite)
        separate_song(self._network, song, files, wanted)
        return files


def load(checkpoint: AnyPath, device: Literal["auto", "cpu", "cuda"] = "auto") -> Separator:
    """Return the system in a checkpoint, such as results/MDL1/checkpoint.safetensors. `auto` uses a GPU if there is one.

    Raises InputError if the file is damaged or not a checkpoint, if PyTorch is not installed, or if `cuda` finds no GPU. `Separator` has
    an example.
    """
    require("torch", "madsep.load")
    import torch

    from madsep.core.devices import require_cuda
    from madsep.models.checkpoint import load_checkpoint
    from madsep.separation.network import Separator as Network

    if device == "cuda":
        require_cuda()
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    return Separator(Network(load_checkpoint(Path(checkpoint), chosen), chosen))


def score(references: Mapping[str, np.ndarray], estimates: Mapping[str, np.ndarray], rate: int) -> Scores:
    """Return the BSSEval v4 scores of one track in frames of 1 s, as in SiSEC 2018, and their medians. They equal museval's.

    `references` and `estimates` map two targets or more to arrays (n_channels, n_samples) of one shape. Raises InputError if they differ
    in shape, an estimate has no reference, or a signal is not finite. `madsep.bsseval` offers other windows and hops.

    >>> import madsep, numpy as np
    >>> vocals, accompaniment, noise = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 2, 16_000))
    >>> references = {"vocals": vocals, "accompaniment": accompaniment}
    >>> estimates = {"vocals": vocals + 0.1 * noise, "accompaniment": accompaniment - 0.1 * noise}
    >>> scores = madsep.score(references, estimates, rate=8_000)
    >>> len(scores.frames)  # 2 frames of 2 targets and 4 metrics
    16
    >>> medians = scores.medians.set_index(["target", "metric"])["median"]
    >>> round(float(medians["vocals", "SDR"]))  # 20 log10(1 / 0.1) dB
    20
    """
    import pandas as pd

    from madsep.bsseval import score_track
    from madsep.scoring.medians import track_medians
    from madsep.scoring.scores import METRICS

    true, estimated = ({name: _checked(name, signal).T for name, signal in given.items()} for given in (references, estimates))
    if missing := sorted(estimates.keys() - references.keys()):
        raise InputError(f"{', '.join(missing)}: has no reference; expected one of {', '.join(references)}.")
    if len(estimates) < 2:
        raise InputError(f"BSSEval needs estimates of two targets or more, found {len(estimates)}.")
    found = score_track(true, estimated, rate)
    rows = [
        ("", target["name"], metric, frame["time"], frame["duration"], frame["metrics"][metric])
        for target in found["targets"]
        for frame in target["frames"]
        for metric in METRICS
    ]
    frames = pd.DataFrame(rows, columns=["track", "target", "metric", "time", "duration", "score"])
    return Scores(frames.drop(columns="track"), track_medians(frames).drop(columns="track"))


def read_scores(folder: AnyPath) -> "pd.DataFrame":
    """Return all frames of museval's JSON files in `folder` or its test/: track, target, metric, time (s), duration (s), score (dB).

    Raises InputError if there are no files, or if one is not in museval's layout.

    >>> import madsep
    >>> madsep.read_scores("scores").columns.tolist()
    ['track', 'target', 'metric', 'time', 'duration', 'score']
    """
    from madsep.scoring.scores import read_scores

    return read_scores(Path(folder))


def compare(runs: Mapping[str, AnyPath], output: AnyPath, n_resamples: int = 10_000, seed: int = 218, overwrite: bool = False) -> Path:
    """Compare folders of museval's JSON files with each other and with the systems of SiSEC 2018. Return the path of the page.

    `runs` maps names to folders. `output` then holds index.html, tables/ and figures/. The bootstrap draws `n_resamples` resamples with
    `seed`. Raises InputError if a folder holds no scores, or if `output` is not empty. `overwrite` replaces an earlier comparison.

    >>> import madsep
    >>> madsep.compare({"mine": "scores"}, "page", n_resamples=100).as_posix()
    'page/index.html'
    """
    from madsep.comparison.compare import PARTS
    from madsep.comparison.compare import compare as write_comparison
    from madsep.comparison.runs import read_run
    from madsep.core.files import check_unused
    from madsep.core.intervals import Bootstrap

    folder = Path(output)
    check_unused(folder, PARTS, overwrite)
    write_comparison([read_run(Path(path), name) for name, path in runs.items()], folder, Bootstrap(n_resamples, seed))
    return folder / "index.html"


def oracles(
    mixture: np.ndarray, references: Mapping[str, np.ndarray], names: Sequence[str] = ("IBM1", "IBM2", "IRM1", "IRM2", "MWF")
) -> dict[str, dict[str, Audio]]:
    """Return the estimates of SiSEC 2018's oracles for a mixture and its true sources, by oracle and target.

    All arrays are (n_channels, n_samples). If the accompaniment is not among the sources, it is the sum of all estimates except the vocals.
    Raises InputError for an unknown oracle, and ValueError if shapes differ.

    >>> import madsep, numpy as np
    >>> vocals, drums = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 1, 9_000))
    >>> estimates = madsep.oracles(vocals + drums, {"vocals": vocals, "drums": drums}, ["IRM1"])
    >>> {target: estimate.shape for target, estimate in estimates["IRM1"].items()}
    {'vocals': (1, 9000), 'drums': (1, 9000), 'accompaniment': (1, 9000)}
    """
    from madsep.core.errors import nearest
    from madsep.separation.oracles import ORACLES, oracle_estimates

    for name in names:
        if name not in ORACLES:
            raise InputError(f"{name}: not an oracle{nearest(name, ORACLES)} (known: {', '.join(ORACLES)})")
    sources = {name: _checked(name, reference) for name, reference in references.items()}
    heard = _checked("mixture", mixture)
    return {name: oracle_estimates(ORACLES[name], heard, sources) for name in names}


def _checked(name: str, audio: np.ndarray) -> Audio:
    """Return `audio` as float32. Raises InputError unless it is finite, two-dimensional and not empty."""
    from madsep.data.containers import MAX_CHANNELS

    if audio.ndim != 2 or audio.shape[1] == 0 or not 1 <= audio.shape[0] <= MAX_CHANNELS:
        expected = f"expected (n_channels, n_samples) of 1 to {MAX_CHANNELS} channels; transpose it, or pass audio[None] for one channel"
        raise InputError(f"{name}: has shape {audio.shape}; {expected}.")
    if not np.isfinite(audio).all():
        raise InputError(f"{name}: holds NaN or infinite samples.")
    return np.asarray(audio, np.float32)
