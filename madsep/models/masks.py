"""Masks that several families form from what they compute of each source."""

from torch import Tensor


def ratio_masks(activations: Tensor, floor: float) -> Tensor:
    """Return each source's share of the non-negative activations (B, S, T, N). Shares sum to 1 over the sources.

    The published code of HEL1's base divides y_i by sum_j y_j + epsilon, so that no source gets a bin in which all activations are zero.
    Here `floor` is added to each activation, (y_i + floor) / sum_j (y_j + floor): such bins are shared equally and no energy is lost.
    """
    floored = activations + floor
    return floored / floored.sum(1, keepdim=True)
