"""Convert MIR-1K as published, clips with accompaniment and voice in their two channels, into a tree that the pipeline reads.

Hsu and Jang, "On the improvement of singing voice separation for monaural recordings using the MIR-1K dataset", IEEE TASLP 18(2), 2010. The
split and the mixing follow Huang, Kim, Hasegawa-Johnson and Smaragdis, "Singing-voice separation from monaural recordings using deep
recurrent neural networks", ISMIR 2014, and "Joint optimization of masks and deep recurrent neural networks for monaural source separation",
IEEE/ACM TASLP 23(12), 2015: the clips of two singers are for training, all others for testing. Voice and accompaniment are added without
scaling (0 dB).
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.io import wavfile

from madsep.core.errors import InputError
from madsep.core.files import check_unused, new_folder
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.core.reading import visible
from madsep.data.containers import examine_audio
from madsep.data.datasets import MIR1K, SUBSETS
from madsep.data.wav_writer import INT16_SCALE, WavWriter

TRAINING_SINGERS = ("abjones", "amy")
SUFFIXES = (".wav", ".flac")
CHANNELS = ("accompaniment", "vocals")  # left, right
N_LISTED = 10
MARK = ".madsep-import"  # file that marks an imported data set, for `overwrite`


def import_mir1k(source: Path, destination: Path, overwrite: bool = False) -> None:
    """Convert MIR-1K's folder, or its Wavfile folder, to `destination`/{train,test}/<clip>/{mixture,accompaniment,vocals}.wav.

    Files are mono at 16 kHz. Accompaniment and vocals are a clip's left and right channel, sample for sample (16 bit). The mixture is their
    sum in 32-bit floats, which is exact even beyond full scale. `destination` must be new or empty or, if `overwrite`, an earlier import.
    It is written whole or not at all.
    Raises InputError for a destination that is not empty or not writable, a full disk, and a source without clips. It has one line for each
    clip that is unreadable, has another format than 16 bit, 16 kHz and two channels, or has a silent channel.
    """
    source, destination = source.expanduser(), destination.expanduser()
    clips = find_clips(source)
    check_unused(destination, (MARK, *SUBSETS), overwrite)
    with new_folder(destination) as new:
        _write_clips(clips, new)
        (new / MARK).touch()
    n_clips = {subset: sum(subset_of(clip) == subset for clip in clips) for subset in SUBSETS}
    log.info(
        "%s: %d training and %d test clips; all of MIR-1K has %d and %d",
        *(destination, n_clips["train"], n_clips["test"], MIR1K.n_train, MIR1K.n_test),
    )


def find_clips(source: Path) -> list[Path]:
    """Return the clips (.wav or .flac) in `source`/Wavfile if that folder exists, otherwise in `source`, sorted by name.

    Raises InputError if there are none, or if a clip exists in both formats.
    """
    folder = source / "Wavfile" if (source / "Wavfile").is_dir() else source
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give MIR-1K's folder or its Wavfile folder (see {MIR1K.page}).")
    clips = [path for path in visible(folder) if path.suffix.lower() in SUFFIXES]
    if not clips:
        raise InputError(f"{folder}: no .wav or .flac clips in it; give MIR-1K's folder or its Wavfile folder (see {MIR1K.page}).")
    double = [stem for stem, count in Counter(clip.stem for clip in clips).items() if count > 1]
    if double:
        raise InputError(f"{folder}: the clip {double[0]} exists twice, as .wav and as .flac; remove one of them.")
    return clips


def subset_of(clip: Path) -> str:
    """Return "train" for clips of the two training singers, "test" for others. The singer is the part of the name before the first `_`."""
    return "train" if clip.stem.split("_")[0].lower() in TRAINING_SINGERS else "test"


def _write_clips(clips: list[Path], folder: Path) -> None:
    for subset in SUBSETS:
        (folder / subset).mkdir()
    faults = []
    with Progress("importing MIR-1K", len(clips)) as progress:
        for clip in clips:
            try:
                samples = _read_clip(clip)
            except InputError as fault:
                faults.append(str(fault))
            else:
                _write_track(samples, folder / subset_of(clip) / clip.stem)
            progress.advance(1, clip.name)
    if faults:
        more = [f"... and {len(faults) - N_LISTED} more faulty clips."] if len(faults) > N_LISTED else []
        raise InputError("\n".join([*faults[:N_LISTED], *more]))


def _read_clip(clip: Path) -> np.ndarray:
    """Return the two channels of a clip, int16 of shape (2, n_samples). Raises InputError as described in `import_mir1k`."""
    try:
        examine_audio(clip)
        with sf.SoundFile(os.fsencode(clip)) as stream:
            found = f"{stream.samplerate} Hz, {stream.channels} channels, {stream.subtype}"
            expected = f"{MIR1K.sample_rate_hz} Hz, {len(CHANNELS)} channels, PCM_16"
            if found != expected:
                raise InputError(f"{clip}: expected {expected}, found {found}.")
            n_samples = stream.frames
            samples: np.ndarray = stream.read(dtype="int16", always_2d=True).T
    except (OSError, sf.LibsndfileError) as error:
        raise InputError(f"{clip}: cannot be read as audio ({error}); copy or download it again.") from None
    if samples.shape[1] != n_samples:
        raise InputError(f"{clip}: is truncated, with {samples.shape[1]} of {n_samples} samples; copy or download it again.")
    for name, channel in zip(CHANNELS, samples, strict=True):
        if not channel.any():
            raise InputError(
                f"{clip}: the channel of the {name} is silent; expected accompaniment in the left channel and the voice in the right."
            )
    return samples


def _write_track(samples: np.ndarray, folder: Path) -> None:
    """Write the channels (2, n_samples) as 16-bit wavs and their sum as a 32-bit float wav."""
    folder.mkdir()
    scaled = samples.astype(np.float32) / INT16_SCALE
    for name, channel in zip(CHANNELS, scaled, strict=True):
        with WavWriter(folder / f"{name}.wav", MIR1K.sample_rate_hz, (MIR1K.n_channels, len(channel)), "PCM_16") as wav:
            wav.write(channel[np.newaxis])
    # libsndfile would add the time of writing to a float wav
    wavfile.write(folder / "mixture.wav", MIR1K.sample_rate_hz, scaled.sum(axis=0))
