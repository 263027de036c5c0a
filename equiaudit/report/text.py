"""An audit as a person reads it in a terminal or in a failed test."""

from __future__ import annotations

import textwrap

from equiaudit.records import Audit, Check, Verdict

WIDTH = 110
_HEAD = {
    Verdict.EXACT: "{label} is equivariant under {group}: indistinguishable from rounding",
    Verdict.APPROXIMATE: "{label} is equivariant under {group} within the given tolerance, not exactly",
    Verdict.BROKEN: "{label} is not equivariant under {group}",
    Verdict.VACUOUS: "the test of {label} under {group} could not have failed",
    Verdict.INVALID: "{label} under {group}: there is no meaningful number",
}


def number(value: float | None) -> str:
    """Two digits, or a dash.

    >>> number(0.000123), number(None), number(0.0)
    ('1.2e-04', '-', '0')
    """
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.1e}"


def render(audit: Audit) -> str:
    """The whole text of an audit: headline, numbers, element, table of checks, notes, what was not tried, cost."""
    group = _group(audit)
    lines = [f"{audit.verdict.value}: " + _HEAD[audit.verdict].format(label=audit.label or "the model", group=group)]
    if audit.reason:
        lines += textwrap.wrap(audit.reason, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    lines.append("")
    lines += _facts(audit)
    if audit.checks:
        lines += ["", *_table(audit.checks)]
    if audit.layers:
        lines += ["", *_layers(audit)]
    for name, entries in (("note", audit.notes), ("untested", audit.untested)):
        for entry in entries:
            lines += textwrap.wrap(entry, WIDTH, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12)
    lines += ["", *_foot(audit)]
    return "\n".join(line.rstrip() for line in lines)


def summary(audit: Audit) -> str:
    """One line: verdict, error, floor, label."""
    cause = f" ({audit.cause})" if audit.cause else ""
    return f"{audit.verdict.value:<11} error {number(audit.error):>7}  floor {number(audit.floor):>7}  {audit.label}{cause}"


def _group(audit: Audit) -> str:
    names = [part.strip()[len("Symmetry(") :].split(", inputs=")[0] for part in audit.symmetry.split("; ") if part]
    return " and ".join(dict.fromkeys(names)) or "its symmetry"


def _facts(audit: Audit) -> list[str]:
    facts: list[tuple[str, str]] = []
    if audit.error is not None:
        where = ""
        if audit.worst is not None:
            w = audit.worst
            index = str(list(w.index)) if w.index else ""
            where = f"   worst at {w.leaf}{index}"
            if w.expected is not None and w.got is not None and audit.verdict in (Verdict.BROKEN, Verdict.APPROXIMATE):
                where += f": {w.expected:.6g} expected, {w.got:.6g} found (at most {number(w.absolute)} off in this output)"
        facts.append(("error", f"{number(audit.error)}   residual over scale{where}"))
        facts.append(("floor", f"{number(audit.floor)}   the smallest error that could be told from rounding"))
    allowed = []
    if audit.tolerance is not None:
        allowed.append(f"{number(audit.tolerance)} relative (tolerance=)")
    if audit.atol is not None:
        allowed.append(f"{number(audit.atol)} absolute (atol=)")
    if audit.error is not None:
        facts.append(("allowed", " or ".join(allowed) if allowed else "the floor; tolerance= or atol= allow more"))
    if audit.verdict in (Verdict.BROKEN, Verdict.APPROXIMATE) and audit.error:
        times = audit.error / audit.floor if audit.floor else float("inf")
        facts.append(("real", f"yes, not rounding: {times:.2g} times the floor" + (f"; cause: {audit.cause}" if audit.cause else "")))
    elif audit.cause:
        facts.append(("cause", audit.cause))
    if audit.worst is not None and audit.verdict in (Verdict.BROKEN, Verdict.APPROXIMATE):
        facts.append(("element", audit.worst.element))
    if audit.first_bad_layer:
        facts.append(("layer", f"{audit.first_bad_layer} is the first that breaks it"))
    if audit.replay and not audit.passed:
        facts.append(("replay", audit.replay))
    return [f"  {name:<10}{text}" for name, text in facts]


def _table(checks: tuple[Check, ...]) -> list[str]:
    rows = [("part", "verdict", "error", "floor", "where")]
    for c in checks:
        rows.append((c.part, c.verdict.value, number(c.error), number(c.floor), c.leaf or c.note or ""))
    first = max(len(r[0]) for r in rows)
    return [f"  {r[0]:<{first}}  {r[1]:<11}  {r[2]:>8}  {r[3]:>8}  {r[4]}" for r in rows]


def _layers(audit: Audit) -> list[str]:
    lines = ["  layer                                     error"]
    for row in audit.layers:
        error = row.get("error")
        text = number(error) if error is not None else str(row.get("note", "unknown"))
        mark = "  <- first" if row.get("layer") == audit.first_bad_layer else ""
        lines.append(f"  {row.get('layer', '')!s:<40}  {text}{mark}")
    return lines


def _foot(audit: Audit) -> list[str]:
    spent = ", ".join(f"{n} in {dtype}" for dtype, n in audit.cost.forwards.items()) or "0"
    derivative = f"; derivative by {audit.method.derivative}" if audit.method.derivative != "none" else ""
    check = f" (cross-check off by {number(audit.method.cross_check)})" if audit.method.cross_check is not None else ""
    lines = [f"  forwards: {spent}; JVPs: {audit.cost.jvps}; {audit.cost.seconds:.2f} s; effort {audit.effort}; seed {audit.seed}"]
    lines.append(f"  measured on {audit.method.reference}{derivative}{check}")
    return lines
