"""A Triton kernel from complex bins to what a network is trained with."""

import triton
import triton.language as tl

SIZE = tl.constexpr(1024)  # bins that a program takes at once


@triton.jit(do_not_specialize=["input_clip", "clip"])
def features(
    mixture: tl.tensor,  # (B, T, N, 2)
    voice: tl.tensor,  # (B, T - 2L, N, 2), of the inner frames
    magnitudes: tl.tensor,  # (B, T, N)
    target: tl.tensor,  # (B, T - 2L, N)
    input_clip: tl.tensor,
    clip: tl.tensor,
    n_frames: tl.constexpr,
    n_inner: tl.constexpr,
    N: tl.constexpr,
    EPSILON: tl.constexpr,
) -> None:
    """Per frame, the mixture's bounded magnitude X and, of an inner one, the bounded target X V / (V + B + epsilon)."""
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
