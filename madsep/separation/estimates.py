"""Estimates of prepared test tracks by anyone's callable, of a folder made elsewhere, or by an oracle."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from madsep.core.errors import InputError
from madsep.core.files import atomic, sha256, write_json
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.core.settings import nearest
from madsep.data.audio import Pcm16Writer, read_wav
from madsep.data.prepared import TARGETS, read_prepared, signal
from madsep.separation.callables import ALL_TARGETS, STEMS, Callee, call_separator, load_separator
from madsep.separation.external import External, completed, estimated_tracks
from madsep.separation.oracles import ORACLES, Oracle, oracle_estimates

Audio = NDArray[np.float32]
Entry = dict[str, Any]  # of a prepared track
Source = Callable[[Entry, Audio, str], dict[str, Audio]]  # entry, mixture (n_channels, n_samples), words for messages -> estimates


def separate_external(external: External, targets: Sequence[str], prepared: Sequence[Path], slugs: Sequence[str], manifest: Path) -> None:
    """Write <manifest's folder>/test/<true name>/<target>.wav, 16 bit, for each of `targets` and of the tracks `slugs`, then the manifest.

    The manifest names each file with its SHA-256 and the samples clipped. `targets` are those of `separators.external_targets`.
    Raises InputError for a callable that fails or returns anything else than expected, an estimate that is missing or does not fit
    its mixture, a prepared track without the stems that an oracle needs, or a full disk.
    """
    entries = read_prepared(prepared, "test", slugs)
    source = _source(external, targets)
    log.info("estimates by %s (%s)", external.label, external.origin)
    tracks = []
    with Progress(f"separating {manifest.stem}", len(entries)) as progress:
        for entry in entries:
            where = f"{external.label}, {entry['name']}"
            mixture = signal(entry, "mixture")
            found = source(entry, mixture, where)
            estimates = completed(found, mixture, targets, where)
            unused = [target for target in found if target not in targets]
            if unused:
                log.warning("%s: %s not among the system's targets, left out", where, ", ".join(unused))
            folder = manifest.parent / "test" / entry["name"]
            originals = _track_folder(external.estimates, entry) if external.estimates is not None else None
            files = {}
            for target, audio in estimates.items():
                path = folder / f"{target}.wav"
                n_clipped = _write(audio, path, entry["sample_rate_hz"], originals and originals / path.name)
                files[target] = {"file": str(path.relative_to(manifest.parent)), "sha256": sha256(path), "n_clipped": n_clipped}
            tracks.append({"slug": entry["slug"], "name": entry["name"], "files": files})
            progress.advance(1, entry["name"])
    write_json(manifest, {"tracks": tracks})


def _source(external: External, targets: Sequence[str]) -> Source:
    if external.separator is not None:
        separate = load_separator(external.separator)
        return partial(_by_callable, separate, external.targets is not None or hasattr(separate, "madsep_targets"))
    if external.estimates is not None:
        return partial(_from_folder, external.estimates)
    assert external.oracle is not None  # one of the three is given
    return partial(_by_oracle, ORACLES[external.oracle], STEMS if "drums" in targets else TARGETS)


def _by_callable(separate: Callee, has_targets: bool, entry: Entry, mixture: Audio, where: str) -> dict[str, Audio]:
    """Raises InputError where all stems are returned, but nobody has said that they are the targets."""
    found = call_separator(separate, mixture, entry["sample_rate_hz"], where)
    if not has_targets and set(STEMS) <= found.keys():
        raise InputError(
            f"{where}: returned {', '.join(found)}, but its targets, which nobody has set, are vocals and accompaniment; set its attribute "
            'madsep_targets = ("vocals", "drums", "bass", "other"), or targets: [vocals, drums, bass, other] in its entry of external.'
        )
    return found


def _by_oracle(oracle: Oracle, sources: Sequence[str], entry: Entry, mixture: Audio, where: str) -> dict[str, Audio]:
    missing = [source for source in sources if source not in entry["signals"]]
    if missing:
        raise InputError(f"{where}: an oracle needs the references of {', '.join(sources)}; {', '.join(missing)} are not prepared.")
    return oracle_estimates(oracle, mixture, {source: signal(entry, source) for source in sources})


def _from_folder(root: str, entry: Entry, mixture: Audio, where: str) -> dict[str, Audio]:
    folder = _track_folder(root, entry)
    paths = {target: folder / f"{target}.wav" for target in ALL_TARGETS}
    return {target: _read(path, entry, mixture) for target, path in paths.items() if path.is_file()}


def _track_folder(root: str, entry: Entry) -> Path:
    folders = {path.name: path for path in estimated_tracks(root)}
    if entry["name"] not in folders:
        raise InputError(f"{root}: has no folder test/{entry['name']}{nearest(entry['name'], folders)}")
    return folders[entry["name"]]


def _read(path: Path, entry: Entry, mixture: Audio) -> Audio:
    """An estimate made elsewhere, (n_channels, n_samples). Raises InputError unless it has the rate and shape of its mixture."""
    audio, sample_rate_hz = read_wav(path)
    if sample_rate_hz != entry["sample_rate_hz"]:
        raise InputError(f"{path}: has a sample rate of {sample_rate_hz} Hz; expected {entry['sample_rate_hz']} Hz as the mixture.")
    if audio.shape != mixture.shape:
        n_channels, n_samples = mixture.shape
        found = f"has {audio.shape[1]} samples of {len(audio)} channels"
        raise InputError(f"{path}: {found}; expected {n_samples} of {n_channels} as the mixture of {entry['name']}.")
    return audio


def _write(audio: Audio, path: Path, sample_rate_hz: int, original: Path | None) -> int:
    """Write an estimate, or copy `original` where that is a 16-bit wav already; return the number of samples clipped."""
    if original is not None and original.is_file() and _is_pcm16(original):
        with atomic(path) as temporary:
            shutil.copyfile(original, temporary)
        return 0
    with Pcm16Writer(path, sample_rate_hz, len(audio)) as writer:
        writer.write(audio)
    if writer.n_clipped:
        log.warning("%s: %d of %d samples clipped", path, writer.n_clipped, audio.size)
    return writer.n_clipped


def _is_pcm16(path: Path) -> bool:
    found = sf.info(path)
    return found.format in ("WAV", "WAVEX") and found.subtype == "PCM_16"
