"""Whether wavs hold MUSDB18's stem files, decoded, or uncompressed audio such as MUSDB18-HQ's: told by the samples."""

import numpy as np

LAYOUT = "decoded stems"  # of wavs that were made from stem files
# The five streams of a stem file are coded apart, so their sum is not the mixture: it leaves -31.6 dB of Music Delta - 80s Rock, and about
# -90 dB of wavs of 16 bit. The coder keeps nothing above 17 kHz: from 18 to 22 kHz that mixture has -58 dB of its power from 12 to 16 kHz.
MIN_RESIDUAL_DB = -60.0
MIN_DROP_DB = 40.0
KEPT_HZ, CUT_HZ = (12_000, 16_000), (18_000, 22_000)
BLOCK = 4096  # samples


def is_decoded(mixture: np.ndarray, residual_db: float | None, sample_rate_hz: int) -> bool:
    """Return whether a mixture (n_channels, n_samples), whose stems leave `residual_db` of its energy, was decoded from a stem file."""
    n_blocks = mixture.shape[1] // BLOCK
    if residual_db is None or residual_db < MIN_RESIDUAL_DB or n_blocks == 0:
        return False
    power = np.zeros(BLOCK // 2 + 1)
    for block in np.split(mixture[:, : n_blocks * BLOCK], n_blocks, axis=1):
        power += np.sum(np.abs(np.fft.rfft(block * np.hanning(BLOCK))) ** 2, axis=0)
    frequencies = np.fft.rfftfreq(BLOCK, 1 / sample_rate_hz)
    kept, cut = (np.sum(power[(frequencies >= low) & (frequencies < high)]) for low, high in (KEPT_HZ, CUT_HZ))
    return bool(cut < kept * 10 ** (-MIN_DROP_DB / 10))
