"""The laws that every representation must keep, for the library's and for a user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.groups.laws import TOLERANCE, LawError
from equiaudit.representations.acting import Acting, Moving
from equiaudit.representations.base import Representation, RepresentationError


def check_representation(
    group: Group,
    rep: Representation,
    x: Tensor | None = None,
    samples: int = 6,
    seed: int = 0,
    *,
    tolerance: float = TOLERANCE,
) -> tuple[str, ...]:
    """Check the laws of a representation, on its matrices where it has them and on a tensor.

    ρ(1) = 1, ρ(gh) = ρ(g) ρ(h), ρ(g⁻¹) ρ(g) = 1; ρ(exp A) = exp dρ(A), dρ([A, B]) = [dρ(A), dρ(B)]; the action is what
    the matrix does; one element per row acts as each alone; the tangent is the derivative of the action.

    >>> from equiaudit.groups import SO
    >>> from equiaudit.representations import Vector
    >>> check_representation(SO(3), Vector())  # doctest: +ELLIPSIS
    ('identity', 'homomorphism', 'inverse', 'rows', 'exponential', 'bracket', 'action', 'tangent')

    Args:
        group: the group.
        rep: its representation.
        x: a float64, complex128 or integer tensor to act on; drawn if left out, where the representation says its size.
        samples: how many elements to draw.
        seed: seeds the draws.
        tolerance: relative defect that counts as rounding.

    Returns:
        The names of the laws that were checked: some don't apply to every representation.

    Raises:
        LawError: a law does not hold; the message names the law, the element as code and the defect.
        RepresentationError: the group does not have the representation, or no tensor could be drawn for it.
    """
    rep.check(group)
    rng = np.random.default_rng(seed)
    if x is None:
        x = draw_tensor(group, rep, rng)
    elif (reason := rep.fits(group, x)) is not None:
        raise RepresentationError(f"{rep!r} can't act on this tensor: {reason}")
    drawn = [group.sample(rng) for _ in range(samples)] + [group.generator(name) for name in group.discrete]
    pairs = list(zip(drawn, [*drawn[1:], drawn[0]], strict=True))
    laws = _Laws(group, rep, x, rng, tolerance)
    checked = ["identity", "homomorphism", "inverse"]
    laws.close("identity", group.identity(), rep.act(group.identity(), x), x)
    for g, h in pairs:
        one_after_the_other = rep.act(g, rep.act(h, x))
        laws.close("homomorphism", (g, h), rep.act(g @ h, x), one_after_the_other)
        if (single := _found_again(g @ h)) is not None:
            laws.close("homomorphism", (g, h), rep.act(single, x), one_after_the_other)
        laws.close("inverse", g, rep.act(g.inverse(), rep.act(g, x)), x)
    if laws.check_rows(drawn):
        checked.append("rows")
    if laws.has_matrices():
        laws.check_matrices(pairs)
        checked += (["exponential", "bracket"] if group.dim else []) + ["action"]
    if group.dim:
        laws.check_tangent()
        checked.append("tangent")
    return tuple(checked)


class _Laws:
    def __init__(self, group: Group, rep: Any, x: Tensor, rng: np.random.Generator, tolerance: float) -> None:
        self.group, self.rep, self.x, self.rng, self.tolerance = group, rep, x, rng, tolerance

    def close(
        self, law: str, g: Element | tuple[Element, ...] | str, found: Any, wanted: Any, slack: float = 1.0
    ) -> None:
        code = g if isinstance(g, str) else " and ".join(map(repr, g if isinstance(g, tuple) else (g,)))
        found, wanted = _array(found), _array(wanted)
        if found.shape != wanted.shape:
            raise LawError(f"{law}: {self.rep!r} at {code}: shape {list(found.shape)} against {list(wanted.shape)}")
        size = max(1.0, float(np.abs(wanted).max(initial=0.0)))
        if found.shape == tuple(self.x.shape):  # what moves x rounds relative to x
            size = max(size, float(np.abs(_array(self.x)).max(initial=0.0)))
        defect = float(np.abs(found - wanted).max(initial=0.0)) / size
        allowed = slack * self.tolerance
        if not defect <= allowed:
            raise LawError(f"{law}: {self.rep!r} at {code} is off by {defect:.1e} (allowed {allowed:.1e})")

    def check_rows(self, drawn: list[Element]) -> bool:
        x, rep = self.x, self.rep
        if x.dim() < 2 or rep.relabels or 0 in {d % x.dim() for d in (*rep.rows(x), rep.axis)} or not len(x):
            return False
        acting = Acting(tuple(drawn), torch.arange(len(x)) % len(drawn))
        apart = torch.cat([rep.act(drawn[i % len(drawn)], x[i : i + 1]) for i in range(len(x))])
        self.close("rows", tuple(drawn[: len(x)]), rep.apply(acting, x), apart)
        return True

    def has_matrices(self) -> bool:
        if not hasattr(self.rep, "algebra_matrices"):
            return False
        try:
            self.rep.matrix(self.group.identity())
        except RepresentationError:
            return False
        return True

    def check_matrices(self, pairs: list[tuple[Element, Element]]) -> None:
        rep, group = self.rep, self.group
        for name in group.discrete:
            g = group.generator(name)
            self.close("homomorphism", g, rep.matrix(g), rep.discrete_matrix(group, name))
        for g, h in pairs:
            slack = max(1.0, float(np.abs(rep.matrix(g)).max() * np.abs(rep.matrix(h)).max()))
            self.close("homomorphism", (g, h), rep.matrix(g @ h), rep.matrix(g) @ rep.matrix(h), slack)
            self.close("inverse", g, rep.matrix(g.inverse()) @ rep.matrix(g), np.eye(len(rep.matrix(g))), slack)
            self.close("action", g, _array(rep.act(g, self.x)) - _array(rep.act(g, 0 * self.x)), self.by_matrix(g))
        if group.dim:
            self.check_algebra(rep.algebra_matrices(group))

    def check_algebra(self, algebra: Matrix) -> None:
        for _ in range(4):
            a, b = self.rng.standard_normal((2, self.group.dim)) / np.sqrt(self.group.dim)
            g = self.group.exp(*a)
            self.close("exponential", g, self.rep.matrix(g), expm(np.tensordot(a, algebra, 1)))
            left, right = (np.tensordot(c, self.group.algebra, 1) for c in (a, b))
            both = self.group.project(left @ right - right @ left)
            left, right = (np.tensordot(c, algebra, 1) for c in (a, b))
            code = f"A = {a.tolist()}, B = {b.tolist()}"
            self.close("bracket", code, np.tensordot(both, algebra, 1), left @ right - right @ left)

    def by_matrix(self, g: Element) -> Matrix:
        # The matrix on the dimensions that one vector spans, flattened; one number per entry for scalars.
        matrix, x = self.rep.matrix(g), _array(self.x)
        if matrix.shape == (1, 1):
            return matrix[0, 0] * x
        dims = self.rep.rows(self.x) or (self.rep.axis,)
        moved = np.moveaxis(x, dims, range(-len(dims), 0))
        flat = moved.reshape(*moved.shape[: moved.ndim - len(dims)], -1) @ matrix.T
        return np.moveaxis(flat.reshape(moved.shape), range(-len(dims), 0), dims)

    def check_tangent(self) -> None:
        for _ in range(3):
            c = self.rng.standard_normal(self.group.dim) / np.sqrt(self.group.dim)
            slopes = [self._slope(c, h) for h in (2e-3, 1e-3)]
            found = self.rep.tangent(Moving(self.group, c), self.x)
            self.close("tangent", self.group.exp(*c), found, (4 * slopes[1] - slopes[0]) / 3, 1e-8 / self.tolerance)

    def _slope(self, c: Matrix, h: float) -> Matrix:
        act: Callable[[float], Matrix] = lambda s: _array(self.rep.act(self.group.exp(*(s * c)), self.x))  # noqa: E731
        return (act(h) - act(-h)) / (2 * h)


def draw_tensor(group: Group, rep: Representation, rng: np.random.Generator, rows: int = 7) -> Tensor:
    """A standard normal float64 tensor that carries the representation, complex128 for a complex group.

    Raises:
        RepresentationError: no shape that was tried fits.
    """
    d, n = rep.size(group) or 5, group.space_dim
    shapes = [(rows, d), (d, rows), (rows, d, 2), (rows, d, d), *((rows, *(n,) * rank) for rank in range(1, 5))]
    long = [s for s in shapes if -len(s) <= rep.axis < len(s) and s[rep.axis] == d]  # as long as it must be, first
    for shape in [*long, *shapes]:
        x = rng.standard_normal(shape)
        if np.iscomplexobj(group.algebra):
            x = x + 1j * rng.standard_normal(shape)
        if rep.fits(group, torch.from_numpy(x)) is None:
            return torch.from_numpy(x)
    raise RepresentationError(f"no tensor could be drawn for {rep!r}: none of the shapes {shapes} fits; give x")


def _found_again(g: Element) -> Element | None:
    # g @ h keeps the factors of both, and ρ by factors is a product by construction. The element found from the matrix
    # has factors of its own: only a true representation agrees on it (half-integer spins of SO(3) don't).
    if getattr(g.group, "acts_on_indices", False):
        return None
    try:
        return g.group.element(g.matrix)
    except ValueError:
        return None


def _array(value: Any) -> Matrix:
    found = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    return found if np.iscomplexobj(found) else found.astype(float)
