"""ProjectionReport: what taking the relaxation away did, layer by layer and to the whole model. Plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from equiaudit.records import Audit, Verdict

FOLDED, DROPPED, NOT_FOLDABLE = "folded", "dropped", "not foldable"
UNDECIDED = (Verdict.VACUOUS, Verdict.INVALID)


@dataclass(frozen=True)
class LayerProjection:
    """What happened at one layer.

    Args:
        name: of the layer.
        kind: of the layer.
        outcome: "folded", "dropped" or "not foldable" (dropped, because the layer can't hold it).
        theta: the level at which W counted, learned part included.
        norm: ‖W‖ in the Frobenius norm.
        distance: ‖θW‖, what was in the way of exact equivariance and in it.
        share: ‖P W‖² / ‖W‖², the equivariant share of W; None where it is not known or W = 0.
        held: of the equivariant part of θW, the share ‖added‖ / ‖P θW‖ that the layer took over; None if nothing was folded.
        note: why.
    """

    name: str
    kind: str
    outcome: str
    theta: float
    norm: float
    distance: float
    share: float | None = None
    held: float | None = None
    note: str = ""


@dataclass(frozen=True)
class HiddenFit:
    """Which representation the features of a relaxed layer really carry.

    Args:
        name: of the layer.
        declared: RMS of h(gx) − ρ_out(g) h(x) over that of h, on rows held back.
        fitted: the same with the best linear map T_g in place of the declared ρ_out(g); None where rows don't suffice.
        verdict: "as declared", "moved" (T_g explains what ρ_out(g) does not), "not equivariant" or "unknown".
        note: why it is unknown, such as features that are linear in the input, where any map looks like a representation; of
            one that moved, whether it is equivalent to the declared one (by its trace).
    """

    name: str
    declared: float | None
    fitted: float | None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class ProjectionReport:
    """What ``project`` did. ``str`` is what a person wants to read.

    Args:
        method: "drop" or "fold".
        layers: one row for each relaxed layer.
        change: RMS change of the outputs on the given inputs, over their RMS size.
        bound: the telescoping bound on the same number, θ Σ_i L_i ‖W_i x_i‖ with L_i the gain from layer i to the output,
            taken from Jacobians at these inputs; for what was dropped.
        metric_before: the task metric of the relaxed model.
        metric_after: the task metric of the projected model.
        audit_before: of the relaxed model.
        audit_after: of the projected model.
        confirmed: what ``confirm_equivariant`` returned.
        hidden: which representation each layer's features carried before.
        recalibrated: layers with new running statistics.
        notes: what could not be measured, and warnings.
    """

    method: str
    layers: tuple[LayerProjection, ...]
    change: float | None = None
    bound: float | None = None
    metric_before: float | None = None
    metric_after: float | None = None
    audit_before: Audit | None = None
    audit_after: Audit | None = None
    confirmed: Audit | None = None
    hidden: tuple[HiddenFit, ...] = ()
    recalibrated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool | None:
        """True: found EXACT, and nothing refuted it; False: refuted; None: no audit, or one that could not decide."""
        if any(found is not None and found.verdict is Verdict.BROKEN for found in (self.audit_after, self.confirmed)):
            return False
        if self.audit_after is None or self.audit_after.verdict is not Verdict.EXACT:
            return None
        return True if self.confirmed is None or self.confirmed.passed else None

    @property
    def left(self) -> float:
        """The largest |θ| at which the model was projected; 0 after a finished schedule."""
        return max((abs(row.theta) for row in self.layers), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries, lists, numbers and strings: JSON-safe."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        out["layers"] = [dataclasses.asdict(row) for row in self.layers]
        out["hidden"] = [dataclasses.asdict(row) for row in self.hidden]
        for key in ("audit_before", "audit_after", "confirmed"):
            out[key] = out[key].to_dict() if out[key] is not None else None
        return {k: list(v) if isinstance(v, tuple) else v for k, v in out.items()} | {"exact": self.exact}

    def __str__(self) -> str:
        lines = [self._headline()]
        lines += [f"  {_layer_line(row)}" for row in self.layers]
        if self.change is not None:
            bound = f", bound {self.bound:.2e}" if self.bound is not None else ""
            lines.append(f"output changed by {self.change:.2e} of its size{bound}")
        if self.metric_before is not None and self.metric_after is not None:
            lines.append(f"metric {self.metric_before:.4g} before, {self.metric_after:.4g} after")
        for what, found in (("before", self.audit_before), ("after", self.audit_after), ("confirm", self.confirmed)):
            if found is not None:
                error = f", error {found.error:.1e}" if found.error is not None else ""
                why = f" ({found.reason})" if found.reason and found.verdict in UNDECIDED else ""
                lines.append(f"{'audit ' * (what != 'confirm')}{what}: {found.verdict.value}{error}{why}")
        lines += [f"hidden {row.name}: {_hidden_line(row)}" for row in self.hidden]
        if self.recalibrated:
            lines.append(f"batch norm recalibrated: {', '.join(self.recalibrated)}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _headline(self) -> str:
        undecided = "not audited"
        for found in (self.confirmed, self.audit_after):
            if found is not None and not found.passed:
                undecided = f"not decided, {found.verdict}: {found.reason or 'the audit says no more'}"
        state = {True: "exact", False: "NOT exact", None: undecided}[self.exact]
        early = f", stopped at theta {self.left:g}" if self.left else ""
        plural = "s" * (len(self.layers) != 1)
        return f"projected {len(self.layers)} layer{plural} by {self.method}{early}: {state}"


def _layer_line(row: LayerProjection) -> str:
    share = f", equivariant share {row.share:.3f}" if row.share is not None else ""
    held = f", layer holds {row.held:.3f} of it" if row.held is not None else ""
    note = f" ({row.note})" if row.note else ""
    return (
        f"{row.name or '(model)'}: {row.outcome}, |W| {row.norm:.3g}, |theta W| {row.distance:.3g}{share}{held}{note}"
    )


def _hidden_line(row: HiddenFit) -> str:
    numbers = [f"declared {row.declared:.1e}"] if row.declared is not None else []
    numbers += [f"fitted {row.fitted:.1e}"] if row.fitted is not None else []
    return ", ".join([row.verdict, *numbers]) + (f" ({row.note})" if row.note else "")
