"""The rounding floor by Monte Carlo arithmetic: relative noise of the size of a rounding error after every inexact operation."""

from __future__ import annotations

import functools
import random
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equiaudit.measure.precision import real_dtype, roundoff

POOL = 1 << 18

# Operations that only move, copy, select or create data: their results are exact.
_EXACT = frozenset(
    """
    _to_copy alias arange argmax argmin argsort as_strided as_strided_ bitwise_and bitwise_not bitwise_or
    broadcast_tensors bucketize cat clone constant_pad_nd contiguous copy copy_ detach diag_embed diagonal
    diagonal_scatter dropout embedding empty empty_like empty_strided eq expand expand_copy eye fill fill_ flip full
    full_like gather ge gt hstack index index_copy index_copy_ index_fill index_fill_ index_put index_put_
    index_select isfinite isinf isnan item le lift lift_fresh lift_fresh_copy linspace logical_and logical_not
    logical_or lt masked_fill masked_fill_ masked_scatter masked_select max_pool2d_with_indices maximum minimum max
    min amax amin clamp clamp_ clamp_min clamp_min_ clamp_max clamp_max_ relu relu_ abs abs_ neg neg_ sign sign_
    round floor ceil trunc where select select_scatter slice slice_scatter sort sort_stable topk movedim narrow
    native_dropout ne new_empty new_empty_strided new_full new_ones new_zeros nonzero ones ones_like permute
    pixel_shuffle pixel_unshuffle rand rand_like randn randn_like randint randperm repeat resize_ resize roll rot90
    scalar_tensor scatter set_ split split_with_sizes squeeze squeeze_ stack swapaxes t t_ tile to transpose
    transpose_ tril triu unbind unfold unique unsqueeze unsqueeze_ unsafe_view view view_as_complex view_as_real
    zeros zeros_like zero_ conj _conj _conj_physical real imag resolve_conj _local_scalar_dense equal is_same_size
    threshold threshold_backward searchsorted select_backward slice_backward embedding_dense_backward _reshape_alias
    _unsafe_view record_stream bernoulli bernoulli_ uniform_ normal_ random_ exponential_ isin unique_dim
    unique_consecutive _unique2 histc one_hot reflection_pad2d replication_pad2d reflection_pad1d replication_pad1d
    median mode kthvalue cummax cummin _sparse_coo_tensor_unsafe
    """.split()  # noqa: SIM905  as a list this would be a page long
)


# Contractions: cancellation inside one kernel leaves errors of the size of its terms, not of its result.
_CONTRACTIONS = frozenset(
    """
    mm addmm bmm baddbmm mv addmv dot vdot linear convolution convolution_backward _convolution conv1d conv2d conv3d
    mkldnn_convolution cudnn_convolution _scaled_dot_product_attention_math _fft_c2c _fft_r2c _fft_c2r matmul addbmm
    einsum
    """.split()  # noqa: SIM905  as a list this would be a page long
)


# Arithmetic that is exact where it gives whole numbers: bins, counters, parities.
_WHOLE = frozenset(
    [
        "add",
        "add_",
        "sub",
        "sub_",
        "mul",
        "mul_",
        "div",
        "div_",
        "rsub",
        "remainder",
        "remainder_",
        "fmod",
        "floor_divide",
        "sum",
    ]
)


def _whole(t: Tensor) -> bool:
    if t.is_complex() or t.is_meta or t.numel() > 4096 or torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    return bool((t == t.round()).all())


# Operations whose result can jump: a model without any of them has no ties, cutoffs or degenerate frames.
JUMPING = frozenset(
    """
    argmax argmin argsort sort sort_stable topk kthvalue median mode unique unique_dim unique_consecutive _unique2
    max min searchsorted bucketize nonzero masked_select lt le gt ge eq ne sign sgn round floor ceil trunc remainder
    fmod floor_divide atan2 angle linalg_eigh _linalg_eigh linalg_eig _linalg_svd linalg_svd linalg_qr cummax cummin
    isin heaviside histc
    """.split()  # noqa: SIM905  as a list this would be a page long
)


class NoiseMode(TorchDispatchMode):
    """While active, the result of every inexact operation is multiplied by 1 + k·u·ξ, ξ uniform in [−1, 1].

    After a contraction (matrix product, convolution) the noise is relative to the RMS along the last dimension where
    that is larger than the entry. u is the unit roundoff of the coarsest floating dtype in the operation, at most that
    of ``declared``: what a model computes more coarsely than it declares counts as error, not as rounding. Sees
    scripted graphs and gradients that are taken inside a forward; can't see numpy, or inside one kernel.

    Args:
        amplitude: k.
        declared: the dtype that the model declares.
        seed: of the noise, drawn from generators of its own.

    Source: Parker, "Monte Carlo Arithmetic", UCLA 1997.
    """

    def __init__(self, amplitude: float, declared: torch.dtype, seed: int) -> None:
        super().__init__()
        self.amplitude, self.limit = amplitude, roundoff(declared)
        self.seen: set[str] = set()
        self._random = random.Random(seed)
        self._pool = _pool()
        self._placed: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would wrap __torch_dispatch__ for its compiler: a second of imports, and one more call per operation
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        self.seen.add(name)
        if name in _EXACT or func.is_view:
            return out
        results = [out] if isinstance(out, Tensor) else [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        inexact = [t for t in results if t.is_floating_point() or t.is_complex()]
        if not inexact:
            return out
        seen = {t.dtype for t in (*_tensors(args, kwargs), *inexact)}
        u = max(_roundoff(d) for d in seen if d.is_floating_point or d.is_complex)
        if name in _WHOLE and all(_whole(t) for t in inexact):
            return out
        for t in inexact:
            self.shake(t, self.amplitude * min(u, self.limit), name in _CONTRACTIONS)
        return out

    def shake(self, t: Tensor, size: float, contracted: bool = False) -> None:
        """t ← t·(1 + size·ξ) in place; for contractions t + size·ξ·max(|t|, rms(t))."""
        if not t.numel() or t.layout != torch.strided or t._is_zerotensor():
            return  # forward mode makes zeros without storage
        if any(s == 0 for s, n in zip(t.stride(), t.shape, strict=True) if n > 1):
            return  # an expanded result shares memory with itself
        if t.is_complex():
            t = torch.view_as_real(t)
        if not contracted or not t.dim():
            return self._add(t, t, size)
        # the images and channels of a convolution share their rounding errors; so do the columns of a product
        typical = torch.linalg.vector_norm(t, dim=-1, keepdim=True) / t.shape[-1] ** 0.5
        self._add(t, t.abs().clamp_(min=typical), size)

    def _add(self, t: Tensor, weight: Tensor, size: float) -> None:
        """t ← t + size·ξ·weight in place, the noise of large tensors repeating."""
        key = (t.device, t.dtype)
        if key not in self._placed:
            self._placed[key] = self._pool.to(t.device, t.dtype)
        n, half = t.numel(), POOL // 2
        start = self._random.randrange(half)
        noise = self._placed[key][start : start + half]
        order = sorted(range(t.dim()), key=t.stride, reverse=True)
        t, weight = t.permute(order), weight.permute(order)
        if not t.is_contiguous() or not weight.is_contiguous():  # its memory has gaps
            t.addcmul_(weight, noise.repeat(n // half + 1)[:n].view(t.shape), value=size)
            return
        t, weight, whole = t.view(-1), weight.view(-1), n - n % half
        if whole:
            t[:whole].view(-1, half).addcmul_(weight[:whole].view(-1, half), noise, value=size)
        if n > whole:
            t[whole:].addcmul_(weight[whole:], noise[: n - whole], value=size)


def _tensors(args: Any, kwargs: Any) -> list[Tensor]:
    found = [a for a in args if isinstance(a, Tensor)]
    nested = [a for a in args if isinstance(a, (list, tuple, dict))]
    if nested or kwargs:
        found += [t for t in tree_leaves((nested, kwargs)) if isinstance(t, Tensor)]
    return found


@functools.cache
def _pool() -> Tensor:
    # One pool of noise for all, read from a new offset for each operation, which the seed decides: drawing per operation
    # costs more than the model, and random numbers can't be drawn below torch.func's transforms.
    with torch.inference_mode(False):
        return torch.rand(POOL, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@functools.cache
def _roundoff(dtype: torch.dtype) -> float:
    return roundoff(real_dtype(dtype))
