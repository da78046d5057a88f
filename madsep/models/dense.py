"""Dense layers with aligned products on a GPU. Numbers of bins are odd, and products of odd sizes are slow there."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from madsep.models.gpu import kernels_serve

ALIGNED = 8  # number of 16-bit elements in the 16 bytes that a GPU loads at once
SIZE = 1024  # bins per program


class Dense(nn.Linear):
    """`torch.nn.Linear`. Under autocast on a GPU, inputs and outputs are zero-padded in memory to multiples of 8."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return W x + b, (..., N) -> (..., M)."""
        if _low(inputs) is None or not (self.in_features % ALIGNED or self.out_features % ALIGNED):
            return super().forward(inputs)
        outputs: Tensor = _AlignedLinear.apply(inputs, self.weight, self.bias, _low(inputs))  # type: ignore[no-untyped-call]
        return outputs

    def masking(self, inputs: Tensor, magnitudes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mask ReLU(W x + b) and its product with magnitudes: (B, T, N) and (B, T, M) -> (B, T, M), twice."""
        if _low(inputs) is not None and kernels_serve(inputs.device):
            mask, products = _Masking.apply(inputs, self.weight, self.bias, magnitudes, _low(inputs))  # type: ignore[no-untyped-call]
            return mask, products
        mask = torch.relu(self(inputs)).to(magnitudes.dtype)
        return mask, mask * magnitudes


class _AlignedLinear(torch.autograd.Function):
    """Linear layer with inputs, weights and outputs rounded to `low` and padded. Gradients of the weights are float32."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, low: torch.dtype) -> Tensor:
        low_inputs, low_weight, outputs = _linear(inputs, weight, bias, low)
        ctx.save_for_backward(low_inputs, low_weight)
        ctx.like = inputs.shape, inputs.dtype, weight.shape
        return torch.unflatten(outputs, 0, inputs.shape[:-1])[..., : len(weight)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        low_inputs, low_weight = ctx.saved_tensors
        low_gradient = padded(gradient, low_inputs.dtype)
        return *_gradients(low_gradient, low_inputs, low_weight, ctx.like, ctx.needs_input_grad[0]), None


class _Masking(torch.autograd.Function):
    """An aligned layer, the positive part of its outputs, and their product with magnitudes."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, magnitudes: Tensor, low: torch.dtype) -> tuple[Tensor, Tensor]:
        from madsep.models import fused_kernels  # imports Triton

        low_inputs, low_weight, mask = _linear(inputs, weight, bias, low)
        given = magnitudes if magnitudes.stride(2) == 1 else magnitudes.contiguous()
        products = given.new_empty(given.shape)
        grid = (len(mask), -(-mask.shape[1] // SIZE))
        sizes = (given.shape[1], given.stride(0), given.stride(1), given.shape[2], mask.shape[1], SIZE)
        fused_kernels.skip_filter[grid](mask, given, products, *sizes)
        ctx.save_for_backward(low_inputs, low_weight, mask, given)
        ctx.like = inputs.shape, inputs.dtype, weight.shape
        ctx.set_materialize_grads(False)
        return mask.unflatten(0, given.shape[:2])[..., : len(weight)], products

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mask: Tensor | None, of_products: Tensor | None) -> tuple[Tensor | None, ...]:
        from madsep.models import fused_kernels

        low_inputs, low_weight, mask, given = ctx.saved_tensors
        gradient = torch.zeros_like(given) if of_products is None else of_products.contiguous()
        of_activations, of_magnitudes = torch.empty_like(mask), torch.empty_like(gradient)
        grid = (len(mask), -(-mask.shape[1] // SIZE))
        sizes = (given.shape[1], given.stride(0), given.stride(1), given.shape[2], mask.shape[1], SIZE)
        both = ctx.needs_input_grad[3]
        fused_kernels.skip_filter_back[grid](mask, given, gradient, of_activations, of_magnitudes, *sizes, BOTH=both)
        if of_mask is not None:
            of_activations += padded(of_mask, mask.dtype) * (mask > 0)
        found = _gradients(of_activations, low_inputs, low_weight, ctx.like, ctx.needs_input_grad[0])
        return *found, of_magnitudes if both else None, None


def _low(inputs: Tensor) -> torch.dtype | None:
    """Return the type that factors are rounded to, or None without autocast or on a CPU, which needs no alignment."""
    dtype: torch.dtype = torch.get_autocast_dtype("cuda")
    return dtype if inputs.is_cuda and torch.is_autocast_enabled("cuda") else None


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor, low: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, weight and outputs W x + b of a layer, as padded matrices."""
    low_inputs, low_bias = padded(inputs, low), padded(bias, low)
    low_weight = padded(weight, low, rounded_up(len(weight)))
    return low_inputs, low_weight, torch.addmm(low_bias, low_inputs, low_weight.t())


def _gradients(gradient: Tensor, low_inputs: Tensor, low_weight: Tensor, like: Any, of_inputs: bool) -> tuple[Tensor | None, ...]:
    """Return the gradients of inputs, weight and bias from that of the outputs, a padded matrix."""
    shape, dtype, (n_outputs, n_inputs) = like
    of_weight = product(gradient.t(), low_inputs)[:n_outputs, :n_inputs]
    of_bias = column_sums(gradient)[:n_outputs]
    if not of_inputs:
        return None, of_weight, of_bias
    return (gradient @ low_weight)[:, :n_inputs].unflatten(0, shape[:-1]).to(dtype), of_weight, of_bias


def padded(values: Tensor, low: torch.dtype, n_rows: int | None = None) -> Tensor:
    """Return (..., N) rounded to `low`, with rows zero-padded to a multiple of 8 elements and, if given, to `n_rows` rows."""
    n = values.shape[-1]
    if n % ALIGNED == 0 and n_rows in (None, len(values)):
        return values.to(low, memory_format=torch.contiguous_format).reshape(-1, n) if values.dim() > 1 else values.to(low)
    leading = values.shape[:-1] if n_rows is None else (n_rows,)
    found = values.new_zeros(*leading, rounded_up(n), dtype=low)
    found[tuple(slice(size) for size in values.shape)] = values
    return found.flatten(0, -2) if values.dim() > 1 else found


def product(one: Tensor, other: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the product of two matrices, summed and stored in float32, in `out` if given."""
    if one.dtype == torch.float32:
        return torch.mm(one, other, out=out)
    return torch.mm(one, other, out_dtype=torch.float32) if out is None else torch.mm(one, other, out_dtype=torch.float32, out=out)


def column_sums(values: Tensor) -> Tensor:
    """Return the sum over the rows of a matrix in float32, by a product, which is faster than a sum."""
    return product(values.new_ones(ALIGNED, len(values)), values)[0]


def rounded_up(size: int) -> int:
    """Return the smallest multiple of 8 that is at least `size`."""
    return -(-size // ALIGNED) * ALIGNED
