"""What an audit found, as plain data: verdicts, checks and the audit itself. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, StrEnum
from typing import Any

SCHEMA_VERSION = 1


class Verdict(StrEnum):
    """What one audit, or one check of it, concludes; only EXACT and APPROXIMATE pass.

    >>> Verdict.BROKEN.passed
    False
    """

    EXACT = "EXACT"
    """Indistinguishable from rounding."""
    APPROXIMATE = "APPROXIMATE"
    """A real violation within the tolerance that the caller gave."""
    BROKEN = "BROKEN"
    """A real violation."""
    VACUOUS = "VACUOUS"
    """The test could not have failed."""
    INVALID = "INVALID"
    """There is no meaningful number: NaN, Inf, not repeatable, wrong structure."""

    @property
    def passed(self) -> bool:
        """Whether a test with this verdict passes."""
        return self in (Verdict.EXACT, Verdict.APPROXIMATE)

    def __str__(self) -> str:
        return self.value


class Cause(StrEnum):
    """What narrows a verdict down; equal to its words, which is what a report holds.

    >>> Cause.ALIASING == "aliasing", f"{Cause.HIDDEN}", Cause.of_constants("float32")
    (True, 'hidden by parameter', 'float32 constants')
    """

    STRUCTURE = "structure"
    """INVALID: missing outputs, wrong shapes, mixed dtypes."""
    NOT_FINITE = "not finite"
    """INVALID: NaN or Inf."""
    NOT_REPEATABLE = "not repeatable"
    """INVALID: two answers to one input."""
    DISCONTINUITY = "discontinuity"
    """BROKEN: only the caller's own input breaks it, which sits on a tie, a cutoff or a degenerate frame."""
    ALIASING = "aliasing"
    """BROKEN: between pixels."""
    HIDDEN = "hidden by parameter"
    """BROKEN: with generic parameters, not with those of now."""
    LOW_PRECISION = "low precision"
    """BROKEN: at the model's own precision, by more than its rounding."""

    @staticmethod
    def of_constants(dtype: str) -> str:
        """EXACT to that dtype: what remains is the rounding of stored constants."""
        return f"{dtype} constants"

    @staticmethod
    def is_of_constants(cause: str | None) -> bool:
        """Whether a cause is one that ``of_constants`` gives.

        >>> Cause.is_of_constants("float32 constants"), Cause.is_of_constants(Cause.HIDDEN), Cause.is_of_constants(None)
        (True, False, False)
        """
        return (cause or "").endswith(" constants")


@dataclass(frozen=True)
class Worst:
    """The single worst place: which element, which output leaf, which entry.

    ``element`` is code that evaluates with ``equiaudit.groups.parse``; ``index`` points into the leaf;
    ``expected`` is f(x) there and ``got`` is ρ_out(g)⁻¹ f(ρ_in(g) x). ``on`` is "given" for the caller's input or "twin" for
    its jittered copy; ``symmetry`` counts the symmetries of the audit. ``inputs`` is the code of a varied
    input, where hypothesis made one.
    """

    element: str
    leaf: str
    index: tuple[int, ...]
    absolute: float
    relative: float
    expected: float | None = None
    got: float | None = None
    on: str = "given"
    symmetry: int = 0
    inputs: str | None = None


@dataclass(frozen=True)
class Check:
    """One row of an audit: a part of a group, or a sanity test.

    ``kind`` is "lie" (an infinitesimal part), "discrete" (one generator), "finite" (elements away from the
    identity), "hypothesis" (a search; the worst that it saw) or "sanity". ``error``, ``floor`` are relative to
    ``Audit.scale`` of the leaf; ``elements`` counts what was tried.
    """

    part: str
    kind: str
    verdict: Verdict
    error: float | None = None
    floor: float | None = None
    element: str | None = None
    leaf: str | None = None
    elements: int = 0
    note: str = ""


@dataclass(frozen=True)
class LeafResult:
    """What was found on one output leaf: its error, floor and scale (absolute units of that leaf)."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    representation: str
    verdict: Verdict
    error: float | None = None
    floor: float | None = None
    scale: float | None = None
    absolute: float | None = None
    sensitivity: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Tried:
    """One element that was tried, on the leaf where it did worst: a point of "error against angle".

    ``angle`` is the angle of rotation in degrees (0 to 180 in space; in the plane and along a sweep 0 to 360), ``shift``
    the length of the translation in the units of the input; None where the group has no such thing. ``sweep`` names the
    generator along which the element lies, where it was tried to show how the error grows.
    """

    name: str
    element: str
    on: str
    leaf: str
    error: float | None
    floor: float | None
    within: bool
    angle: float | None = None
    shift: float | None = None
    improper: bool = False
    sweep: str | None = None


@dataclass(frozen=True)
class Method:
    """Which machinery produced the numbers: derivative backend, its cross-check, the precision of the reference."""

    derivative: str = "none"
    cross_check: float | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    reference: str = "none"
    floor: str = "none"
    randomness: str = "refuse"
    action: str = ""
    parameters: str = "as given"


@dataclass(frozen=True)
class Cost:
    """What the audit spent: forwards by dtype name, JVPs, noise probes (each also a forward) and seconds."""

    forwards: Mapping[str, int] = field(default_factory=dict)
    jvps: int = 0
    probes: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """All forwards of any precision, JVPs not counted."""
        return sum(self.forwards.values())


@dataclass(frozen=True)
class Audit:
    """The result of ``audit``: a verdict with everything that led to it.

    ``error`` is the RMS residual over the scale of the leaf, for the worst leaf and the worst element; ``floor`` is the smallest
    error that could have been told from rounding, in the same units; ``sensitivity`` is how much the output
    moves, relative to its size, when the input moves by 5 %.
    """

    verdict: Verdict
    cause: str | None = None
    reason: str = ""
    error: float | None = None
    floor: float | None = None
    tolerance: float | None = None
    atol: float | None = None
    sensitivity: float | None = None
    worst: Worst | None = None
    checks: tuple[Check, ...] = ()
    leaves: tuple[LeafResult, ...] = ()
    tried: tuple[Tried, ...] = ()
    untested: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layers: tuple[Mapping[str, Any], ...] = ()
    first_bad_layer: str | None = None
    method: Method = Method()
    cost: Cost = Cost()
    seed: int = 0
    effort: str = "default"
    label: str = ""
    symmetry: str = ""
    replay: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether a test with this audit passes: EXACT or APPROXIMATE."""
        return self.verdict.passed

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        from equiaudit.report.text import render

        return render(self)

    def to_dict(self) -> dict[str, Any]:
        """Builtins only and JSON-safe: a non-finite number becomes None."""
        data = plain(asdict(self))
        data["passed"] = self.passed
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Audit:
        """The audit that ``to_dict`` wrote."""
        data = {k: v for k, v in data.items() if k != "passed"}
        data["verdict"] = Verdict(data["verdict"])
        if data.get("worst"):
            data["worst"] = Worst(**{**data["worst"], "index": tuple(data["worst"]["index"])})
        data["checks"] = tuple(Check(**{**c, "verdict": Verdict(c["verdict"])}) for c in data.get("checks", ()))
        data["leaves"] = tuple(
            LeafResult(**{**leaf, "verdict": Verdict(leaf["verdict"]), "shape": tuple(leaf["shape"])})
            for leaf in data.get("leaves", ())
        )
        data["tried"] = tuple(Tried(**one) for one in data.get("tried", ()))
        data["untested"] = tuple(data.get("untested", ()))
        data["notes"] = tuple(data.get("notes", ()))
        data["layers"] = tuple(data.get("layers", ()))
        data["method"] = Method(**data.get("method", {}))
        data["cost"] = Cost(**data.get("cost", {}))
        return cls(**data)


def plain(value: Any) -> Any:
    """The value with builtins only: enums to their values, tuples to lists, non-finite floats to None.

    >>> plain({"a": (1, float("nan"))})
    {'a': [1, None]}
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return plain(value.item()) if hasattr(value, "item") else str(value)
