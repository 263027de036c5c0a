"""The per-layer table as it is shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerRow:
    """One layer: its error and floor (relative to the size of what it returns) and what that means.

    ``verdict``: "ok" (some linear T_g explains it), "first", "broken after" (what it was given is broken already), or
    "unknown".
    """

    layer: str
    kind: str
    error: float | None
    floor: float | None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Localization:
    """Layers in the order in which they return, and the first that breaks the symmetry (None: none does)."""

    rows: tuple[LayerRow, ...]
    first_bad: str | None

    def __str__(self) -> str:
        width = max((len(r.layer) for r in self.rows), default=5)
        lines = [f"{'layer':<{width}}  {'error':>8}  {'floor':>8}  verdict"]
        for r in self.rows:
            error, floor = ("-" if v is None else f"{v:.1e}" for v in (r.error, r.floor))
            lines.append(f"{r.layer:<{width}}  {error:>8}  {floor:>8}  {r.verdict}{': ' + r.note if r.note else ''}")
        return "\n".join([*lines, f"first broken layer: {self.first_bad or 'none found'}"])
