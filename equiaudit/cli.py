"""The command line: ``equiaudit audit``, ``replay`` and ``groups``. Imports torch only when it is needed."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equiaudit._version import __version__

if TYPE_CHECKING:
    from equiaudit.factory import Case
    from equiaudit.records import Audit

PASSED, FAILED, UNUSABLE = 0, 1, 2
EFFORTS = ("quick", "default", "thorough")


class Complaint(Exception):
    """Something about the command that a person can mend; printed as one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 for a pass, 1 for a failed audit, 2 where the command could not be carried out.

    >>> main(["audit", "no_such_module:case"])
    2
    """
    try:
        options = make_parser().parse_args(arguments)
        return options.run(options)
    except SystemExit as end:  # argparse: --help, --version and what it can't read
        return int(end.code or 0)
    except Complaint as problem:
        print(f"equiaudit: {problem}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("equiaudit: interrupted", file=sys.stderr)
        return 130


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="equiaudit", description="Measure how far a model is from equivariant.")
    parser.add_argument("--version", action="version", version=f"equiaudit {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    audit = commands.add_parser("audit", help="audit what a factory returns", description=run_audit.__doc__)
    audit.set_defaults(run=run_audit)
    _add_case(audit)
    audit.add_argument("--effort", choices=EFFORTS, default="default", help="how many elements are tried")
    audit.add_argument("--per-generator", action="store_true", help="one Lie derivative per generator")
    audit.add_argument("--layers", action="store_true", help="find the first layer that breaks the symmetry")
    audit.add_argument(
        "--json", metavar="PATH", help="write a JSON report; - writes it to standard output instead of text"
    )
    audit.add_argument("--html", metavar="PATH", help="write a self-contained HTML page")
    audit.add_argument("--quiet", action="store_true", help="one line for each audit")
    replay = commands.add_parser("replay", help="run what a failed audit printed again", description=run_replay.__doc__)
    replay.set_defaults(run=run_replay)
    _add_case(replay, "MODULE:FACTORY|REPORT.json")
    replay.add_argument("--element", help="the element, as the audit printed it; needed unless a report is replayed")
    replay.add_argument(
        "--on", choices=("given", "twin"), default="given", help="the input: the factory's, or its twin"
    )
    replay.add_argument("--symmetry", type=int, default=0, metavar="N", help="which of several symmetries, from 0")
    groups = commands.add_parser("groups", help="list the groups and representations", description=run_groups.__doc__)
    groups.set_defaults(run=run_groups)
    return parser


def _add_case(parser: argparse.ArgumentParser, what: str = "MODULE:FACTORY") -> None:
    parser.add_argument("case", metavar=what, help="a function without arguments, in a module or a .py file")
    parser.add_argument("--case", dest="name", metavar="NAME", help="one of the cases that the factory returns")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default 0)")
    parser.add_argument("--tolerance", type=_size, metavar="T", help="relative error that still passes")
    parser.add_argument("--atol", type=_size, metavar="A", help="absolute error that still passes")
    parser.add_argument("--perturb", action="store_true", help="give trainable parameters generic values first")
    parser.add_argument("--perturb-hiding", action="store_true", help="the same where they are zero or constant")
    parser.add_argument("--randomness", choices=("refuse", "match"), default="refuse", help="match: seed every call")
    parser.add_argument("--own-precision", action="store_true", help="no float64 copy: the model as it is")
    parser.add_argument("--label", metavar="L", help="a name for reports; with a report, the audit of that name")


def _size(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


# -- commands ----------------------------------------------------------------------------------------------------


def run_audit(options: argparse.Namespace) -> int:
    """Audit what a factory returns: (model, inputs, symmetry), keywords in a dict, or a dict of several such cases."""
    if options.perturb_hiding:
        raise Complaint("--perturb-hiding is for replay; audit tries hiding parameters by itself, or takes --perturb")
    _check_paths(options)
    cases = _cases(options)
    found = []
    for case in cases:
        found.append(_audit_one(case, options))
        if options.json != "-":
            from equiaudit.report.text import summary

            print(summary(found[-1]) if options.quiet else f"{found[-1]}\n", flush=True)
    _write(cases, found, options)
    return PASSED if all(a.passed for a in found) else FAILED


def _audit_one(case: Case, options: argparse.Namespace) -> Audit:
    from equiaudit.measure.audit import audit
    from equiaudit.report.lines import command_line

    with _progress(case.label(options.label)) as say:
        result = _carry_out(
            lambda: audit(
                case.model, case.inputs, case.symmetry, forward=case.forward,
                reference=False if options.own_precision else case.reference, label=case.label(options.label),
                effort=options.effort, seed=options.seed, tolerance=options.tolerance, atol=options.atol,
                per_generator=options.per_generator, perturb=options.perturb, randomness=options.randomness,
                layers=options.layers, progress=say,
            )
        )  # fmt: skip
    if result.passed:
        return result
    return dataclasses.replace(result, replay=command_line(result, case.factory, case.name))


def run_replay(options: argparse.Namespace) -> int:
    """Run one element of a failed audit again, or all failed audits of a report; fails while the error is there."""
    if options.case.endswith(".json"):
        return _replay_report(options)
    if not options.element:
        raise Complaint('replay needs --element "…", as the failed audit printed it (or the JSON report of the audit)')
    cases = _cases(options)
    if len(cases) > 1:
        raise Complaint(f"{options.case} returns {len(cases)} cases; choose one: --case {cases[0].name}")
    from equiaudit.measure.replay import replay
    from equiaudit.report.lines import command_line

    case = cases[0]
    with _progress(case.label(options.label)):
        result = _carry_out(
            lambda: replay(
                case.model, case.inputs, case.symmetry, options.element, on=options.on, which=options.symmetry,
                forward=case.forward, reference=False if options.own_precision else case.reference,
                label=case.label(options.label), seed=options.seed, tolerance=options.tolerance, atol=options.atol,
                perturb="hiding" if options.perturb_hiding else options.perturb, randomness=options.randomness,
            )
        )  # fmt: skip
    if not result.passed:
        line = command_line(result, case.factory, case.name)
        result = dataclasses.replace(result, replay=line)
    print(result)
    return PASSED if result.passed else FAILED


def _replay_report(options: argparse.Namespace) -> int:
    from equiaudit.report.json import read_json

    try:
        audits = read_json(options.case).audits
    except (OSError, ValueError) as problem:
        raise Complaint(f"{options.case} can't be read: {problem}") from None
    chosen = [a for a in audits if not a.passed and options.label in (None, a.label)]
    if not chosen:
        wanted = f" with label {options.label!r}" if options.label else ""
        raise Complaint(f"no failed audit{wanted} in {options.case}; it holds {len(audits)}: {_labels(audits)}")
    status = PASSED
    for found in chosen:
        words = shlex.split(found.replay, comments=True)
        if words[:1] != ["equiaudit"] or words[1:2] not in (["audit"], ["replay"]):
            raise Complaint(f"{found.label} does not come from the command line; replay it with: {found.replay}")
        print(found.replay, flush=True)
        status = max(status, main([*words[1:], "--label", found.label]))
    return status


def _labels(audits: Sequence[Audit]) -> str:
    return ", ".join(f"{a.label} ({a.verdict})" for a in audits) or "nothing"


def run_groups(options: argparse.Namespace) -> int:
    """List the groups and the names of representations, each with one line."""
    from equiaudit import groups
    from equiaudit.groups.parsing import FAMILIES
    from equiaudit.representations.resolve import NAMES, named

    print("groups (equiaudit.groups)")
    for name in sorted(FAMILIES):
        print(f"  {name:<18}{_first_sentence(getattr(groups, name))}")
    print("\nrepresentations (strings in Symmetry)")
    for name in NAMES:
        print(f"  {name:<18}{_first_sentence(type(named(name)))}")
    print(f"  {'1x0e+2x1o':<18}{_first_sentence(type(named('1x0e')))}")
    return PASSED


def _first_sentence(thing: Any) -> str:
    return " ".join((thing.__doc__ or "").strip().split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


# -- what the commands share ---------------------------------------------------------------------------------------


def _cases(options: argparse.Namespace) -> list[Case]:
    from equiaudit.factory import FactoryError, UserError, load_cases

    try:
        return load_cases(options.case, options.name)
    except FactoryError as problem:
        raise Complaint(str(problem)) from None
    except UserError as problem:
        problem.show()
        raise Complaint(f"{options.case} raised {type(problem.__cause__).__name__}; see above") from None


def _carry_out(call: Callable[[], Audit]) -> Audit:
    """The audit; what a model raises is shown with its traceback, what was asked wrongly in one line."""
    from equiaudit.factory import show_traceback
    from equiaudit.groups.base import NotInGroupError
    from equiaudit.representations.base import RepresentationError
    from equiaudit.representations.structures import StructureError

    try:
        return call()
    except (RepresentationError, StructureError, NotInGroupError) as problem:
        raise Complaint(str(problem)) from None
    except Exception as problem:
        if _is_ours(problem):
            raise Complaint(str(problem)) from None
        show_traceback(problem)
        raise Complaint(f"the model raised {type(problem).__name__}; see above") from None


def _is_ours(problem: Exception) -> bool:
    """Whether the last frame is in this package: then it is about the arguments, not about the model."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    home = str(Path(__file__).parent)
    return (
        trace is not None
        and trace.tb_frame.f_code.co_filename.startswith(home)
        and isinstance(problem, (TypeError, ValueError))
    )


def _check_paths(options: argparse.Namespace) -> None:
    for path in (options.json, options.html):
        if path and path != "-" and not Path(path).resolve().parent.is_dir():
            raise Complaint(f"{path} can't be written: there is no folder {Path(path).resolve().parent}")


def _write(cases: Sequence[Case], found: Sequence[Audit], options: argparse.Namespace) -> None:
    if not options.json and not options.html:
        return
    from equiaudit.report.json import Record, make_report, to_text, write_json

    records = [Record(a, factory=c.factory, case=c.name) for c, a in zip(cases, found, strict=True)]
    report = make_report(records)
    if options.json == "-":
        print(to_text(report), end="")
    elif options.json:
        write_json(report, options.json)
    if options.html:
        from equiaudit.report.html import write_html

        try:
            write_html(report, options.html)
        except ImportError as problem:
            raise Complaint(f"--html: {problem}") from None


@contextmanager
def _progress(label: str) -> Iterator[Callable[[str], None]]:
    """What is being done, on standard error, while a person watches."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(label) as status:
        yield lambda step: status.update(f"{label}: {step}")


if __name__ == "__main__":
    sys.exit(main())
