"""Masks that several families compute from one activation per source."""

from torch import Tensor


def ratio_masks(activations: Tensor, floor: float) -> Tensor:
    """Return each source's share of the non-negative activations (B, S, T, N). Shares sum to 1 over the sources.

    The code on which HEL1 is based divides y_i by sum_j y_j + epsilon. A bin in which all activations are zero then goes to no source.
    Here `floor` is added to each activation, (y_i + floor) / sum_j (y_j + floor). Such bins are shared equally, and no energy is lost.
    """
    floored = activations + floor
    return floored / floored.sum(1, keepdim=True)
