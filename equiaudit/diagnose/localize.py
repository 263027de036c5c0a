"""The first layer that breaks a symmetry, without a declared hidden representation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from equiaudit.diagnose.localizer import Localizer
from equiaudit.diagnose.table import LayerRow, Localization
from equiaudit.measure.bench import Bench
from equiaudit.measure.examine import Finding
from equiaudit.records import Cause, Verdict

__all__ = ["LayerRow", "Localization", "localize", "localize_bench"]


def localize(
    model: Any,
    inputs: Any,
    symmetry: Any = None,
    *,
    forward: Callable[[Any, Any], Any] | None = None,
    seed: int = 0,
) -> Localization:
    """The error of every layer, and the first layer that breaks the symmetry.

    A layer is fine where one linear T_g takes its activations h(x) to h(ρ(g) x). Inner products between rows must stay
    as they are (T_g orthogonal); where they do not, any linear T_g is fitted on half of the rows and judged on the
    other half.

    Args:
        model: a module, or a callable that holds modules.
        inputs: its input; an exact tuple means several positional arguments.
        symmetry: the claim; representations declared by ``hidden={"layers.*": (rep_in, rep_out)}`` are used instead.
        forward: ``forward(model, inputs) -> outputs`` for models that are called otherwise.
        seed: of every draw.

    Returns:
        A ``Localization``: ``rows`` in execution order, ``first_bad``, and a table as ``str()``.

    >>> import torch
    >>> from equiaudit import Symmetry
    >>> from equiaudit.groups import SO
    >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(3, 3), torch.nn.Tanh())
    >>> _ = torch.nn.init.eye_(net[1].weight)
    >>> print(localize(net, torch.randn(8, 3), Symmetry(SO(3), "vector", "vector")).first_bad)
    1
    """
    from equiaudit.measure.audit import audit

    found = audit(model, inputs, symmetry, forward=forward, seed=seed, layers=True, effort="quick", derivative="off")
    rows = tuple(
        LayerRow(r["layer"], r["class"], r["error"], r["floor"], r["verdict"], r["note"]) for r in found.layers
    )
    return Localization(rows, found.first_bad_layer)


def localize_bench(benches: list[Bench], found: Finding, seed: int) -> tuple[tuple[dict[str, Any], ...], str | None]:
    """The table of an audit: rows as plain data, and the name of the first broken layer.

    Whatever the model raises on the way, the audit stands: it becomes the note of a single row.
    """
    rows: list[LayerRow] = []
    first = None
    if found.verdict is Verdict.INVALID and found.cause != Cause.NOT_FINITE:
        return (), None
    for bench in _concerned(benches, found):
        try:
            rows, first = Localizer(bench, found, seed).run()
        except Exception as problem:  # a model may refuse a further input; that must not hide the verdict
            text = f"{type(problem).__name__}: {(str(problem).splitlines() or [''])[0][:120]}"
            return ({"layer": "", "class": "", "error": None, "floor": None, "verdict": "unknown", "note": text},), None
        if first is not None:
            break
    table = [{**dataclasses.asdict(r), "class": r.kind} for r in rows]
    for row in table:
        del row["kind"]
    return tuple(table), first


def _concerned(benches: list[Bench], found: Finding) -> list[Bench]:
    if found.worst_trial is None:
        return benches
    return [b for b in benches if b.symmetry.acts == found.worst_trial.element.group] or benches
