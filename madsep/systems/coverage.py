"""Check, from its sizes alone, that the frames of a front end cover a signal."""

from madsep.core.errors import InputError
from madsep.core.settings import FrontEnd

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 768_000
MAX_OVERLAP = 64  # spectra per sample
ZERO_AT_THE_ENDS = ("hann", "bartlett")


def n_weighted(front_end: FrontEnd) -> int:
    """Return the number of samples at which the window is not zero. They are consecutive.

    Symmetric Hann and Bartlett windows are zero at both ends, periodic ones at the first sample. Hamming and Blackman-Harris windows have
    no zeros (Harris, Proc. IEEE 66(1), 1978). A window of one sample is 1.
    """
    length = front_end.window_length
    if front_end.window not in ZERO_AT_THE_ENDS or length == 1:
        return length
    return length - 1 if front_end.periodic else length - 2


def check_front_end(front_end: FrontEnd, where: str) -> None:
    """Raise InputError if the lengths are inconsistent, or if samples between hops get zero weight, so that no inverse exists."""
    hop, window, transform = front_end.hop_length, front_end.window_length, front_end.fft_length
    if not hop <= window <= transform:
        sizes = {"hop_length": hop, "window_length": window, "fft_length": transform}
        raise InputError(f"{where}: front_end has {sizes}; expected hop_length <= window_length <= fft_length.")
    if transform > MAX_OVERLAP * hop:
        least = f"{transform / MAX_OVERLAP:g}, fft_length / {MAX_OVERLAP}"
        raise InputError(f"{where}: front_end.hop_length is {hop}; expected at least {least}.")
    if not MIN_RATE_HZ <= front_end.sample_rate_hz <= MAX_RATE_HZ:
        raise InputError(
            f"{where}: front_end.sample_rate_hz is {front_end.sample_rate_hz}; expected {MIN_RATE_HZ} to {MAX_RATE_HZ}, as audio has."
        )
    if hop > n_weighted(front_end):
        raise InputError(
            f"{where}: front_end: with hops of {hop}, the {front_end.window} window gives no weight to some samples; "
            f"expected a hop_length of at most {n_weighted(front_end)}."
        )
