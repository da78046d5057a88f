"""Triton kernel for the recurrent unit's backward pass: one frame of all directions. `gru_forward_kernels` defines the symbols."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["t", "n_frames", "n_rows", "stride_t", "stride_b", "stride_d"])
def backward_frame(
    sums: tl.tensor,  # (D, T, B, 4, HP), frames in input order: gradients of W_hn h' + b_hn, a_r, a_z and a_n
    totals: tl.tensor,  # (T, B, D, H), float32: gradients of the states, including those through later frames
    weights_t: tl.tensor,  # (D, H, 3, HP), gates in the order new, reset, update
    slopes: tl.tensor,  # (5, T, B, D, H), float32
    gradient: tl.tensor,  # (T, B, D, H), strided: incoming gradient of the states
    t: tl.tensor,
    n_frames: tl.tensor,
    n_rows: tl.tensor,
    stride_t: tl.tensor,
    stride_b: tl.tensor,
    stride_d: tl.tensor,
    H: tl.constexpr,
    HP: tl.constexpr,
    D: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    KS: tl.constexpr,
    OVERLAPS: tl.constexpr,
) -> None:
    """Compute the gradients of frame t of all directions from those of frame t + 1."""
    d = tl.program_id(1)
    cols, rows = tl.program_id(0) * BN + tl.arange(0, BN), tl.program_id(2) * BM + tl.arange(0, BM)
    frame = tl.where(d == 0, t, n_frames - 1 - t)
    after = tl.where(d == 0, frame + 1, frame - 1)
    given, inside = rows < n_rows, (rows < n_rows)[:, None] & (cols < H)[None, :]
    later = t + 1 < n_frames
    place = ((t * n_rows + rows)[:, None] * D + d) * H + cols[None, :]
    place_after, plane = place + n_rows * D * H, n_frames * n_rows * D * H
    total = tl.load(gradient + t * stride_t + rows[:, None] * stride_b + d * stride_d + cols[None, :], mask=inside, other=0.0).to(
        tl.float32
    )
    of_reset = tl.load(slopes + place, mask=inside, other=0.0)
    of_update = tl.load(slopes + plane + place, mask=inside, other=0.0)
    of_new_h = tl.load(slopes + 2 * plane + place, mask=inside, other=0.0)
    of_new = tl.load(slopes + 3 * plane + place, mask=inside, other=0.0)
    update_after = tl.load(slopes + 4 * plane + place_after, mask=inside & later, other=0.0)
    if OVERLAPS:  # nothing read so far is written by the kernel of frame t + 1
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    total += update_after * tl.load(totals + place_after, mask=inside & later, other=0.0)
    sums_after, weights_d = sums + (d * n_frames + after) * n_rows * 4 * HP, weights_t + d * H * 3 * HP
    if KS == 1:
        total += _through_gates(sums_after, weights_d, rows, cols, given & later, H, HP, BM, BN, BK)
    else:
        total += _sliced_through_gates(sums_after, weights_d, rows, cols, given & later, H, HP, BM, BN, BK, KS)
    tl.store(totals + place, total, mask=inside)
    to = sums + ((d * n_frames + frame) * n_rows + rows)[:, None] * 4 * HP + cols[None, :]
    kept = given[:, None] & (cols < HP)[None, :]
    tl.store(to, (of_new_h * total).to(sums.dtype.element_ty), mask=kept)
    tl.store(to + HP, (of_reset * total).to(sums.dtype.element_ty), mask=kept)
    tl.store(to + 2 * HP, (of_update * total).to(sums.dtype.element_ty), mask=kept)
    tl.store(to + 3 * HP, (of_new * total).to(sums.dtype.element_ty), mask=kept)


@triton.jit
def _through_gates(
    sums: tl.tensor,
    weights_t: tl.tensor,
    rows: tl.tensor,
    cols: tl.tensor,
    given: tl.tensor,
    H: tl.constexpr,
    HP: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
) -> tl.tensor:
    """Return the gradient of the states through the gates of frame t + 1, (BM, BN), for many sequences."""
    total = tl.zeros((BM, BN), tl.float32)
    for chunk in range(tl.cdiv(3 * HP, BK)):
        k = chunk * BK + tl.arange(0, BK)
        of_sums = tl.load(sums + rows[:, None] * 4 * HP + k[None, :], mask=given[:, None] & (k < 3 * HP)[None, :], other=0.0)
        inside = (k < 3 * HP)[:, None] & (cols < H)[None, :]
        total = tl.dot(of_sums, tl.load(weights_t + cols[None, :] * 3 * HP + k[:, None], mask=inside, other=0.0), total)
    return total


@triton.jit
def _sliced_through_gates(
    sums: tl.tensor,
    weights_t: tl.tensor,
    rows: tl.tensor,
    cols: tl.tensor,
    given: tl.tensor,
    H: tl.constexpr,
    HP: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    KS: tl.constexpr,
) -> tl.tensor:
    """Return the same for few sequences, for which splitting a product over the warps is faster."""
    total = tl.zeros((KS, BM, BN), tl.float32)
    for chunk in range(tl.cdiv(3 * HP, KS * BK)):
        k = (chunk * KS + tl.arange(0, KS))[:, None] * BK + tl.arange(0, BK)[None, :]
        given_k = given[None, :, None] & (k < 3 * HP)[:, None, :]
        of_sums = tl.load(sums + rows[None, :, None] * 4 * HP + k[:, None, :], mask=given_k, other=0.0)
        inside = (k < 3 * HP)[:, :, None] & (cols < H)[None, None, :]
        total = tl.dot(of_sums, tl.load(weights_t + cols[None, None, :] * 3 * HP + k[:, :, None], mask=inside, other=0.0), total)
    return tl.sum(total, 0)
