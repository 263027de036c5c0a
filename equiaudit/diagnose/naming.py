"""From judged layers to the table and to the name of the first broken one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from equiaudit.diagnose.judging import OFFSET
from equiaudit.diagnose.recording import Call, Recording
from equiaudit.diagnose.rows import Fit
from equiaudit.diagnose.table import LayerRow

if TYPE_CHECKING:
    from equiaudit.diagnose.localizer import Localizer

HARMLESS = "moves in a way of its own inside a module that is fine"


def name_first(
    judge: Localizer,
    recording: Recording,
    fits: dict[str, Fit],
    state: dict[str, str],
    outputs: Fit,
    broken: bool,
) -> tuple[list[LayerRow], str | None]:
    """The rows in order, and the first broken layer: the innermost whose output breaks while its input does not."""
    own = type(judge.evaluator.model).__name__
    first = next((label for label in recording.calls if state[label] == "bad"), None) if broken else None
    name, why = first, ""
    if first is not None:
        name, why = _where(judge, recording, first, own)
    elif broken:
        name, why = own, "between its submodules, or after them: what they return is fine"
    rows = []
    for label, call in recording.calls.items():
        fit, said = fits[label], state[label]
        verdict = {"ok": "ok", "inner": "ok", "unknown": "unknown", "bad": "broken after"}[said]
        note = {"ok": "" if fit.how == "unchanged" else fit.how, "inner": HARMLESS, "unknown": fit.how, "bad": fit.how}[
            said
        ]
        if label == first:
            verdict = "first" if name == first else "broken after"
            note = "; ".join(t for t in (_cause(fit), why) if t)
        error = fit.error if math.isfinite(fit.error) else None
        rows.append(LayerRow(label, call.kind, error, judge.floor(label) if error is not None else None, verdict, note))
    verdict = "ok" if not broken else "first" if first is None or name == own else "broken after"
    error = outputs.error if math.isfinite(outputs.error) else None
    note = "the outputs, as declared" + (f"; {why}" if verdict == "first" and why else "")
    rows.append(LayerRow("outputs", own, error, judge.floor(""), verdict, note))
    return rows, name if broken else None


def _cause(fit: Fit) -> str:
    return OFFSET if fit.how == OFFSET else "" if fit.how in ("unchanged", "an orthogonal T_g") else fit.how


def _where(judge: Localizer, recording: Recording, first: str, own: str) -> tuple[str, str]:
    """The layer itself, or the innermost module around it that is given what is fine."""
    name = first
    while judge.input_state(name) == "bad":
        around = _enclosing(recording.calls[name], recording)
        if around is None:
            return own, f"between its submodules: what it hands to {name} is broken already"
        inner, name = name, around
    if name != first:
        return name, f"between the submodules of {name}: what it hands to {inner} is broken already"
    return first, "in its own forward: what its submodules return is fine" if recording.calls[first].container else ""


def _enclosing(call: Call, recording: Recording) -> str | None:
    known = {c.name for c in recording.calls.values()}
    name = call.name
    while "." in name:
        name = name.rpartition(".")[0]
        if name in known:
            return name
    return None
