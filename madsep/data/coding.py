"""Detection, from the samples, of wavs that were decoded from MUSDB18's stem files."""

import numpy as np

LAYOUT = "decoded stems"  # layout of wavs that were decoded from stem files
# The five streams of a stem file are coded separately, so the stems do not add up to the mixture. The residual is -31.6 dB for Music Delta
# - 80s Rock, but about -90 dB for 16-bit wavs. The codec removes everything above 17 kHz: the power of that mixture from 18 to 22 kHz is
# 58 dB below its power from 12 to 16 kHz.
MIN_RESIDUAL_DB = -60.0
MIN_DROP_DB = 40.0
KEPT_HZ, CUT_HZ = (12_000, 16_000), (18_000, 22_000)
BLOCK = 4096  # samples


def is_decoded(mixture: np.ndarray, residual_db: float | None, sample_rate_hz: int) -> bool:
    """Return whether a mixture (n_channels, n_samples) was decoded from a stem file.

    `residual_db` is the energy of the mixture minus its stems, relative to the energy of the mixture.
    """
    n_blocks = mixture.shape[1] // BLOCK
    if residual_db is None or residual_db < MIN_RESIDUAL_DB or n_blocks == 0:
        return False
    power = np.zeros(BLOCK // 2 + 1)
    for block in np.split(mixture[:, : n_blocks * BLOCK], n_blocks, axis=1):
        power += np.sum(np.abs(np.fft.rfft(block * np.hanning(BLOCK))) ** 2, axis=0)
    frequencies = np.fft.rfftfreq(BLOCK, 1 / sample_rate_hz)
    kept, cut = (np.sum(power[(frequencies >= low) & (frequencies < high)]) for low, high in (KEPT_HZ, CUT_HZ))
    return bool(cut < kept * 10 ** (-MIN_DROP_DB / 10))
