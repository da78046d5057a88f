"""A fast gated recurrent unit: Triton kernels or cuDNN on a GPU, and a few large matrix products, computed here, on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from madsep.models.gpu import kernels_serve
from madsep.models.recurrence import Residual, needs_gradients, without_last


class Gru(nn.GRU):
    """One layer, one direction, batch first, zero initial state: (B, T, F) -> (B, T, H); equations and weights are `torch.nn.GRU`'s.

    Under autocast, products are computed in bfloat16 and everything else in float32: on a CPU by the operations below, on a GPU by the
    kernels of `gru_triton`. If Triton is missing or autocast is off, a GPU uses cuDNN in float32 or TensorFloat-32, because PyTorch's
    autocast would choose float16, in which small gradients vanish.
    """

    def __init__(self, n_inputs: int, n_hidden: int) -> None:
        super().__init__(n_inputs, n_hidden, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]  # states only
        """Return the states of all frames."""
        if inputs.device.type == "cpu":
            states: Tensor = _CpuGru.apply(inputs, needs_gradients(inputs, *self.parameters()), *self.parameters())  # type: ignore[no-untyped-call]
            return states
        by_kernels = _by_kernels((self,), inputs)
        if by_kernels is not None:
            return by_kernels[:, :, 0]
        if inputs.device.type == "cuda":
            with torch.autocast("cuda", enabled=False):
                return super().forward(inputs)[0]
        return super().forward(inputs)[0]


def encode(forward: Gru, backward: Gru, inputs: Tensor, n_unread: int = 0) -> Tensor:
    """Return the states of two GRUs plus the inputs that each reads, concatenated: (B, T, F) -> (B, T - n_unread, 2F).

    The second GRU reads the frames in reversed order, and its half stays in that order: frame t has read frames T-1 ... T-1-t. Each stops
    `n_unread` frames before its end, for callers that need only earlier states.
    """
    by_kernels = _by_kernels((forward, backward), inputs, "output", n_unread)
    if by_kernels is not None:
        return by_kernels.flatten(2)
    read, flipped = without_last(inputs, n_unread), without_last(inputs.flip(1), n_unread)
    return torch.cat((forward(read) + read, backward(flipped) + flipped), -1)


def recurrent_residual(gru: Gru, inputs: Tensor) -> Tensor:
    """Run a GRU whose input is added to its state within the recurrence, h_t = GRU(x_t, h_{t-1}) + x_t: (B, T, F) -> (B, T, F)."""
    by_kernels = _by_kernels((gru,), inputs, "recurrent")
    if by_kernels is not None:
        return by_kernels[:, :, 0]
    weight_ih, weight_hh, bias_ih, bias_hh = gru.parameters()
    projected = functional.linear(inputs, weight_ih, bias_ih)
    state = inputs.new_zeros(inputs.shape[0], gru.hidden_size)
    states = []
    for frame in range(inputs.shape[1]):
        reset_x, update_x, new_x = projected[:, frame].chunk(3, -1)
        reset_h, update_h, new_h = functional.linear(state, weight_hh, bias_hh).chunk(3, -1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        state = new + update * (state - new) + inputs[:, frame]
        states.append(state)
    return torch.stack(states, 1)


def _by_kernels(grus: tuple[Gru, ...], inputs: Tensor, residual: Residual = "none", n_unread: int = 0) -> Tensor | None:
    """Return the states (B, T - n_unread, D, H) of D equally large GRUs, or None if the kernels cannot run. The second reads backwards."""
    if not (inputs.is_cuda and torch.is_autocast_enabled("cuda") and kernels_serve(inputs.device)):
        return None
    from madsep.models import gru_triton  # imports Triton

    if not gru_triton.fits(inputs, grus[0].hidden_size, len(grus)):
        return None
    with torch.autocast("cuda", enabled=False):
        return gru_triton.states(inputs, [list(gru.parameters()) for gru in grus], residual, n_unread)


class _CpuGru(torch.autograd.Function):
    """GRU on a CPU. Products of single frames are memory-bound, so those that need no earlier state cover all frames at once.

    In backward, these are the derivatives at the gates and the gradients of both weights. The unit is that of Cho et al., EMNLP 2014, with
    the reset gate after the product, as in cuDNN. Inside, tensors are (T, B, ...) and gates are in the order reset, update, new.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: Tensor, keep: bool, *weights: Tensor) -> Tensor:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else inputs.dtype
        n_hidden, (n_sequences, n_frames, _) = weight_hh.shape[1], inputs.shape
        frames = inputs.transpose(0, 1).to(dtype).contiguous()
        low_ih, low_hh = weight_ih.to(dtype), weight_hh.to(dtype)
        bias_new = bias_hh[2 * n_hidden :]
        projected = functional.linear(frames, low_ih).to(inputs.dtype)
        projected += bias_ih + torch.cat((bias_hh[: 2 * n_hidden], torch.zeros_like(bias_new)))
        states = inputs.new_zeros(n_frames + 1, n_sequences, n_hidden)
        low_states = states.to(dtype)  # the same tensor if nothing is rounded
        n_kept = n_frames if keep else 1
        gates = inputs.new_empty(n_kept, 4, n_sequences, n_hidden)  # reset, update, new, and W_hn h + b_hn
        for frame in range(n_frames):
            reset, update, new, new_state = gates[frame % n_kept]
            recurrent = functional.linear(low_states[frame], low_hh)
            reset_h, update_h, new_h = recurrent.chunk(3, -1)
            reset_x, update_x, new_x = projected[frame].chunk(3, -1)
            torch.add(reset_x, reset_h, out=reset).sigmoid_()
            torch.add(update_x, update_h, out=update).sigmoid_()
            torch.add(new_h, bias_new, out=new_state)
            torch.addcmul(new_x, reset, new_state, out=new).tanh_()
            torch.lerp(new, states[frame], update, out=states[frame + 1])
            if low_states is not states:
                low_states[frame + 1] = states[frame + 1]
        if keep:
            ctx.save_for_backward(frames, low_ih, low_hh, states, low_states, gates)
        return states[1:].transpose(0, 1).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        frames, low_ih, low_hh, states, low_states, gates = ctx.saved_tensors
        n_sequences, n_frames, n_hidden = grad_states.shape
        reset, update, new, new_state = gates.unbind(1)
        d_new = (1 - update) * (1 - new.square())  # derivative of the state with respect to new's pre-activation
        slopes = torch.stack((d_new * new_state * reset * (1 - reset), (states[:-1] - new) * update * (1 - update), d_new * reset), 2)
        grad_gates = frames.new_empty(n_frames, n_sequences, 3, n_hidden)  # gradients of the products W_hh h
        grad_new = torch.empty_like(d_new)
        grad_state = torch.zeros_like(states[0])
        # products of few rows are fastest by rows of a matrix in bfloat16, but by its columns in float32
        low_hh_t = low_hh.t().contiguous() if low_hh.dtype == torch.bfloat16 else low_hh.t()
        for frame in range(n_frames - 1, -1, -1):
            grad_state = grad_state + grad_states[:, frame]
            grad_gates[frame] = slopes[frame] * grad_state.unsqueeze(1)
            torch.mul(d_new[frame], grad_state, out=grad_new[frame])
            through_gates = functional.linear(grad_gates[frame].flatten(1), low_hh_t)
            grad_state = torch.addcmul(through_gates.to(grad_state.dtype), grad_state, update[frame])
        of_states = grad_gates.reshape(-1, 3 * n_hidden)
        of_inputs = torch.cat((grad_gates[:, :, :2], grad_new.to(frames.dtype).unsqueeze(2)), 2).reshape(-1, 3 * n_hidden)
        dtype = grad_states.dtype
        grad_inputs = (of_inputs @ low_ih).to(dtype).reshape(n_frames, n_sequences, -1).transpose(0, 1)
        grad_ih = (of_inputs.t() @ frames.flatten(0, 1)).to(dtype)
        grad_hh = (of_states.t() @ low_states[:-1].flatten(0, 1)).to(dtype)
        return grad_inputs, None, grad_ih, grad_hh, of_inputs.to(dtype).sum(0), of_states.to(dtype).sum(0)
