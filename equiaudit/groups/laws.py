"""The laws that every group must keep, for the library's families and for a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.linalg import null_space

from equiaudit.groups.base import Element, Exp, Group, Matrix, NotInGroupError
from equiaudit.groups.parsing import parse, parse_group

TOLERANCE = 1e-9
"""Relative defect allowed where only rounding of float64 matrices is expected."""


class LawError(AssertionError):
    """A law that does not hold; the message names the law, the element as code and the defect."""


def check_group(
    group: Group,
    samples: int = 8,
    seed: int = 0,
    *,
    draws: int = 2000,
    tolerance: float = TOLERANCE,
    names: Mapping[str, Group] | None = None,
) -> tuple[str, ...]:
    """Check the laws of a group on drawn and special elements.

    Identity, inverse, closure, exponentials that add up along a line and agree with exact factors, an algebra closed
    under brackets and under the discrete generators, matrices that lead back to the element, code that evaluates
    back, listed elements, and for compact groups the first two Haar moments of the draws.

    >>> shears = Group("shears", [[[0.0, 1.0], [0.0, 0.0]]])
    >>> check_group(shears)
    ('identity', 'inverse', 'closure', 'exponential', 'bracket', 'discrete', 'element')

    Args:
        group: the group.
        samples: how many elements to draw for each law.
        seed: seeds the draws.
        draws: how many elements the Haar moments are averaged over; 0 leaves them out.
        tolerance: relative defect that counts as rounding.
        names: the group by the name that its elements' code starts with, where it is not one of the library's.

    Returns:
        The names of the laws that were checked: some don't apply to every group.

    Raises:
        LawError: a law does not hold.
    """
    rng = np.random.default_rng(seed)
    drawn = [group.sample(rng) for _ in range(samples)]
    elements = [group.identity(), *drawn, *group.special_elements().values()]
    checked = ["identity", "inverse", "closure"]
    if not group.identity().is_identity():
        raise LawError(f"identity: {group.identity()!r} is not the identity")
    for g in elements:
        _small("inverse", f"{g!r}", (g @ g.inverse()).matrix - np.eye(group.size), tolerance * _condition(g))
    for g, h in zip(drawn, [*drawn[1:], *drawn[:1]], strict=True):
        product = g.matrix @ h.matrix
        _small("closure", f"({g!r}) @ ({h!r})", (g @ h).matrix - product, tolerance * _size(product))
        _member("closure", g @ h, product)
    if group.dim:
        _check_exponential(group, rng, samples, tolerance)
        for g in elements:
            _check_coordinates(g, tolerance)
        _check_algebra(group, tolerance)
        checked += ["exponential", "bracket", "discrete"]
    for g in elements:
        found = _member("element", g, g.matrix)
        _small("element", f"{g!r}", found.matrix - g.matrix, tolerance * _size(g.matrix))
    checked.append("element")
    if _is_known(group, names):
        for g in [*elements, *(g.inverse() for g in drawn)]:
            _check_code(g, names)
        checked.append("code")
    if group.is_finite and (group.order or 0) <= 200:
        _check_listed(group)
        checked.append("listed")
    if draws and is_compact(group):
        check_haar_moments(group, draws, seed)
        checked.append("haar")
    return tuple(checked)


def is_compact(group: Group) -> bool:
    """Whether the group acts on vectors by unitary matrices (translations left aside)."""
    basis, generators = _on_vectors(group)
    skew = all(np.abs(a + a.conj().T).max() < 1e-12 for a in basis)
    return skew and all(np.abs(h @ h.conj().T - np.eye(len(h))).max() < 1e-12 for h in generators)


def check_haar_moments(
    group: Group, draws: int = 2000, seed: int = 0, draw: Callable[..., Element] | None = None
) -> None:
    """Compare the mean of R and of R ⊗ R̄ over draws with the projectors on what the group leaves fixed.

    For Haar measure E[ρ(g)] is that projector, for every representation ρ: for SO(3), E[R] = 0 and E[R ⊗ R] projects on
    the unit matrix. The entries are at most 1, so a mean over n draws is within 6/√n of it.

    Args:
        group: a compact group.
        draws: how many elements to average over.
        seed: seeds the draws.
        draw: the sampler, ``group.sample`` if left out.

    Raises:
        LawError: a moment is off by more than chance allows.
    """
    rng = np.random.default_rng(seed)
    total: dict[int, Any] = {1: 0.0, 2: 0.0}
    for _ in range(draws):
        r = (draw or group.sample)(rng).linear
        total = {1: total[1] + r, 2: total[2] + np.kron(r, r.conj())}
    basis, generators = _on_vectors(group)
    eye = np.eye(len(generators[0]) if len(generators) else basis.shape[-1])
    squared = [np.kron(a, eye) + np.kron(eye, a.conj()) for a in basis]
    fixed = {
        1: _fixed([*basis, *(h - eye for h in generators)], len(eye)),
        2: _fixed([*squared, *(np.kron(h, h.conj()) - np.eye(len(eye) ** 2) for h in generators)], len(eye) ** 2),
    }
    for power, name in {1: "E[R]", 2: "E[R ⊗ R̄]"}.items():
        defect = float(np.abs(total[power] / draws - fixed[power]).max())
        if not defect <= 6.0 / np.sqrt(draws):
            raise LawError(
                f"haar: {name} over {draws} draws of {group!r} (seed {seed}) is off by {defect:.2g} "
                f"(chance allows {6.0 / np.sqrt(draws):.2g}); the draws are not uniform: "
                "give the group sample=, or leave this law out with draws=0"
            )


def _on_vectors(group: Group) -> tuple[Matrix, list[Matrix]]:
    cut = slice(None, -1) if group.affine else slice(None)
    return group.algebra[:, cut, cut], [h[cut, cut] for h in group.discrete.values()]


def _fixed(equations: list[Matrix], size: int) -> Matrix:
    kept = null_space(np.concatenate(equations), rcond=1e-9) if equations else np.eye(size)
    return kept @ kept.conj().T


def _check_exponential(group: Group, rng: np.random.Generator, samples: int, tolerance: float) -> None:
    for _ in range(samples):
        c = rng.standard_normal(group.dim) / np.sqrt(group.dim)
        s, t = rng.uniform(-1.0, 1.0, 2)
        whole = group.exp(*((s + t) * c)).matrix
        parts = group.exp(*(s * c)).matrix @ group.exp(*(t * c)).matrix
        _small("exponential", f"{group.exp(*c)!r} at {s:.3f} + {t:.3f}", whole - parts, tolerance * _size(whole))
        step = 1e-4
        slope = (group.exp(*(step * c)).matrix - group.exp(*(-step * c)).matrix) / (2 * step)
        wanted = np.tensordot(c, group.algebra, 1)
        _small("exponential", f"{group.exp(*c)!r}, derivative at 0", slope - wanted, 1e-6 * _size(wanted))


def _check_coordinates(g: Element, tolerance: float) -> None:
    exps = [f for f in g.factors if isinstance(f, Exp)]
    for factor in exps:
        if factor.exact is not None:
            off = g.group.exponential(factor.coordinates) - factor.exact
            _small("exponential", f"{g!r}, its exact factor {factor.spell()}", off, tolerance * _size(factor.exact))
    try:
        c = g.coordinates
    except ValueError:
        return  # not every product of exponentials is one
    product = g.group.product(exps)
    off = g.group.exponential(c) - product
    _small("exponential", f"{g!r}, its coordinates {c}", off, tolerance * _size(product))


def _check_algebra(group: Group, tolerance: float) -> None:
    for i, a in enumerate(group.algebra):
        for j, b in enumerate(group.algebra[:i]):
            _in_algebra("bracket", group, f"[A{i}, A{j}]", a @ b - b @ a, tolerance)
        for name, h in group.discrete.items():
            _in_algebra("discrete", group, f"{name} A{i} {name}⁻¹", h @ a @ np.linalg.inv(h), tolerance)


def _in_algebra(law: str, group: Group, what: str, generator: Matrix, tolerance: float) -> None:
    nearest = np.tensordot(group.project(generator), group.algebra, 1)
    _small(
        law, f"{what} of {group!r} against the span of the algebra", generator - nearest, tolerance * _size(generator)
    )


def _check_code(g: Element, names: Mapping[str, Group] | None) -> None:
    try:
        again = parse(repr(g), names)
    except ValueError as error:
        raise LawError(f"code: {g!r} does not evaluate: {error}") from error
    if again.group != g.group or not np.array_equal(again.matrix, g.matrix):
        defect = float(np.abs(again.matrix - g.matrix).max()) if again.matrix.shape == g.matrix.shape else np.inf
        raise LawError(f"code: {g!r} evaluates to another element, off by {defect:.1e} (allowed 0)")


def _check_listed(group: Group) -> None:
    listed = group.elements()
    if group.order is not None and len(listed) != group.order:
        raise LawError(f"listed: {group!r} lists {len(listed)} elements, its order is {group.order}")
    if not listed[0].is_identity():
        raise LawError(f"listed: {group!r} lists {listed[0]!r} first, not the identity")
    for i, g in enumerate(listed):
        gap = min((float(np.abs(g.matrix - h.matrix).max()) for h in listed[:i]), default=1.0)
        if gap < 1e-6:
            raise LawError(f"listed: {group!r} lists {g!r} twice (difference {gap:.1e})")


def _is_known(group: Group, names: Mapping[str, Group] | None) -> bool:
    try:
        return parse_group(repr(group), names) == group
    except ValueError:
        return False


def _member(law: str, g: Element, matrix: Matrix) -> Element:
    try:
        return g.group.element(matrix)
    except NotInGroupError as error:
        raise LawError(f"{law}: the matrix of {g!r} is refused: {error}") from error


def _small(law: str, where: str, defect: Matrix, allowed: float) -> None:
    size = float(np.abs(defect).max(initial=0.0))
    if not size <= allowed:
        raise LawError(f"{law}: {where} is off by {size:.1e} (allowed {allowed:.1e})")


def _size(matrix: Any) -> float:
    return max(1.0, float(np.abs(matrix).max(initial=0.0)))


def _condition(g: Element) -> float:
    return _size(g.matrix) * _size(g.inverse().matrix)
