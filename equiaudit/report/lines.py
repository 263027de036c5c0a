"""One line that replays a failed audit: for a shell, for pytest, for Python. Standard library only."""

from __future__ import annotations

import shlex
from typing import Any

from equiaudit.records import Audit, Cause

LONG = 80
"""Characters of a comment that repeats an element; the audit has it in full."""


def replay_options(audit: Audit) -> dict[str, Any]:
    """The keywords with which ``equiaudit.replay`` gives this audit's worst number again, without defaults."""
    found: dict[str, Any] = {}
    worst = audit.worst
    if worst is not None and worst.on != "given":
        found["on"] = worst.on
    if worst is not None and worst.symmetry:
        found["which"] = worst.symmetry
    if audit.method.parameters == "generic":
        found["perturb"] = True
    elif audit.cause == Cause.HIDDEN:
        found["perturb"] = "hiding"
    if audit.cause == Cause.LOW_PRECISION or audit.method.reference == "the model at its own precision":
        found["reference"] = False
    if audit.method.randomness != "refuse":
        found["randomness"] = audit.method.randomness
    for name in ("tolerance", "atol"):
        if getattr(audit, name) is not None:
            found[name] = getattr(audit, name)
    return {**found, "seed": audit.seed}


def python_line(audit: Audit, given: tuple[str, ...] = ()) -> str:
    """``equiaudit.replay(model, inputs, symmetry, "…", seed=0)``; where there is no element the audit itself.

    ``given``: names of further arguments that the caller must pass again, such as "forward".
    """
    options = replay_options(audit)
    words = [f"{name}={name}" for name in given if name not in options]
    if audit.worst is None:
        options.pop("reference", None) if "reference" in given else None
        if audit.effort != "default":
            words.append(f"effort={audit.effort!r}")
        words += [f"{k}={v!r}" for k, v in options.items() if k not in ("on", "which")]
        return f"equiaudit.audit({', '.join(['model', 'inputs', 'symmetry', *words])})"
    words += [f"{k}={v!r}" for k, v in options.items()]
    inputs = audit.worst.inputs or "inputs"
    return f"equiaudit.replay({', '.join(['model', inputs, 'symmetry', quote(audit.worst.element), *words])})"


def pytest_line(audit: Audit, nodeid: str, command: str | None = None) -> str:
    """``pytest "tests/test_x.py::test_y"``, or the command with the options of this run; seed and element as a comment."""
    words = [f"seed {audit.seed}"]
    if audit.worst is not None:
        words.append(f"element {_brief(audit.worst.element)}")
        words += [f"inputs {_brief(audit.worst.inputs)}"] if audit.worst.inputs else []
    return f"{command or f'pytest {shell(nodeid)}'}  # {', '.join(words)}"


def command_line(audit: Audit, factory: str, case: str | None = None) -> str:
    """``equiaudit replay module:factory --element "…" --seed 0``."""
    options = replay_options(audit)
    words = ["equiaudit", "replay" if audit.worst is not None else "audit", shell_word(factory)]
    words += ["--case", shell(case)] if case is not None else []
    if audit.worst is not None:
        words += ["--element", shell(audit.worst.element)]
        words += ["--on", options["on"]] if "on" in options else []
        words += ["--symmetry", str(options["which"])] if "which" in options else []
    elif audit.effort != "default":
        words += ["--effort", audit.effort]
    perturb = options.get("perturb")
    if perturb:
        words.append("--perturb" if perturb is True else "--perturb-hiding")
    words += ["--own-precision"] if options.get("reference") is False else []
    words += ["--randomness", options["randomness"]] if "randomness" in options else []
    for name in ("tolerance", "atol"):
        words += [f"--{name}", repr(options[name])] if name in options else []
    return " ".join([*words, "--seed", str(audit.seed)])


def quote(text: str) -> str:
    """Double quotes, which hold the single quotes of element codes in a shell and in Python."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shell(text: str) -> str:
    """One word of a command: in double quotes, or in single ones where a shell would read something into the double ones.

    >>> print(shell("test_a.py::test_b[a b]"), shell("test_a.py::test_b[$HOME]"))
    "test_a.py::test_b[a b]" 'test_a.py::test_b[$HOME]'
    """
    return shlex.quote(text) if set(text) & set('$`\\"!') else f'"{text}"'


def shell_word(text: str) -> str:
    """The same, without quotes where none are needed.

    >>> print(shell_word("--equi-seed"), shell_word("a b"))
    --equi-seed "a b"
    """
    return text if shlex.quote(text) == text else shell(text)


def _brief(code: str) -> str:
    """On one line, and cut: a line end would leave the comment."""
    code = " ".join(code.split())
    return code if len(code) <= LONG else code[: LONG - 3] + "..."
