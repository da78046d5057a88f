"""Triton kernels of the recurrent unit on a GPU: one frame of all directions, forward and back, and the weights as they read them.

Sizes: T frames, B sequences, D directions, H units, of which rows of HP >= H are kept in low precision: HP is a multiple of 8, so that rows
are aligned, and what lies between is zero. Direction 0 reads the frames in their order, direction 1 from the last to the first; t counts
the frames in the order in which a direction reads them. Gates are in the order reset, update, new. Each program owns BN units of BM
sequences; its products are split over KS slices of BK factors, which warps take at the same time.
"""

import triton
import triton.language as tl


@triton.jit
def lower(
    weight: tl.tensor, low: tl.tensor, low_t: tl.tensor, direction: tl.tensor, H: tl.constexpr, HP: tl.constexpr, BOTH: tl.constexpr, SIZE: tl.constexpr
) -> None:
    """Round a direction's recurrent matrix (3H, H) into low (D, 3, H, HP) and, if BOTH, low_t (D, H, 3, HP), whose gates are new, reset, update."""
    gate = tl.program_id(2)
    rows = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    cols = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    inside = (rows < H)[:, None] & (cols < H)[None, :]
    values = tl.load(weight + (gate * H + rows)[:, None] * H + cols[None, :], mask=inside, other=0.0).to(low.dtype.element_ty)
    to = low + ((direction * 3 + gate) * H + rows)[:, None] * HP + cols[None, :]
    tl.store(to, values, mask=(rows < H)[:, None] & (cols < HP)[None, :])
    if BOTH:
        to_t = low_t + ((direction * H + cols) * 3 + (gate + 1) % 3)[:, None] * HP + rows[None, :]
        tl.store(to_t, tl.trans(values), mask=(cols < H)[:, None] & (rows < HP)[None, :])


@triton.jit(do_not_specialize=["t", "n_frames", "n_rows", "stride_t", "stride_b"])
def forward_frame(
    states: tl.tensor,  # (T, B, D, H), float32
    low: tl.tensor,  # (D, T, B, HP): the same, rounded; frames in their own order
    slopes: tl.tensor,  # (5, T, B, D, H), float32: what `backward_frame` multiplies gradients with
    weights: tl.tensor,  # (D, 3, H, HP)
    projected: tl.tensor,  # (T, B, D, 3, HP): the inputs' products
    bias_ih: tl.tensor,  # (D, 3, H)
    bias_hh: tl.tensor,  # (D, 3, H)
    inputs: tl.tensor,  # (T, B, H) by its strides
    outputs: tl.tensor,  # (T, B, D, H), float32: states and inputs added, if RESIDUAL is "output"
    t: tl.tensor,
    n_frames: tl.tensor,
    n_rows: tl.tensor,
    stride_t: tl.tensor,
    stride_b: tl.tensor,
    H: tl.constexpr,
    HP: tl.constexpr,
    D: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    KS: tl.constexpr,
    KEEP: tl.constexpr,
    RESIDUAL: tl.constexpr,
    OVERLAPS: tl.constexpr,
) -> None:
    """Compute frame t of all directions; the slopes too if KEEP. If RESIDUAL is "recurrent", inputs are added to the states themselves."""
    d = tl.program_id(1)
    cols, rows = tl.program_id(0) * BN + tl.arange(0, BN), tl.program_id(2) * BM + tl.arange(0, BM)
    frame = tl.where(d == 0, t, n_frames - 1 - t)
    before = tl.where(d == 0, frame - 1, frame + 1)
    inside = (rows < n_rows)[:, None] & (cols < H)[None, :]
    x = projected + ((frame * n_rows + rows)[:, None] * D + d) * 3 * HP + cols[None, :]
    x_reset = tl.load(x, mask=inside, other=0.0).to(tl.float32)
    x_update = tl.load(x + HP, mask=inside, other=0.0).to(tl.float32)
    x_new = tl.load(x + 2 * HP, mask=inside, other=0.0).to(tl.float32)
    bias = d * 3 * H + cols
    of_ih, of_hh = bias_ih + bias, bias_hh + bias
    x_reset += (tl.load(of_ih, mask=cols < H, other=0.0) + tl.load(of_hh, mask=cols < H, other=0.0))[None, :]
    x_update += (tl.load(of_ih + H, mask=cols < H, other=0.0) + tl.load(of_hh + H, mask=cols < H, other=0.0))[None, :]
    x_new += tl.load(of_ih + 2 * H, mask=cols < H, other=0.0)[None, :]
    bias_new = tl.load(of_hh + 2 * H, mask=cols < H, other=0.0)[None, :]
    if RESIDUAL != "none":
        added = tl.load(inputs + frame * stride_t + rows[:, None] * stride_b + cols[None, :], mask=inside, other=0.0)
    if OVERLAPS:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    place = ((t * n_rows + rows)[:, None] * D + d) * H + cols[None, :]
    previous = tl.load(states + place - n_rows * D * H, mask=inside & (t > 0), other=0.0)
    reset_h, update_h, new_h = _gates(low + (d * n_frames + before) * n_rows * HP, weights + d * 3 * H * HP, rows, cols, (rows < n_rows) & (t > 0), H, HP, BM, BN, BK, KS)
    reset, update = tl.sigmoid(x_reset + reset_h), tl.sigmoid(x_update + update_h)
    of_state = new_h + bias_new
    new = 2 * tl.sigmoid(2 * (x_new + reset * of_state)) - 1  # tanh
    state = new + update * (previous - new)
    if RESIDUAL == "recurrent":
        state += added
    if RESIDUAL == "output":
        tl.store(outputs + place, state + added, mask=inside)
    tl.store(states + place, state, mask=inside)
    rounded = low + ((d * n_frames + frame) * n_rows + rows)[:, None] * HP + cols[None, :]
    tl.store(rounded, state.to(low.dtype.element_ty), mask=(rows < n_rows)[:, None] & (cols < HP)[None, :])
    if KEEP:
        plane = n_frames * n_rows * D * H
        d_new = (1 - update) * (1 - new * new)
        tl.store(slopes + place, d_new * of_state * reset * (1 - reset), mask=inside)
        tl.store(slopes + plane + place, (previous - new) * update * (1 - update), mask=inside)
        tl.store(slopes + 2 * plane + place, d_new * reset, mask=inside)
        tl.store(slopes + 3 * plane + place, d_new, mask=inside)
        tl.store(slopes + 4 * plane + place, update, mask=inside)


@triton.jit
def _add(one_a, one_b, one_c, other_a, other_b, other_c):
    return one_a + other_a, one_b + other_b, one_c + other_c


@triton.jit
def _gates(low, weights, rows, cols, given, H: tl.constexpr, HP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, KS: tl.constexpr):
    """The states' products with the three gates' matrices, (BM, BN) each."""
    if KS == 1:
        return _gates_whole(low, weights, rows, cols, given, H, HP, BM, BN, BK)
    reset = tl.zeros((KS, BM, BN), tl.float32)
    update = tl.zeros((KS, BM, BN), tl.float32)
    new = tl.zeros((KS, BM, BN), tl.float32)
    for chunk in range(tl.cdiv(HP, KS * BK)):
        k = (chunk * KS + tl.arange(0, KS))[:, None] * BK + tl.arange(0, BK)[None, :]
        state = tl.load(low + rows[None, :, None] * HP + k[:, None, :], mask=given[None, :, None] & (k < HP)[:, None, :], other=0.0)
        weight = weights + cols[None, None, :] * HP + k[:, :, None]
        inside = (k < HP)[:, :, None] & (cols < H)[None, None, :]
        reset = tl.dot(state, tl.load(weight, mask=inside, other=0.0), reset)
        update = tl.dot(state, tl.load(weight + H * HP, mask=inside, other=0.0), update)
        new = tl.dot(state, tl.load(weight + 2 * H * HP, mask=inside, other=0.0), new)
    return tl.reduce((reset, update, new), 0, _add)


@triton.jit
def _gates_whole(low, weights, rows, cols, given, H: tl.constexpr, HP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """The same without slices, for many sequences."""
    reset = tl.zeros((BM, BN), tl.float32)
    update = tl.zeros((BM, BN), tl.float32)
    new = tl.zeros((BM, BN), tl.float32)
    for chunk in range(tl.cdiv(HP, BK)):
        k = chunk * BK + tl.arange(0, BK)
        state = tl.load(low + rows[:, None] * HP + k[None, :], mask=given[:, None] & (k < HP)[None, :], other=0.0)
        weight = weights + cols[None, :] * HP + k[:, None]
        inside = (k < HP)[:, None] & (cols < H)[None, :]
        reset = tl.dot(state, tl.load(weight, mask=inside, other=0.0), reset)
        update = tl.dot(state, tl.load(weight + H * HP, mask=inside, other=0.0), update)
        new = tl.dot(state, tl.load(weight + 2 * H * HP, mask=inside, other=0.0), new)
    return reset, update, new


@triton.jit(do_not_specialize=["t", "n_frames", "n_rows", "stride_t", "stride_b", "stride_d"])
def backward_frame(
    sums: tl.tensor,  # (D, T, B, 4, HP): gradients of the gates' sums: the state's part of new, reset, update, new; frames in their own order
    totals: tl.tensor,  # (T, B, D, H), float32: gradients of the states, through later frames too
    weights_t: tl.tensor,  # (D, H, 3, HP), gates in the order new, reset, update
    slopes: tl.tensor,  # (5, T, B, D, H), float32
    gradient: tl.tensor,  # (T, B, D, H) by its strides, of what reads the states
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
    inside = (rows < n_rows)[:, None] & (cols < H)[None, :]
    from_later = inside & (t + 1 < n_frames)
    place = ((t * n_rows + rows)[:, None] * D + d) * H + cols[None, :]
    plane = n_frames * n_rows * D * H
    total = tl.load(gradient + t * stride_t + rows[:, None] * stride_b + d * stride_d + cols[None, :], mask=inside, other=0.0).to(tl.float32)
    slope_reset = tl.load(slopes + place, mask=inside, other=0.0)
    slope_update = tl.load(slopes + plane + place, mask=inside, other=0.0)
    slope_state = tl.load(slopes + 2 * plane + place, mask=inside, other=0.0)
    slope_new = tl.load(slopes + 3 * plane + place, mask=inside, other=0.0)
    update = tl.load(slopes + 4 * plane + place + n_rows * D * H, mask=from_later, other=0.0)
    if OVERLAPS:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    total += update * tl.load(totals + place + n_rows * D * H, mask=from_later, other=0.0)
    total += _through_gates(sums + (d * n_frames + after) * n_rows * 4 * HP, weights_t + d * H * 3 * HP, rows, cols, (rows < n_rows) & (t + 1 < n_frames), H, HP, BM, BN, BK, KS)
    tl.store(totals + place, total, mask=inside)
    to = sums + ((d * n_frames + frame) * n_rows + rows)[:, None] * 4 * HP + cols[None, :]
    kept = (rows < n_rows)[:, None] & (cols < HP)[None, :]
    tl.store(to, (slope_state * total).to(sums.dtype.element_ty), mask=kept)
    tl.store(to + HP, (slope_reset * total).to(sums.dtype.element_ty), mask=kept)
    tl.store(to + 2 * HP, (slope_update * total).to(sums.dtype.element_ty), mask=kept)
    tl.store(to + 3 * HP, (slope_new * total).to(sums.dtype.element_ty), mask=kept)


@triton.jit
def _through_gates(sums, weights_t, rows, cols, given, H: tl.constexpr, HP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, KS: tl.constexpr):
    """The gradient of the states that the gates of the frame after read, (BM, BN)."""
    if KS == 1:
        return _through_gates_whole(sums, weights_t, rows, cols, given, H, HP, BM, BN, BK)
    total = tl.zeros((KS, BM, BN), tl.float32)
    for chunk in range(tl.cdiv(3 * HP, KS * BK)):
        k = (chunk * KS + tl.arange(0, KS))[:, None] * BK + tl.arange(0, BK)[None, :]
        factor = tl.load(sums + rows[None, :, None] * 4 * HP + k[:, None, :], mask=given[None, :, None] & (k < 3 * HP)[:, None, :], other=0.0)
        inside = (k < 3 * HP)[:, :, None] & (cols < H)[None, None, :]
        total = tl.dot(factor, tl.load(weights_t + cols[None, None, :] * 3 * HP + k[:, :, None], mask=inside, other=0.0), total)
    return tl.sum(total, 0)


@triton.jit
def _through_gates_whole(sums, weights_t, rows, cols, given, H: tl.constexpr, HP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """The same without slices, for many sequences."""
    total = tl.zeros((BM, BN), tl.float32)
    for chunk in range(tl.cdiv(3 * HP, BK)):
        k = chunk * BK + tl.arange(0, BK)
        factor = tl.load(sums + rows[:, None] * 4 * HP + k[None, :], mask=given[:, None] & (k < 3 * HP)[None, :], other=0.0)
        inside = (k < 3 * HP)[:, None] & (cols < H)[None, :]
        total = tl.dot(factor, tl.load(weights_t + cols[None, :] * 3 * HP + k[:, None], mask=inside, other=0.0), total)
    return total
