"""Richardson extrapolation of central differences: which steps to try, which to keep, how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equiaudit.measure.direction import Function, Tensors, coarsest, evaluate, is_inexact

# One spacing of the output's dtype is taken for its rounding, lest two differences that agree by luck look exact.
ROUNDINGS = 1
SHRINK, GROW = 1 / 8, 8.0


@dataclass(frozen=True)
class Difference:
    """Directional derivatives by central differences.

    Args:
        derivatives: one per output, in its shape and dtype; zero for integer and boolean outputs.
        errors: the estimated error of every entry.
        flat: per output, whether it stayed the same to the last bit at one of the steps.
        relative: per output, the size of the errors over that of the derivative; 0 where the errors are small beside
            the output itself, inf where an entry is not finite.
        steps: per output, the step h that was kept.
        forwards: plain forwards spent so far.
    """

    derivatives: Tensors
    errors: Tensors
    flat: tuple[bool, ...]
    relative: tuple[float, ...]
    steps: tuple[float, ...]
    forwards: int

    def is_within(self, tolerance: float) -> bool:
        """Whether no output's relative error exceeds the tolerance."""
        return all(error <= tolerance for error in self.relative)


def refine(
    function: Function, primals: Tensors, tangents: Tensors, values: Tensors, *, step: float | None = None
) -> Iterator[Difference]:
    """Yield differences, each at least as good as the one before, until another step improves no output.

    The first step balances truncation, h⁴, against rounding, ε/h. Then smaller ones are tried (for a kink, a cutoff, a
    short length scale) and larger ones (for a noisy function). Every output keeps the step with its smallest error.

    >>> x = torch.tensor([1.0], dtype=torch.float64)
    >>> [found.forwards for found in refine(lambda a: [a[0] ** 3], (x,), (x,), (x**3,), step=0.5)]
    [4]

    Args:
        function: list of tensors -> list of tensors; deterministic.
        primals: inputs as `check_direction` returns them.
        tangents: the direction, likewise.
        values: f(x).
        step: a given h; then no other is tried.
    """
    scale = _measure(primals, tangents)
    first = step if step is not None else 2.0 ** math.floor(math.log2(scale.eps**0.25 * scale.length))
    tried = [_differ(function, primals, tangents, values, first, scale)]
    best = _choose(tried, scale)
    yield best
    for factor in (SHRINK, GROW) if step is None else ():
        h = first * factor
        while math.sqrt(scale.eps) * scale.length <= h <= scale.length / 8:
            tried.append(_differ(function, primals, tangents, values, h, scale))
            before, best = best, _choose(tried, scale)
            yield best
            improved = any(new < old / 2 for new, old in zip(best.relative, before.relative, strict=True))
            if not improved and not (factor < 1 and math.inf in best.relative):
                break
            h *= factor


@dataclass(frozen=True)
class _Scale:
    """Spacing of the coarsest dtype; tangents that it takes to change an input; tangents that x + hv is rounded by."""

    eps: float
    length: float
    blur: float


@dataclass(frozen=True)
class _Estimate:
    """One output's derivative from one pair of steps, h and h/2."""

    step: float
    value: Tensor
    error: Tensor
    output: Tensor
    flat: bool

    @property
    def finite(self) -> Tensor:
        return torch.isfinite(self.value)

    @property
    def size(self) -> float:
        return norm(self.error[self.finite])


def _differ(
    function: Function, primals: Tensors, tangents: Tensors, values: Tensors, h: float, scale: _Scale
) -> list[_Estimate]:
    moved = [_evaluate_at(function, primals, tangents, t) for t in (h, -h, h / 2, -h / 2)]
    shapes = [[tuple(y.shape) for y in outputs] for outputs in (values, *moved)]
    for other in shapes[1:]:
        if other != shapes[0]:
            raise ValueError(
                f"the outputs changed shape from {shapes[0]} to {other} when the inputs moved by {h:.1e} tangents; "
                "differences need outputs of a fixed shape: leave this one undeclared, or pad it"
            )
    return [_estimate(h, scale.blur, *outputs) for outputs in zip(values, *moved, strict=True)]


def _evaluate_at(function: Function, primals: Tensors, tangents: Tensors, t: float) -> Tensors:
    with torch.inference_mode(False), torch.no_grad():
        moved = [x.detach() + t * v.detach() for x, v in zip(primals, tangents, strict=True)]
    return evaluate(function, [y.requires_grad_(x.requires_grad) for x, y in zip(primals, moved, strict=True)])


def _estimate(h: float, blur: float, middle: Tensor, *moved: Tensor) -> _Estimate:
    first = moved[0]
    flat = all(torch.equal(first, other) for other in moved[1:])
    if not is_inexact(first):
        return _Estimate(h, torch.zeros_like(first), torch.zeros_like(first), first, flat)
    up, down, half_up, half_down = (widen(y) for y in moved)
    wide, narrow = (up - down) / (2 * h), (half_up - half_down) / h
    # What a smooth function leaves of the even part is h⁴. A kink near x, where wide and narrow may agree on a wrong
    # number, leaves up to its whole jump in slope; and it is a second sample of the noise.
    uneven = ((up + down) - 4 * (half_up + half_down) + 6 * widen(middle.to(up.dtype))).abs() / (2 * h)
    rounding = (ROUNDINGS * torch.finfo(first.dtype).eps * rms(up) + blur * rms(narrow)) / h
    return _Estimate(h, narrow + (narrow - wide) / 3, (narrow - wide).abs() + uneven + rounding, first, flat)


def _choose(tried: Sequence[Sequence[_Estimate]], scale: _Scale) -> Difference:
    best = [_choose_one(estimates) for estimates in zip(*tried, strict=True)]
    return Difference(
        derivatives=tuple(found.value.to(found.output.dtype) for found in best),
        errors=tuple(
            found.error.masked_fill(~found.finite, math.inf) if is_inexact(found.error) else found.error
            for found in best
        ),
        flat=tuple(any(found.flat for found in estimates) for estimates in zip(*tried, strict=True)),
        relative=tuple(_relative(found, scale) for found in best),
        steps=tuple(found.step for found in best),
        forwards=4 * len(tried),
    )


def _choose_one(estimates: Sequence[_Estimate]) -> _Estimate:
    """The estimate with the fewest entries that are not finite, then the smallest error."""
    return min(estimates, key=lambda found: (int((~found.finite).sum()), found.size))


def _relative(found: _Estimate, scale: _Scale) -> float:
    if not bool(found.finite.all()):
        return math.inf
    if found.size * scale.length <= math.sqrt(scale.eps) * norm(widen(found.output)):
        return 0.0
    slope = norm(found.value)
    return found.size / slope if slope > 0 else math.inf


def _measure(primals: Tensors, tangents: Tensors) -> _Scale:
    eps = coarsest(primals)
    lengths, sizes = [], []
    for x, v in zip(primals, tangents, strict=True):
        fastest = float(v.detach().abs().max()) if v.numel() else 0.0
        if 0 < fastest < math.inf:
            size, spread = rms(widen(x.detach())), _spread(widen(x.detach()))
            # A molecule far from the origin changes over its own size, but no less than the rounding of x + hv allows.
            lengths.append((min(size, max(spread, eps**0.25 * size)) or 1.0) / fastest)
            sizes.append(size / fastest)
    return _Scale(eps, min(lengths, default=1.0), eps * max(sizes, default=0.0))


def _spread(x: Tensor) -> float:
    """The RMS of the deviations from the mean row; of the entries where there is one row only."""
    if x.dim() < 2 or x.numel() <= x.shape[-1]:
        return rms(x)
    rows = x.reshape(-1, x.shape[-1])
    return rms(rows - rows.mean(dim=0))


def widen(value: Tensor) -> Tensor:
    """Half precision as float32, so that differences are not rounded once more; other dtypes as they are."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def norm(value: Tensor) -> float:
    """The 2-norm, 0 for an empty or an integer tensor."""
    return float(torch.linalg.vector_norm(value)) if value.numel() and is_inexact(value) else 0.0


def rms(value: Tensor) -> float:
    """The root mean square of the finite entries."""
    finite = value[torch.isfinite(value)]
    return norm(finite) / math.sqrt(max(1, finite.numel()))
