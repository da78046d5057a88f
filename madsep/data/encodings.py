"""Encodings of output songs: wav, flac or mp3, with their sample types and bit rates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madsep.core.errors import InputError
from madsep.data.choices import Format, Subtype
from madsep.data.wav_writer import WavWriter

MAX_FLAC_CHANNELS = 8
MP3_CHANNELS = 2
LEAST_BIT_RATE = 64  # at lower rates, the encoder would resample
# lowest and highest bit rate in kbit/s, between which libsndfile's compression level (0: highest) interpolates:
# MPEG-1 (ISO/IEC 11172-3), then MPEG-2 (13818-3)
MP3_BIT_RATES = {(32_000, 44_100, 48_000): (32, 320), (16_000, 22_050, 24_000): (8, 160)}


@dataclass(frozen=True)
class Encoding:
    """Format of output files. `subtype` is the sample type of wav and flac, `bit_rate` the bit rate of mp3 in kbit/s.

    Raises InputError if the format does not support the sample type or a bit rate.
    """

    format: Format = "wav"
    subtype: Subtype | None = None
    bit_rate: int | None = None

    def __post_init__(self) -> None:
        if self.format == "mp3" and self.subtype is not None:
            raise InputError(f"mp3 has no samples of type {self.subtype}; leave --subtype out, or write wav or flac.")
        if self.format == "flac" and self.subtype == "FLOAT":
            raise InputError("flac has no samples of type FLOAT; choose PCM_16 or PCM_24, or write wav.")
        if self.format != "mp3" and self.bit_rate is not None:
            raise InputError(f"{self.format} has no bit rate; leave --bit-rate out, or write mp3.")

    @property
    def samples(self) -> Subtype:
        """Type of the samples that are written, or passed to the mp3 encoder."""
        return "FLOAT" if self.format == "mp3" else self.subtype or "PCM_16"

    def writer(self, path: Path, sample_rate_hz: int, shape: tuple[int, ...]) -> WavWriter:
        """Return a writer for a file of `shape` (n_channels, n_samples).

        Raises InputError if the format does not support the number of channels or the rate.
        """
        writer = WavWriter(path, sample_rate_hz, shape, self.samples)
        if self.format == "flac":
            if shape[0] > MAX_FLAC_CHANNELS:
                raise InputError(f"{path}: flac holds {MAX_FLAC_CHANNELS} channels at most, the song has {shape[0]}; write wav.")
            writer.form["format"] = "FLAC"
        if self.format == "mp3":
            return _Mp3Writer(path, sample_rate_hz, shape, self.bit_rate)
        return writer


WAV = Encoding()


class _Mp3Writer(WavWriter):
    """Writes an mp3 of constant bit rate. Samples above full scale are clipped and counted."""

    def __init__(self, path: Path, sample_rate_hz: int, shape: tuple[int, ...], bit_rate: int | None) -> None:
        super().__init__(path, sample_rate_hz, shape, "FLOAT")
        least, most = next((ends for rates, ends in MP3_BIT_RATES.items() if sample_rate_hz in rates), (0, 0))
        if shape[0] > MP3_CHANNELS or not most:
            rates = ", ".join(str(rate) for rates in MP3_BIT_RATES for rate in rates)
            found = f"the song has {shape[0]} at {sample_rate_hz} Hz"
            raise InputError(f"{path}: mp3 holds {MP3_CHANNELS} channels at most, at {rates} Hz; {found}. Write wav or flac.")
        wanted = most if bit_rate is None else bit_rate
        if not LEAST_BIT_RATE <= wanted <= most:
            raise InputError(f"{path}: mp3 at {sample_rate_hz} Hz has {LEAST_BIT_RATE} to {most} kbit/s, not {wanted}.")
        level = (most - wanted) / (most - least)
        self.form = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": level}

    def _coded(self, block: np.ndarray) -> np.ndarray:
        clipped: np.ndarray = np.clip(block, -1, 1).astype(np.float32)
        self.n_clipped += int(np.count_nonzero(clipped != block))
        return clipped
