"""project: take the relaxation away, fold what is equivariant into the layers, and report what that changed."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.measure.audit import audit as run_audit
from equiaudit.records import Audit
from equiaudit.relaxation.bounds import called, relative_change, telescoping_bound
from equiaudit.relaxation.hidden import fit_hidden
from equiaudit.relaxation.modes import detach_buffers, evaluating, keeping_modes
from equiaudit.relaxation.module import Relaxation, add_relaxation, detach
from equiaudit.relaxation.recalibrate import recalibrate, statistics
from equiaudit.relaxation.relaxed import Relaxed
from equiaudit.relaxation.report import DROPPED, FOLDED, NOT_FOLDABLE, HiddenFit, LayerProjection, ProjectionReport
from equiaudit.relaxation.schedule import IDLE, listing
from equiaudit.representations.structures import map_leaves
from equiaudit.symmetry import Symmetry, as_arguments

METHODS = ("drop", "fold")
SLACK, ROUNDING = 1.01, 1e-5
"""By how much a measured change may be above its bound: the power method stops early, and outputs are rounded."""
Forward = Callable[[Any, Any], Any]


def project(
    relaxed: Relaxed | nn.Module,
    method: str = "drop",
    inplace: bool = False,
    *,
    inputs: Any = None,
    symmetry: Symmetry | Sequence[Symmetry] | None = None,
    forward: Forward | None = None,
    metric: Callable[[nn.Module], Any] | None = None,
    loader: Iterable[Any] | None = None,
    confirm: Callable[..., Audit] | str | None = "auto",
    seed: int = 0,
) -> tuple[nn.Module, ProjectionReport]:
    """Project a relaxed model back on the equivariant ones: f + θ·W becomes f, or f plus the equivariant part of θ·W.

    The result has the class and the ``state_dict`` keys of the original; no relaxation and no hook is left in it.

    Args:
        relaxed: the handle, or a relaxed model (such as the copy inside an exponential moving average).
        method: "drop" takes W away, as the paper does; "fold" first adds the Reynolds projection of θ·W to the layer's own
            parameters, where these can hold it. After a finished schedule (θ = 0) the two agree.
        inplace: project the model itself; a copy by default.
        inputs: an input of the model (a tuple: several arguments). Without it outputs and audits are left out.
        symmetry: the claim that is audited; that of ``relax`` if left out.
        forward: ``forward(model, inputs) -> outputs`` for models that are called otherwise.
        metric: ``metric(model) -> float``, called before and after.
        loader: batches on which running statistics (batch norms) are estimated anew: those of the relaxed forward are wrong
            afterwards. A batch is an input, or a tuple or list (input, …); of ``inputs`` with n arguments its first n
            entries; a mapping is given as keywords where ``inputs`` is none; ``forward`` is used where it is given.
        confirm: "auto": ``equiaudit.confirm_equivariant`` on the result where hypothesis is installed; a function called as
            ``confirm(model, inputs, symmetry)``; None: don't.
        seed: of the draws.

    Returns:
        The model and a ``ProjectionReport``.

    Raises:
        ValueError: an unknown method. RelaxationError: nothing is relaxed.

    >>> from equiaudit import Symmetry, groups, relax
    >>> from equiaudit.relaxation.vector_neurons import VNLinear
    >>> relaxed = relax(VNLinear(2, 2), Symmetry(groups.O(3), "vector", "vector"), init="default")
    >>> relaxed.theta = 0.5
    >>> model, report = project(relaxed, method="fold", inputs=torch.randn(8, 2, 3), confirm=None)
    >>> report.audit_before.verdict.value, report.audit_after.verdict.value, list(model.state_dict())
    ('BROKEN', 'EXACT', ['weight'])
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    handle = relaxed if isinstance(relaxed, Relaxed) else Relaxed(relaxed)
    claim = _claims(symmetry if symmetry is not None else handle.symmetry)
    run = forward or call
    notes: list[str] = []
    with evaluating(handle.module):
        metric_before = _measure(metric, handle.module)
        hidden: tuple[HiddenFit, ...] = ()
        outputs = bound = audit_before = None
        if inputs is not None:
            names, outputs = called(handle, inputs, lambda model, given: run_detached(run, model, given))
            notes += _not_called([name for name in handle.relaxations if name not in names])
            hidden = fit_hidden(handle, inputs, claim, run, seed, notes)
            if method == "drop":
                bound = telescoping_bound(handle, inputs, run, notes, seed)
            else:
                notes.append("no bound: it is one for dropping W, and folding keeps a part of it")
            audit_before = _audit(handle.module, inputs, claim, forward, "quick", seed, notes)
    idle = [name for name, found in handle.relaxations.items() if found.norm() == found.start]
    if idle:
        notes.append(f"the relaxation of {listing(idle)} was never trained: {IDLE}")
    detach_buffers(handle.module)
    model = handle.module if inplace else copy.deepcopy(handle.module)
    own = Relaxed(model)
    layers = tuple(_project_layer(own, name, method) for name in list(own.relaxations))
    _nothing_left(model)
    recalibrated, missed = ((), ()) if loader is None else recalibrate(model, loader, inputs, forward)
    change = audit_after = confirmed = None
    with evaluating(model):
        metric_after = _measure(metric, model)
        if inputs is not None:
            change = relative_change(outputs, run_detached(run, model, inputs), notes)
            audit_after = _audit(model, inputs, claim, forward, "default", seed, notes)
            confirmed = _confirm(confirm, model, inputs, claim, forward, notes)
    if loader is None and any(statistics(m) for m in model.modules()):
        notes.append("batch-norm statistics are those of the relaxed forward; give loader= to estimate them anew")
    if missed:
        notes.append(
            f"running statistics of {listing(missed)} are still those of the relaxed forward: not called on the batches of "
            "loader=, or without a momentum that averages them"
        )
    if change is not None and bound is not None and change > SLACK * bound + ROUNDING:
        notes.append("the change is above the bound: the Jacobian does not see all that the layers do to the output")
    notes += _warnings(layers, hidden)
    report = ProjectionReport(
        method, layers, change, bound, metric_before, metric_after, audit_before, audit_after, confirmed, hidden,
        recalibrated, tuple(dict.fromkeys(notes)),
    )  # fmt: skip
    return model, report


@torch.no_grad()
def _project_layer(handle: Relaxed, name: str, method: str) -> LayerProjection:
    layer, found = handle.layer(name), handle.relaxations[name]
    site, weight, theta = found.site, found.weight.detach(), float(found.strength().detach())
    size = float(weight.norm())
    part = site.equivariant_part(layer, weight)
    share = float(part.norm() / size) ** 2 if part is not None and size > 0 else None
    outcome, held, note = DROPPED, None, ""
    if method == "fold":
        outcome, held, note = _fold(handle.module, layer, found, part, theta)
    detach(layer)
    return LayerProjection(name, site.kind, outcome, theta, size, abs(theta) * size, share, held, note)


def _fold(
    model: nn.Module, layer: nn.Module, found: Relaxation, part: Tensor | None, theta: float
) -> tuple[str, float | None, str]:
    if found.site.fold is None:
        return NOT_FOLDABLE, None, f"a {type(layer).__name__} has no parameters for a linear map of its first input"
    if part is None:
        return NOT_FOLDABLE, None, f"the equivariant part of its kernel is not known for {found.site.group!r}"
    problem = _not_its_own(model, layer)
    if problem:
        return NOT_FOLDABLE, None, problem
    wanted = theta * part
    size = float(wanted.norm())
    if size == 0:
        return FOLDED, None, "nothing to add"
    with keeping_modes(layer):  # escnn builds and discards buffers
        added = found.site.fold(layer, wanted)
    return FOLDED, float(added.norm()) / size, ""


def _not_its_own(model: nn.Module, layer: nn.Module) -> str | None:
    """Why what is added to the parameters of a layer would be lost, or reach elsewhere; None where it would not."""
    weight = getattr(layer, "weight", None)
    if nn.utils.parametrize.is_parametrized(layer):
        return "its weight is parametrized"
    if isinstance(weight, Tensor) and "weight" not in layer._parameters and "weight" not in layer._buffers:
        return "its weight is computed from other parameters"
    own = {id(p) for p in layer.parameters()}
    inside = set(layer.modules())
    for name, other in model.named_modules():
        if other not in inside and any(id(p) in own for p in other._parameters.values() if p is not None):
            return f"it shares a parameter with {name or 'the model'}"
    return None


def _nothing_left(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, Relaxation) or add_relaxation in module._forward_hooks.values():
            raise AssertionError(f"relaxation is left at {name}: a fault of equiaudit")


def call(model: Any, inputs: Any) -> Any:
    """The model on its arguments; only an exact tuple means several."""
    return model(*as_arguments(inputs))


def run_detached(run: Forward, model: nn.Module, inputs: Any) -> Any:
    """The outputs without a graph (models may take gradients inside)."""
    return map_leaves(lambda _, leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, run(model, inputs))


def _measure(metric: Callable[[nn.Module], Any] | None, model: nn.Module) -> float | None:
    if metric is None:
        return None
    value = metric(model)
    return float(value.detach() if isinstance(value, Tensor) else value)


def _claims(symmetry: Any) -> list[Symmetry]:
    if symmetry is None:
        return []
    return [symmetry] if isinstance(symmetry, Symmetry) else list(symmetry)


def _audit(
    model: nn.Module, inputs: Any, claims: list[Symmetry], forward: Any, effort: str, seed: int, notes: list[str]
) -> Audit | None:
    usable = [s for s in claims if s.group is not None and s.inputs is not None]
    if not usable:
        notes.append(
            "not audited: no symmetry of the whole model was given; symmetry=Symmetry(group, inputs=…, outputs=…)"
        )
        return None
    return run_audit(model, inputs, usable, forward=forward, effort=effort, seed=seed)


def _confirm(
    confirm: Any, model: nn.Module, inputs: Any, claims: list[Symmetry], forward: Any, notes: list[str]
) -> Audit | None:
    usable = [s for s in claims if s.group is not None and s.inputs is not None]
    if confirm is None or not usable:
        return None
    if confirm == "auto":
        try:
            confirm = getattr(importlib.import_module("equiaudit"), "confirm_equivariant", None)
        except ImportError:
            confirm = None
        if confirm is None:
            notes.append("not confirmed: hypothesis is not installed")
            return None
    extra = {} if forward is None else {"forward": forward}
    found: Audit = confirm(model, inputs, usable[0] if len(usable) == 1 else usable, **extra)
    return found


def _not_called(names: list[str]) -> list[str]:
    if not names:
        return []
    return [
        f"{listing(names)} was not called on these inputs, so that W took no part: its forward or weights are used directly?"
    ]


def _warnings(layers: tuple[LayerProjection, ...], hidden: Sequence[Any]) -> list[str]:
    out = []
    moved = [row.name for row in hidden if row.verdict == "moved"]
    left = [row for row in layers if row.theta != 0]
    if left:
        levels = {row.theta for row in layers}
        where = ", ".join(f"{row.name or '(model)'} at theta {row.theta:g}" for row in left)
        where = f"theta is {levels.pop():g} at every layer" if len(levels) == 1 else where
        out.append(f"the schedule had not ended: {where}")
    if moved and left:
        out.append(
            f"the features of {', '.join(moved)} carry another representation than the declared one: taking W away loses "
            "what was learned there (arXiv 2506.02269); anneal theta to 0 before projecting"
        )
    return out
