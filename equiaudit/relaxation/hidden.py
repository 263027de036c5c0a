"""Which representation the features of a relaxed layer really carry: a linear fit between h(x) and h(gx)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.measure.precision import is_inexact
from equiaudit.relaxation.relaxed import Relaxed
from equiaudit.relaxation.report import HiddenFit
from equiaudit.relaxation.site import LinearSite
from equiaudit.representations.base import RepresentationError
from equiaudit.representations.structures import leaves, map_leaves
from equiaudit.symmetry import Symmetry

CLOSE = 1e-2
"""Below this relative residual the declared representation holds, for the purpose of this question."""
BETTER = 1 / 3
"""The fitted map explains what the declared one does not if it leaves less than this part of the residual."""
FITS = 0.1
"""Above this relative residual no linear map explains the features, even if it does better than the declared one."""
NOISE = 1e-5
"""Directions of the features below this part of the largest are rounding (of single precision)."""
SPARE = 1.5
"""Rows to fit on, in multiples of the features."""
LINEAR = "linear in the input: not decidable"
"""A linear map of features that carry a representation carries one too, whatever the map: nothing was learned there."""


@dataclass
class _Seen:
    """The features that went into a layer and came out of it, call by call."""

    into: list[Tensor] = field(default_factory=list)
    out: list[Tensor] = field(default_factory=list)

    def rows(self, dim: int) -> Tensor:
        """What came out, as rows in double precision."""
        return torch.cat([h.reshape(-1, dim) for h in self.out]).double()


def fit_hidden(
    handle: Relaxed, inputs: Any, claims: list[Symmetry], run: Callable[[Any, Any], Any], seed: int, notes: list[str]
) -> tuple[HiddenFit, ...]:
    """Fit T_g with h(gx) ≈ T_g h(x) on half of the rows of each relaxed layer, and compare with ρ_out(g) on the others.

    Features that are linear in the input always have such a T_g, as have linear maps of features that carry the declared
    representation: nothing is said about them. The first is tried on the mean of x and gx.
    """
    claim = next((s for s in claims if s.group is not None and s.inputs is not None and _plain(s)), None)
    if claim is None:
        return ()
    g = claim.acts.sample(np.random.default_rng(seed))
    try:
        moved = claim.act_on_inputs(g, inputs)
        here, there = _features(handle, inputs, run), _features(handle, moved, run)
    except (RepresentationError, ValueError, RuntimeError) as error:
        notes.append(f"hidden representations were not fitted: {error}")
        return ()
    try:
        between = _features(handle, _mean(inputs, moved), run)
    except Exception:  # the model's own: it may refuse such an input
        between = {}
    nothing = _Seen()
    return tuple(
        _compare(handle, name, g, *(seen.get(name, nothing) for seen in (here, there, between)))
        for name in handle.relaxations
    )


def _mean(first: Any, second: Any) -> Any:
    others = dict(leaves(second))
    return map_leaves(lambda path, leaf: (leaf + others[path]) / 2 if is_inexact(leaf) else leaf, first)


def _plain(symmetry: Symmetry) -> bool:
    return not getattr(symmetry.acts, "acts_on_indices", False)


def _features(handle: Relaxed, inputs: Any, run: Callable[[Any, Any], Any]) -> dict[str, _Seen]:
    found: dict[str, _Seen] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            site, seen = module.relaxation.site, found.setdefault(name, _Seen())
            seen.into.append(_flat(site, args[0] if args else kwargs[module.relaxation.argument], site.shape_in))
            seen.out.append(_flat(site, output, site.shape_out))

        return hook

    hooks = [handle.layer(name).register_forward_hook(keep(name), with_kwargs=True) for name in handle.relaxations]
    try:
        run(handle.module, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _flat(site: LinearSite, value: Any, shape: tuple[int, ...]) -> Tensor:
    h = site.read(value).detach()
    return h.flatten(-len(shape)) if len(shape) > 1 else h


def _compare(handle: Relaxed, name: str, g: Any, here: _Seen, there: _Seen, between: _Seen) -> HiddenFit:
    site = handle.relaxations[name].site
    if site.convolution is not None:
        return HiddenFit(name, None, None, "unknown", "features on a grid")
    if not here.out or [h.shape for h in here.out] != [h.shape for h in there.out]:
        return HiddenFit(name, None, None, "unknown", "not called, or with other shapes on the transformed input")
    x, y = here.rows(site.dim_out), there.rows(site.dim_out)
    try:
        turned = site.rep_out.act(g, x)
        carried = _carried(site, g, here, there)
    except (RepresentationError, ValueError, AttributeError):
        return HiddenFit(name, None, None, "unknown", f"{site.rep_out!r} does not belong to {g.group!r}")
    fit, test = slice(0, None, 2), slice(1, None, 2)
    size = float(y[test].square().mean().sqrt()) or 1.0
    declared = float((y - turned)[test].square().mean().sqrt()) / size
    if declared <= CLOSE:
        return HiddenFit(name, declared, None, "as declared")
    if carried or _is_linear(here, there, between, site.dim_out):
        return HiddenFit(name, declared, None, "unknown", LINEAR)
    if len(x[fit]) < SPARE * site.dim_out:
        need = int(2 * SPARE * site.dim_out)
        return HiddenFit(
            name, declared, None, "unknown", f"{len(x)} rows for {site.dim_out} features; give {need} or more"
        )
    solution = torch.linalg.pinv(x[fit], rtol=NOISE) @ y[fit]
    fitted = float((y - x @ solution)[test].square().mean().sqrt()) / size
    if fitted >= BETTER * declared or fitted > FITS:
        return HiddenFit(name, declared, fitted, "not equivariant")
    return HiddenFit(name, declared, fitted, "moved", _relation(x[fit], solution, site.rep_out, g))


def _carried(site: LinearSite, g: Any, here: _Seen, there: _Seen) -> bool:
    # whether what went into the layer carries the declared representation
    x, y = (torch.cat([h.reshape(-1, site.dim_in) for h in seen.into]).double() for seen in (here, there))
    return float((y - site.rep_in.act(g, x)).norm()) <= CLOSE * float(y.norm())


def _is_linear(here: _Seen, there: _Seen, between: _Seen, dim: int) -> bool:
    if [h.shape for h in between.out] != [h.shape for h in here.out]:
        return False
    mean = (here.rows(dim) + there.rows(dim)) / 2
    size = float(here.rows(dim).norm() + there.rows(dim).norm())
    return float((between.rows(dim) - mean).norm()) <= NOISE * size


def _relation(x: Tensor, solution: Tensor, rep: Any, g: Any) -> str:
    # equivalent representations have the same trace at every element; T_g is known only where the features span
    if int(torch.linalg.matrix_rank(x, rtol=NOISE)) < x.shape[-1]:
        return "the features do not span, so that it can't be compared with the declared one"
    ours = rep.act(g, torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)).diagonal().sum()
    close = abs(float(solution.diagonal().sum() - ours)) < CLOSE * x.shape[-1]
    return "the declared one in another basis" if close else "not equivalent to the declared one"
