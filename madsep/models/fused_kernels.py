"""Triton kernels for the element-wise operations between a network's products. Each reads and writes every number once."""

import triton
import triton.language as tl


@triton.jit
def divergence(
    target: tl.tensor,
    estimate: tl.tensor,
    gradient: tl.tensor,
    sums: tl.tensor,
    share: tl.tensor,
    N: tl.constexpr,
    FLOOR: tl.constexpr,
    SIZE: tl.constexpr,
) -> None:
    """Compute each row's generalised Kullback-Leibler divergence over N bins and, times `share`, its gradient."""
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros((SIZE,), tl.float32)
    for chunk in range(tl.cdiv(N, SIZE)):
        cols = chunk * SIZE + tl.arange(0, SIZE)
        wanted = tl.load(target + row * N + cols, mask=cols < N, other=0.0)
        found = tl.load(estimate + row * N + cols, mask=cols < N, other=0.0)
        total += wanted * (tl.log(wanted + FLOOR) - tl.log(found + FLOOR)) + (found - wanted)
        tl.store(gradient + row * N + cols, share * (1 - wanted / (found + FLOOR)), mask=cols < N)
    tl.store(sums + row, tl.sum(total, 0))


@triton.jit(do_not_specialize=["n_frames", "stride_b", "stride_t"])
def skip_filter(
    activations: tl.tensor,  # (rows, NP); becomes the mask
    magnitudes: tl.tensor,  # (B, T, N), strided; rows = B T
    products: tl.tensor,  # (rows, N)
    n_frames: tl.tensor,
    stride_b: tl.tensor,
    stride_t: tl.tensor,
    N: tl.constexpr,
    NP: tl.constexpr,
    SIZE: tl.constexpr,
) -> None:
    """Multiply magnitudes by the positive parts of activations."""
    row, cols = tl.program_id(0).to(tl.int64), tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    mask = tl.maximum(tl.load(activations + row * NP + cols, mask=cols < NP, other=0.0), 0.0, tl.PropagateNan.ALL)
    given = tl.load(magnitudes + row // n_frames * stride_b + row % n_frames * stride_t + cols, mask=cols < N, other=0.0)
    tl.store(activations + row * NP + cols, mask, mask=cols < NP)
    tl.store(products + row * N + cols, mask.to(given.dtype) * given, mask=cols < N)


@triton.jit(do_not_specialize=["n_frames", "stride_b", "stride_t"])
def skip_filter_back(
    masks: tl.tensor,  # (rows, NP)
    magnitudes: tl.tensor,  # (B, T, N), strided
    gradient: tl.tensor,  # (rows, N), of the products
    of_activations: tl.tensor,  # (rows, NP)
    of_magnitudes: tl.tensor,  # (rows, N), if BOTH
    n_frames: tl.tensor,
    stride_b: tl.tensor,
    stride_t: tl.tensor,
    N: tl.constexpr,
    NP: tl.constexpr,
    SIZE: tl.constexpr,
    BOTH: tl.constexpr,
) -> None:
    """Compute the gradients of the inputs of `skip_filter`."""
    row, cols = tl.program_id(0).to(tl.int64), tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    mask = tl.load(masks + row * NP + cols, mask=cols < NP, other=0.0)
    given = tl.load(magnitudes + row // n_frames * stride_b + row % n_frames * stride_t + cols, mask=cols < N, other=0.0)
    of_products = tl.load(gradient + row * N + cols, mask=cols < N, other=0.0)
    passed = tl.where(mask > 0, of_products * given, 0.0)
    tl.store(of_activations + row * NP + cols, passed.to(of_activations.dtype.element_ty), mask=cols < NP)
    if BOTH:
        tl.store(of_magnitudes + row * N + cols, of_products * mask.to(given.dtype), mask=cols < N)
