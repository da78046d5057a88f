"""The GRU against PyTorch's own."""

import pytest
import torch
from torch import Tensor, nn

from madsep.models.gru import Gru, encode


def states_and_gradients(gru: nn.Module, inputs: Tensor, weights: Tensor) -> list[Tensor]:
    """States, and gradients of their weighted sum with respect to inputs and parameters."""
    inputs = inputs.clone().requires_grad_()
    states = gru(inputs)
    states = states[0] if isinstance(states, tuple) else states
    gru.zero_grad()
    (states * weights).sum().backward()
    return [states.detach(), inputs.grad, *(parameter.grad.clone() for parameter in gru.parameters())]


@pytest.fixture(params=[(1, 1, 1, 1), (3, 7, 5, 4), (16, 20, 24, 48)], ids=str)
def case(request):
    n_sequences, n_frames, n_inputs, n_hidden = request.param
    torch.manual_seed(n_frames)
    gru = Gru(n_inputs, n_hidden)
    peer = nn.GRU(n_inputs, n_hidden, batch_first=True)
    peer.load_state_dict(gru.state_dict())
    return gru, peer, torch.randn(n_sequences, n_frames, n_inputs), torch.randn(n_sequences, n_frames, n_hidden)


def test_double_precision_equals_pytorch_to_rounding(case):
    gru, peer, inputs, weights = case
    found = states_and_gradients(gru.double(), inputs.double(), weights.double())
    expected = states_and_gradients(peer.double(), inputs.double(), weights.double())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_single_precision_equals_pytorch_to_rounding(case):
    gru, peer, inputs, weights = case
    for one, other in zip(states_and_gradients(gru, inputs, weights), states_and_gradients(peer, inputs, weights), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_bfloat16_products_stay_near_and_everything_else_is_single_precision(case):
    gru, peer, inputs, weights = case
    expected = states_and_gradients(peer, inputs, weights)
    with torch.autocast("cpu", torch.bfloat16):
        found = states_and_gradients(gru, inputs, weights)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 0.02 * other.norm() + 1e-6
    assert not torch.equal(found[0], expected[0])


def test_without_gradients_the_states_are_the_same(case):
    gru, _, inputs, _ = case
    with torch.no_grad():
        frozen = gru(inputs)
    assert torch.equal(frozen, gru(inputs).detach())


def test_a_strided_input_is_read_in_its_own_order(case):
    gru, peer, inputs, _ = case
    flipped = inputs.transpose(0, 1).contiguous().transpose(0, 1).flip(1)
    torch.testing.assert_close(gru(flipped), peer(flipped)[0], rtol=1e-5, atol=1e-6)


def test_without_gradients_the_gates_of_one_frame_are_kept(case, monkeypatch):
    gru, _, inputs, _ = case
    sizes = []
    new_empty = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, *size, **options: sizes.append(size) or new_empty(self, *size, **options))
    with torch.inference_mode():
        gru(inputs)
    gru(inputs)
    n_frames = inputs.shape[1]
    assert [size[0] for size in sizes] == [1, n_frames]


@pytest.mark.parametrize("n_unread", [0, 1, 5])
def test_an_encoder_that_stops_early_gives_the_states_and_gradients_of_one_that_does_not(n_unread):
    torch.manual_seed(n_unread)
    grus = [Gru(6, 6).double() for _ in range(2)]
    inputs, weights = torch.randn(3, 7, 6).double().requires_grad_(), torch.randn(3, 7 - n_unread, 12).double()
    wanted = [inputs, *(parameter for gru in grus for parameter in gru.parameters())]
    found, whole = encode(*grus, inputs, n_unread), encode(*grus, inputs)[:, : 7 - n_unread]
    torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-12)
    for one, other in zip(*(torch.autograd.grad((states * weights).sum(), wanted) for states in (found, whole)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
