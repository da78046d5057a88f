"""Triton kernels of a training step: from complex bins to the network's inputs and targets, and from losses to the tally."""

import triton
import triton.language as tl

SIZE = tl.constexpr(1024)  # bins that a program processes at once


@triton.jit(do_not_specialize=["input_clip", "clip"])
def features(
    mixture: tl.tensor,  # (B, T, N, 2)
    voice: tl.tensor,  # (B, T - 2L, N, 2), inner frames only
    magnitudes: tl.tensor,  # (B, T, N)
    target: tl.tensor,  # (B, T - 2L, N)
    input_clip: tl.tensor,
    clip: tl.tensor,
    n_frames: tl.constexpr,
    n_inner: tl.constexpr,
    N: tl.constexpr,
    EPSILON: tl.constexpr,
) -> None:
    """Compute each frame's bounded mixture magnitude X and each inner frame's bounded target X V / (V + B + epsilon)."""
    row = tl.program_id(0).to(tl.int64)
    inner = row % n_frames - (n_frames - n_inner) // 2
    to = row // n_frames * n_inner + inner
    given = (inner >= 0) & (inner < n_inner)
    for chunk in range((N + SIZE - 1) // SIZE):
        cols = chunk * SIZE + tl.arange(0, SIZE)
        real = tl.load(mixture + (row * N + cols) * 2, mask=cols < N, other=0.0)
        imaginary = tl.load(mixture + (row * N + cols) * 2 + 1, mask=cols < N, other=0.0)
        whole = tl.sqrt(real * real + imaginary * imaginary)
        tl.store(magnitudes + row * N + cols, tl.minimum(whole, input_clip, tl.PropagateNan.ALL), mask=cols < N)
        inside = given & (cols < N)
        real_voice = tl.load(voice + (to * N + cols) * 2, mask=inside, other=0.0)
        imaginary_voice = tl.load(voice + (to * N + cols) * 2 + 1, mask=inside, other=0.0)
        of_voice = tl.sqrt(real_voice * real_voice + imaginary_voice * imaginary_voice)
        real, imaginary = real - real_voice, imaginary - imaginary_voice
        rest = tl.sqrt(real * real + imaginary * imaginary)
        wanted = tl.minimum(whole * of_voice / (of_voice + rest + EPSILON), clip, tl.PropagateNan.ALL)
        tl.store(target + to * N + cols, wanted, mask=inside)


@triton.jit(do_not_specialize=["n_sequences"])
def count(
    losses: tl.tensor,  # (N,)
    norm: tl.tensor,
    ended: tl.tensor,
    n_steps: tl.tensor,
    last: tl.tensor,  # (2,)
    sums: tl.tensor,  # (N,)
    n_sequences: tl.tensor,
    N: tl.constexpr,
    LARGEST: tl.constexpr,
) -> None:
    """Count steps until losses[0] or the gradient norm is not finite. Store both values of the last step examined."""
    index = tl.arange(0, LARGEST)
    values, total = tl.load(losses + index, mask=index < N, other=0.0).to(tl.float64), tl.load(sums + index, mask=index < N, other=0.0)
    loss, length = tl.load(losses).to(tl.float64), tl.load(norm).to(tl.float64)
    ended_before = tl.load(ended) > 0
    now = ended_before | (loss - loss != 0) | (length - length != 0)  # x - x is not 0 for infinities and NaN
    tl.store(last, tl.where(ended_before, tl.load(last), loss))
    tl.store(last + 1, tl.where(ended_before, tl.load(last + 1), length))
    tl.store(sums + index, tl.where(now, total, total + n_sequences * values), mask=index < N)
    tl.store(n_steps, tl.load(n_steps) + tl.where(now, 0.0, 1.0))
    tl.store(ended, tl.where(now, 1.0, 0.0))
