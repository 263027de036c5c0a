"""An audit as a person reads it in a terminal or in a failed test."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from equiaudit.records import Audit, Cause, Check, Verdict
from equiaudit.report.cleaning import printable
from equiaudit.report.lines import python_line
from equiaudit.report.suspects import suspect

WIDTH = 110
INDENT = 12
AROUND = 4
"""Layers shown before and after the first broken one; the rest is counted."""
_HEAD = {
    Verdict.EXACT: "{label} is equivariant under {group}: indistinguishable from rounding",
    Verdict.APPROXIMATE: "{label} is equivariant under {group} within the given tolerance, not exactly",
    Verdict.BROKEN: "{label} is not equivariant under {group}",
    Verdict.VACUOUS: "the test of {label} under {group} could not have failed",
    Verdict.INVALID: "{label} under {group}: there is no meaningful number",
}
_REAL = (Verdict.BROKEN, Verdict.APPROXIMATE)


def number(value: float | None) -> str:
    """Two digits, or a dash.

    >>> number(0.000123), number(None), number(0.0)
    ('1.2e-04', '-', '0')
    """
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.1e}"


def headline(audit: Audit) -> str:
    """The verdict in words, without its name.

    >>> headline(Audit(Verdict.BROKEN, label="net", symmetry="Symmetry(SO(3), inputs='vector', outputs='vector')"))
    'net is not equivariant under SO(3)'
    """
    return _HEAD[audit.verdict].format(label=audit.label or "the model", group=groups(audit))


def render(audit: Audit) -> str:
    """The whole text of an audit: headline, numbers, element, table of checks, notes, what was not tried, cost."""
    lines = [f"{audit.verdict.value}: {headline(audit)}"]
    if audit.reason:
        lines += _wrap(audit.reason, 2)
    parts = [
        [line for name, text in facts(audit) for line in _entry(name, text)],
        _checks(audit.checks),
        _layers(audit),
        [line for note in audit.notes for line in _entry("note", note)]
        + [line for part in audit.untested for line in _entry("untested", part)],
        _foot(audit),
    ]
    for part in parts:
        lines += ["", *part] if part else []
    return printable("\n".join(line.rstrip() for line in lines), "\n\t")


def summary(audit: Audit) -> str:
    """One line: verdict, error, floor, label."""
    cause = f" ({audit.cause})" if audit.cause else ""
    numbers = f"error {number(audit.error):>7}  floor {number(audit.floor):>7}"
    return f"{audit.verdict.value:<11} {numbers}  {audit.label}{cause}"


def groups(audit: Audit) -> str:
    """The groups of an audit's symmetries, as they are written: "E(3) and Permutations()"."""
    names = [part.strip()[len("Symmetry(") :].split(", inputs=")[0] for part in audit.symmetry.split("; ") if part]
    return " and ".join(dict.fromkeys(names)) or "its symmetry"


def facts(audit: Audit) -> list[tuple[str, str]]:
    """Names and values: error, floor, allowed, real or not, element, place, layer, what to suspect, replay."""
    real = audit.verdict in _REAL
    found: list[tuple[str, str]] = []
    if audit.error is not None:
        found.append(("error", f"{number(audit.error)}   residual over the scale of the output"))
        found.append(("floor", f"{number(audit.floor)}   the smallest error that could be told from rounding"))
        found.append(("allowed", allowed(audit)))
    if real and audit.error:
        times = f"{audit.error / audit.floor:.2g} times the floor" if audit.floor else "the floor is 0"
        found.append(("real", f"yes, not rounding: {times}"))
    if audit.cause:
        found.append(("cause", audit.cause))
    if audit.worst is not None and real:
        found.append(("element", shortened(audit.worst.element)))
        if audit.worst.inputs:
            found.append(("inputs", audit.worst.inputs))
        found.append(("worst at", place(audit)))
    if audit.first_bad_layer:
        found.append(("layer", f"{audit.first_bad_layer} is the first that breaks it{_inside(audit)}"))
    sentence = suspect(audit)
    if sentence:
        found.append(("suspect", sentence))
    if not audit.passed:
        found.append(("replay", replay(audit)))
    return found


def allowed(audit: Audit) -> str:
    """What a person allowed, in words."""
    given = [f"{audit.tolerance:g} relative (tolerance=)"] if audit.tolerance is not None else []
    given += [f"{audit.atol:g} absolute (atol=)"] if audit.atol is not None else []
    if not given and audit.passed and Cause.is_of_constants(audit.cause):
        return "the floor, and what the rounding of stored constants explains"
    return " or ".join(given) or "up to the floor; give tolerance= or atol= to allow more"


def place(audit: Audit) -> str:
    """The entry with the largest residual, what was expected and found there, and how much in absolute terms."""
    w = audit.worst
    if w is None:
        return ""
    where = w.leaf + (str(list(w.index)) if w.index else "")
    if w.expected is None or w.got is None:
        return f"{where}: {number(w.absolute)} off"
    return (
        f"{where}: {w.expected:.6g} in f(x), {w.got:.6g} in g⁻¹·f(g·x); no entry is more than {number(w.absolute)} off"
    )


def replay(audit: Audit) -> str:
    """A line that does the same again: the one that the audit carries, or the call in Python."""
    return audit.replay or python_line(audit)


def cost(audit: Audit) -> str:
    """What was spent, in words."""
    spent = ", ".join(f"{n} in {dtype}" for dtype, n in audit.cost.forwards.items()) or "0"
    work = f"forwards: {spent}; JVPs: {audit.cost.jvps}; {audit.cost.seconds:.2f} s"
    return f"{work}; effort {audit.effort}; seed {audit.seed}"


def method(audit: Audit) -> str:
    """What the numbers were measured on, and by which derivative."""
    derivative = f"; derivative by {audit.method.derivative}" if audit.method.derivative != "none" else ""
    check = f" (cross-check off by {number(audit.method.cross_check)})" if audit.method.cross_check is not None else ""
    return f"measured on {audit.method.reference}{derivative}{check}"


def shortened(element: str, room: int = 700) -> str:
    """The element, or the first of a long list: a batch of 64 graphs has 64.

    >>> shortened("[" + ", ".join(["SO(3).exp(0.1, 0.2, 0.3)"] * 64) + "]")
    'SO(3).exp(0.1, 0.2, 0.3) for the first sample; audit.worst.element has all'
    """
    if len(element) <= room or not element.startswith("["):
        return element
    group = element[1:].split(".")[0]
    return f"{element[1:].split(f', {group}.')[0]} for the first sample; audit.worst.element has all"


def _entry(name: str, text: str) -> list[str]:
    # Code is there to be copied: a call stays on its line, and an element broken over lines must still evaluate.
    if name == "replay":
        return [f"  {name:<{INDENT - 2}}{text}"]
    room = WIDTH - INDENT
    if name == "element" and len(text) > room and not text.startswith("["):
        text = f"({text})"
    return _wrap(f"  {name:<{INDENT - 2}}{text}", INDENT, first=0)


def _wrap(text: str, indent: int, first: int | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * (indent if first is None else first),
        subsequent_indent=" " * indent,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(rows: Sequence[tuple[str, ...]], right: Iterable[int]) -> list[str]:
    """Columns as wide as they need, the last one wrapped."""
    right = set(right)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [
            f"{t:>{w}}" if i in right else f"{t:<{w}}" for i, (t, w) in enumerate(zip(row[:-1], widths, strict=True))
        ]
        head = "  " + "  ".join(cells) + "  "
        body = textwrap.wrap(row[-1], max(WIDTH - len(head), 30)) or [""]
        lines += [head + body[0], *(" " * len(head) + more for more in body[1:])]
    return lines


def _checks(checks: tuple[Check, ...]) -> list[str]:
    if not checks:
        return []
    rows = [("part", "verdict", "error", "floor", "where")]
    for c in checks:
        where = c.leaf or "" if c.leaf == c.note else ": ".join(t for t in (c.leaf, c.note) if t)
        part, verdict = c.part, c.verdict.value
        if is_of_permutations(c):
            part = f"  of these, {part.rpartition(': ')[2]}"
        if is_arithmetic(c):
            verdict, where = "-", "not a check: its own rounding"
        rows.append((part, verdict, number(c.error), number(c.floor), where))
    return _table(rows, right=(2, 3))


def _inside(audit: Audit) -> str:
    """Where in a module that has submodules, as its row of the table says."""
    notes = (str(row.get("note") or "") for row in audit.layers if row.get("verdict") == "first")
    parts = (part for note in notes for part in note.split("; ") if part.startswith(("between", "in its own")))
    return "".join(f", {part}" for part in parts)


def is_of_permutations(check: Check) -> bool:
    """Whether a row is a kind of permutation, which the row "permutations" above it counts too."""
    return check.kind == "finite" and check.part.rpartition(": ")[2] in ("shuffle", "roll", "swap")


def is_arithmetic(check: Check) -> bool:
    """Whether a row states the rounding of the model as it runs, which is no violation."""
    return check.part.endswith(" as it runs") and check.note == "rounding"


def _layers(audit: Audit) -> list[str]:
    if not audit.layers:
        return []
    names = [row.get("layer") for row in audit.layers]
    first = names.index(audit.first_bad_layer) if audit.first_bad_layer in names else len(names)
    low, high = max(0, first - AROUND), first + 1 + AROUND
    rows = [("layer", "error", "floor", "")]
    rows += [(f"… {low} before", "", "", "")] if low else []
    rows += [_layer(row) for row in audit.layers[low:high]]
    rows += [(f"… {len(names) - high} after", "", "", "")] if high < len(names) else []
    return _table(rows, right=(1, 2))


def _layer(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    verdict, note = str(row.get("verdict") or ""), str(row.get("note") or "")
    said = ": ".join(t for t in ("" if verdict == "ok" else verdict, note) if t)
    return str(row.get("layer", "")), number(row.get("error")), number(row.get("floor")), said


def _foot(audit: Audit) -> list[str]:
    return [f"  {cost(audit)}", f"  {method(audit)}"]
