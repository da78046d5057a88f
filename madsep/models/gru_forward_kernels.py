"""Triton kernels for the recurrent unit's forward pass: one frame of all directions, and the weights in the layout that it reads.

Sizes: T frames that a direction reads, B sequences, D directions, H units. Rows in low precision have HP >= H elements. HP is a multiple of
8, so that rows are aligned, and the padding is zero. Direction 0 reads the frames from first to last, direction 1 from last to first. Both
stop `n_unread` frames before their ends. The index t counts the frames in the order in which a direction reads them. Gates are in the order
reset, update, new. Each program computes BN units of BM sequences. Its products are split into KS slices of BK factors, which its warps
share.

For input x and previous state h', the state is h = (1 - z) n + z h' with the gates r = sigmoid(a_r), z = sigmoid(a_z) and n = tanh(a_n).
Their pre-activations are a_r, a_z (both W_i x + b_i + W_h h' + b_h) and a_n = W_in x + b_in + r (W_hn h' + b_hn), as in `torch.nn.GRU`.
"""

import triton
import triton.language as tl


@triton.jit
def lower(
    weight: tl.tensor,  # (3H, H), float32
    low: tl.tensor,  # (D, 3, H, HP)
    low_t: tl.tensor,  # (D, H, 3, HP), if BOTH; gates in the order new, reset, update
    direction: tl.tensor,
    H: tl.constexpr,
    HP: tl.constexpr,
    BOTH: tl.constexpr,
    SIZE: tl.constexpr,
) -> None:
    """Round a direction's recurrent matrix for the forward pass and, if BOTH, for the backward pass."""
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


@triton.jit(do_not_specialize=["t", "n_frames", "n_unread", "n_rows", "stride_t", "stride_b"])
def forward_frame(
    states: tl.tensor,  # (T, B, D, H), float32
    low: tl.tensor,  # (D, T, B, HP), frames in input order: the states, rounded
    slopes: tl.tensor,  # (5, T, B, D, H), float32: derivatives for the backward pass, if KEEP
    weights: tl.tensor,  # (D, 3, H, HP)
    projected: tl.tensor,  # (D, T, B, 3, HP), frames in input order: products W_i x
    bias_ih: tl.tensor,  # (D, 3, H)
    bias_hh: tl.tensor,  # (D, 3, H)
    inputs: tl.tensor,  # (T + n_unread, B, H), strided
    outputs: tl.tensor,  # (T, B, D, H), float32: states plus inputs, if RESIDUAL is "output"
    t: tl.tensor,
    n_frames: tl.tensor,
    n_unread: tl.tensor,
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
    """Compute frame t of all directions. If RESIDUAL is "recurrent", inputs are added within the recurrence."""
    d = tl.program_id(1)
    cols, rows = tl.program_id(0) * BN + tl.arange(0, BN), tl.program_id(2) * BM + tl.arange(0, BM)
    frame = tl.where(d == 0, t, n_frames - 1 - t)
    before = tl.where(d == 0, frame - 1, frame + 1)
    given, inside = rows < n_rows, (rows < n_rows)[:, None] & (cols < H)[None, :]
    x = projected + ((d * n_frames + frame) * n_rows + rows)[:, None] * 3 * HP + cols[None, :]
    biases_ih, biases_hh = bias_ih + d * 3 * H + cols, bias_hh + d * 3 * H + cols
    reset_x = _gate_of_inputs(x, biases_ih, biases_hh, inside, cols < H, True)
    update_x = _gate_of_inputs(x + HP, biases_ih + H, biases_hh + H, inside, cols < H, True)
    new_x = _gate_of_inputs(x + 2 * HP, biases_ih + 2 * H, biases_hh, inside, cols < H, False)
    bias_new = tl.load(biases_hh + 2 * H, mask=cols < H, other=0.0)[None, :]
    if RESIDUAL != "none":
        added = tl.load(inputs + (frame + d * n_unread) * stride_t + rows[:, None] * stride_b + cols[None, :], mask=inside, other=0.0)
    if OVERLAPS:  # nothing read so far is written by the kernel of frame t - 1
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    place = ((t * n_rows + rows)[:, None] * D + d) * H + cols[None, :]
    previous = tl.load(states + place - n_rows * D * H, mask=inside & (t > 0), other=0.0)
    low_before, weights_d = low + (d * n_frames + before) * n_rows * HP, weights + d * 3 * H * HP
    if KS == 1:
        reset_h, update_h, new_h = _gates(low_before, weights_d, rows, cols, given & (t > 0), H, HP, BM, BN, BK)
    else:
        reset_h, update_h, new_h = _sliced_gates(low_before, weights_d, rows, cols, given & (t > 0), H, HP, BM, BN, BK, KS)
    reset, update, new_h = tl.sigmoid(reset_x + reset_h), tl.sigmoid(update_x + update_h), new_h + bias_new
    new = 2 * tl.sigmoid(2 * (new_x + reset * new_h)) - 1  # tanh
    state = new + update * (previous - new)
    if RESIDUAL == "recurrent":
        state += added
    if RESIDUAL == "output":
        tl.store(outputs + place, state + added, mask=inside)
    tl.store(states + place, state, mask=inside)
    rounded = low + ((d * n_frames + frame) * n_rows + rows)[:, None] * HP + cols[None, :]
    tl.store(rounded, state.to(low.dtype.element_ty), mask=given[:, None] & (cols < HP)[None, :])
    if KEEP:
        _keep_slopes(slopes + place, n_frames * n_rows * D * H, reset, update, new, new_h, previous, inside)


@triton.jit
def _gate_of_inputs(
    x: tl.tensor, bias_ih: tl.tensor, bias_hh: tl.tensor, inside: tl.tensor, given: tl.tensor, BOTH: tl.constexpr
) -> tl.tensor:
    """Return a gate's product with the inputs plus `bias_ih` and, if BOTH, `bias_hh`."""
    found = tl.load(x, mask=inside, other=0.0).to(tl.float32) + tl.load(bias_ih, mask=given, other=0.0)[None, :]
    if BOTH:
        found += tl.load(bias_hh, mask=given, other=0.0)[None, :]
    return found


@triton.jit
def _keep_slopes(
    to: tl.tensor,
    plane: tl.tensor,
    reset: tl.tensor,
    update: tl.tensor,
    new: tl.tensor,
    new_h: tl.tensor,
    previous: tl.tensor,
    inside: tl.tensor,
) -> None:
    """Store dh/da_r, dh/da_z, dh/d(W_hn h' + b_hn), dh/da_n, and dh/dh' = z without the paths through the gates."""
    of_new = (1 - update) * (1 - new * new)
    tl.store(to, of_new * new_h * reset * (1 - reset), mask=inside)
    tl.store(to + plane, (previous - new) * update * (1 - update), mask=inside)
    tl.store(to + 2 * plane, of_new * reset, mask=inside)
    tl.store(to + 3 * plane, of_new, mask=inside)
    tl.store(to + 4 * plane, update, mask=inside)


@triton.jit
def _gates(
    low: tl.tensor,
    weights: tl.tensor,
    rows: tl.tensor,
    cols: tl.tensor,
    given: tl.tensor,
    H: tl.constexpr,
    HP: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
) -> tl.tuple:
    """Return the states' products with the three gates' matrices, (BM, BN) each, for many sequences."""
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


@triton.jit
def _sliced_gates(
    low: tl.tensor,
    weights: tl.tensor,
    rows: tl.tensor,
    cols: tl.tensor,
    given: tl.tensor,
    H: tl.constexpr,
    HP: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    KS: tl.constexpr,
) -> tl.tuple:
    """Return the same for few sequences, for which splitting a product over the warps is faster."""
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
def _add(
    reset: tl.tensor, update: tl.tensor, new: tl.tensor, other_reset: tl.tensor, other_update: tl.tensor, other_new: tl.tensor
) -> tl.tuple:
    return reset + other_reset, update + other_update, new + other_new
