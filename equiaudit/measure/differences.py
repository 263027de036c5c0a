"""Central differences: a derivative that any function has, and a witness against the derivatives of others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from equiaudit.measure.direction import Function, Tensors, check_direction, evaluate, is_inexact, resolution
from equiaudit.measure.richardson import Difference, norm, refine, widen

# A disagreement counts from four estimated errors on; an estimate above this share of the derivative decides nothing.
CERTAIN, USABLE = 4.0, 0.1


def central_difference(
    function: Function, primals: Sequence[Tensor], tangents: Sequence[Tensor], *, step: float | None = None
) -> tuple[Tensors, Tensors]:
    """Differentiate along a direction from function values alone.

    D(h) = (f(x + hv) − f(x − hv)) / 2h, extrapolated to (4 D(h/2) − D(h)) / 3. The error is taken as |D(h/2) − D(h)|,
    plus the like for the even part of f, where a kink shows, plus a rounding of f over h.

    Five forwards where the function is smooth on the scale of its inputs, up to 33 where other steps have to be tried.

    >>> x, v = torch.tensor([1.0], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    >>> (slope,), (error,) = central_difference(lambda a: [a[0] ** 3], [x], [v])
    >>> bool((slope - 6).abs() < error < 1e-5)
    True

    Args:
        function: list of tensors -> list of tensors; deterministic.
        primals: floating-point or complex inputs, where to differentiate.
        tangents: the direction, one tensor in the shape of each primal.
        step: h, in units of the tangent. By default from the dtype and from the sizes of primals and tangents, then
            smaller or larger while that improves the error estimate.

    Returns:
        Derivatives and error estimates, each a tuple in the shapes of the outputs.

    Raises:
        ValueError: numbers or shapes that differ, between primals and tangents or between outputs at two steps.
        TypeError: an integer primal, or outputs that are not tensors.

    Source: Ridders, Advances in Engineering Software 4 (1982) 75, for the extrapolation and its error estimate.
    """
    primals, tangents = check_direction(primals, tangents)
    for found in refine(function, primals, tangents, evaluate(function, primals), step=step):
        if found.is_within(resolution(primals)):
            break
    return found.derivatives, found.errors


def cross_check(
    function: Function, primals: Sequence[Tensor], tangents: Sequence[Tensor], derivatives: Sequence[Tensor]
) -> float:
    """Compare a derivative D with central differences D_h, whose estimated errors are ε_h.

    max over outputs of max(0, ‖D − D_h‖ − 4 ‖ε_h‖) / max(‖D‖, ‖D_h‖)

    0 where nothing speaks against the derivative, 1 for a silent zero, 2 for a wrong sign, inf where an entry is finite
    on one side only. Five forwards where the function is smooth, up to 33 elsewhere.

    >>> x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    >>> cross_check(lambda a: [a[0] ** 2], [x], [x], [2 * x**2])
    0.0
    >>> round(cross_check(lambda a: [a[0] ** 2], [x], [x], [torch.zeros(2)]), 3)
    1.0

    Args:
        function: list of tensors -> list of tensors; deterministic.
        primals: where the derivative was taken.
        tangents: its direction.
        derivatives: the derivative in question, one tensor per output.

    Returns:
        The relative disagreement of the worst output.

    Raises:
        ValueError: numbers or shapes that differ.
        TypeError: an integer primal, or outputs that are not tensors.
    """
    primals, tangents = check_direction(primals, tangents)
    values = evaluate(function, primals)
    expected, found = [tuple(y.shape) for y in values], [tuple(d.shape) for d in derivatives]
    if expected != found:
        raise ValueError(f"expected derivatives in the shapes of the outputs, {expected}, got {found}")
    return Witness(function, primals, tangents, values).oppose(derivatives)


def disagreement(derivatives: Sequence[Tensor], difference: Difference) -> float:
    """The formula of `cross_check`, for a difference at hand."""
    worst = 0.0
    for ours, theirs, error in zip(derivatives, difference.derivatives, difference.errors, strict=True):
        if not is_inexact(theirs):
            continue
        if ours.shape != theirs.shape:
            return math.inf
        ours, theirs = widen(ours.detach().to(theirs.device)), widen(theirs)
        finite = torch.isfinite(ours)
        if bool((finite != torch.isfinite(theirs)).any()):
            return math.inf
        ours, theirs, error = ours[finite], theirs[finite], error[finite]
        excess = norm(ours - theirs) - CERTAIN * norm(error)
        if excess > 0:
            worst = max(worst, excess / max(norm(ours), norm(theirs)))
    return worst


@dataclass
class Witness:
    """Central differences of one function along one direction: made when first needed, then kept and refined.

    Args:
        function: list of tensors -> list of tensors; deterministic.
        primals: inputs as `check_direction` returns them.
        tangents: the direction, likewise.
        values: f(x).
    """

    function: Function
    primals: Tensors
    tangents: Tensors
    values: Tensors | None = None
    latest: Difference | None = field(default=None, init=False)
    stream: Iterator[Difference] | None = field(default=None, init=False)

    @property
    def forwards(self) -> int:
        """Plain forwards spent so far."""
        return self.latest.forwards if self.latest is not None else 0

    @property
    def errors(self) -> Tensors | None:
        """The error estimates so far."""
        return self.latest.errors if self.latest is not None else None

    def settle(self) -> Difference:
        """The first difference that is accurate, or the best there is."""
        return self._until(lambda found: found.is_within(resolution(self.primals)))

    def oppose(self, derivatives: Sequence[Tensor]) -> float:
        """As `cross_check`, from the differences at hand where they suffice."""
        allowed = resolution(self.primals)
        found = self._until(lambda now: now.is_within(USABLE) and disagreement(derivatives, now) <= allowed)
        return disagreement(derivatives, found)

    def moving(self, outputs: Sequence[int]) -> list[int]:
        """Those of the numbered outputs that change at every step tried; a step function needs a small one."""
        if not outputs:
            return []
        found = self._until(lambda found: all(found.flat[k] or found.relative[k] <= USABLE for k in outputs))
        return [k for k in outputs if not found.flat[k]]

    def _open(self) -> Iterator[Difference]:
        if self.stream is None:
            assert self.values is not None
            self.stream = refine(self.function, self.primals, self.tangents, self.values)
        return self.stream

    def _until(self, enough: Callable[[Difference], bool]) -> Difference:
        while self.latest is None or not enough(self.latest):
            try:
                better = next(self._open(), None)
            except Exception as problem:
                problem.add_note("raised when the inputs moved along the direction, for central differences")
                raise
            if better is None:
                break
            self.latest = better
        assert self.latest is not None
        return self.latest
