"""Which representation the features of a relaxed layer really carry: a linear fit between h(x) and h(gx)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.relaxation.relaxed import Relaxed
from equiaudit.relaxation.report import HiddenFit
from equiaudit.representations.base import RepresentationError
from equiaudit.symmetry import Symmetry

CLOSE = 1e-2
"""Below this relative residual the declared representation holds, for the purpose of this question."""
BETTER = 1 / 3
"""The fitted map explains what the declared one does not if it leaves less than this part of the residual."""
NOISE = 1e-5
"""Directions of the features below this part of the largest are rounding (of single precision)."""
SPARE = 1.5
"""Rows to fit on, in multiples of the features."""


def fit_hidden(
    handle: Relaxed, inputs: Any, claims: list[Symmetry], run: Callable[[Any, Any], Any], seed: int, notes: list[str]
) -> tuple[HiddenFit, ...]:
    """Fit T_g with h(gx) ≈ T_g h(x) on half of the rows of each relaxed layer, and compare with ρ_out(g) on the others."""
    claim = next((s for s in claims if s.group is not None and s.inputs is not None and _plain(s)), None)
    if claim is None:
        return ()
    g = claim.acts.sample(np.random.default_rng(seed))
    try:
        here = _features(handle, inputs, run)
        there = _features(handle, claim.act_on_inputs(g, inputs), run)
    except (RepresentationError, ValueError, RuntimeError) as error:
        notes.append(f"hidden representations were not fitted: {error}")
        return ()
    return tuple(_compare(handle, name, g, here.get(name, []), there.get(name, [])) for name in handle.relaxations)


def _plain(symmetry: Symmetry) -> bool:
    return not getattr(symmetry.acts, "acts_on_indices", False)


def _features(handle: Relaxed, inputs: Any, run: Callable[[Any, Any], Any]) -> dict[str, list[Tensor]]:
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: Any, _args: Any, output: Any) -> None:
            site = module.relaxation.site
            h = site.read(output).detach()
            found.setdefault(name, []).append(h.flatten(-len(site.shape_out)) if len(site.shape_out) > 1 else h)

        return hook

    hooks = [handle.layer(name).register_forward_hook(keep(name)) for name in handle.relaxations]
    try:
        run(handle.module, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _compare(handle: Relaxed, name: str, g: Any, here: list[Tensor], there: list[Tensor]) -> HiddenFit:
    site = handle.relaxations[name].site
    if site.convolution is not None:
        return HiddenFit(name, None, None, "unknown", "features on a grid")
    if not here or [h.shape for h in here] != [h.shape for h in there]:
        return HiddenFit(name, None, None, "unknown", "not called, or with other shapes on the transformed input")
    x = torch.cat([h.reshape(-1, site.dim_out) for h in here]).double()
    y = torch.cat([h.reshape(-1, site.dim_out) for h in there]).double()
    try:
        turned = site.rep_out.act(g, x)
    except (RepresentationError, ValueError, AttributeError):
        return HiddenFit(name, None, None, "unknown", f"{site.rep_out!r} does not belong to {g.group!r}")
    fit, test = slice(0, None, 2), slice(1, None, 2)
    size = float(y[test].square().mean().sqrt()) or 1.0
    declared = float((y - turned)[test].square().mean().sqrt()) / size
    if declared <= CLOSE:
        return HiddenFit(name, declared, None, "as declared")
    if len(x[fit]) < SPARE * site.dim_out:
        need = int(2 * SPARE * site.dim_out)
        return HiddenFit(
            name, declared, None, "unknown", f"{len(x)} rows for {site.dim_out} features; give {need} or more"
        )
    solution = torch.linalg.pinv(x[fit], rtol=NOISE) @ y[fit]
    fitted = float((y - x @ solution)[test].square().mean().sqrt()) / size
    if fitted >= BETTER * declared:
        return HiddenFit(name, declared, fitted, "not equivariant")
    return HiddenFit(name, declared, fitted, "moved", _relation(x[fit], solution, site.rep_out, g))


def _relation(x: Tensor, solution: Tensor, rep: Any, g: Any) -> str:
    # equivalent representations have the same trace at every element; T_g is known only where the features span
    if int(torch.linalg.matrix_rank(x, rtol=NOISE)) < x.shape[-1]:
        return "the features do not span, so that it can't be compared with the declared one"
    ours = rep.act(g, torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)).diagonal().sum()
    close = abs(float(solution.diagonal().sum() - ours)) < CLOSE * x.shape[-1]
    return "the declared one in another basis" if close else "not equivalent to the declared one"
