"""``replay``: one element on one input again, with the number that the audit gave."""

from __future__ import annotations

import ast
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from equiaudit.groups.base import Element, Group
from equiaudit.groups.parsing import parse
from equiaudit.measure.audit import as_symmetries, name_of
from equiaudit.measure.constants import is_rounding_of_constants, worst_of
from equiaudit.measure.environment import describe_environment
from equiaudit.measure.examine import Examination, Finding, Settled
from equiaudit.measure.judge import Judgement
from equiaudit.measure.jumps import find_jump
from equiaudit.measure.plan import Plan, Trial
from equiaudit.measure.run import Run
from equiaudit.measure.sanity import check_moves, find_vacuous, look_at_outputs
from equiaudit.measure.state import preserved
from equiaudit.measure.summary import summarise
from equiaudit.records import Audit, Cause, Cost, Verdict
from equiaudit.representations.image import Image
from equiaudit.representations.structures import StructureError
from equiaudit.symmetry import Symmetry

INPUTS = {"given": "x0", "twin": "x1"}


def replay(
    model: Any,
    inputs: Any = None,
    symmetry: Symmetry | Sequence[Symmetry] | None = None,
    element: str | Element | Sequence[Element] = "",
    *,
    on: str = "given",
    which: int = 0,
    forward: Callable[[Any, Any], Any] | None = None,
    reference: Any = "auto",
    label: str | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    atol: float | None = None,
    perturb: bool | str = False,
    randomness: str = "refuse",
) -> Audit:
    """One element of an audit again: the same residual, floor and place, at the same precision and on the same input.

    A failed audit prints this call. Nothing else is tried, so that a fault can be watched while it is repaired.

    Args:
        model, inputs, symmetry: as they were given to ``audit``.
        element: the code that the audit printed, or an element; one per sample as a list.
        on: "given", the caller's input, or "twin", the jittered copy of it that the seed makes.
        which: the number of the symmetry, where several were given.
        forward, reference, label, seed, tolerance, atol, randomness: as for ``audit``.
        perturb: True as for ``audit``; "hiding" for generic values only where a parameter is zero or constant.

    Returns:
        An ``Audit`` of this one element; ``str()`` of it is what a person wants to read.

    Raises:
        ValueError: the code is no element, an element is of another group, or there is no such input or symmetry.

    >>> import torch
    >>> from equiaudit import Symmetry, audit, replay
    >>> from equiaudit.groups import SO
    >>> x, turns = torch.randn(8, 3), Symmetry(SO(3), "vector", "vector")
    >>> found = audit(torch.tanh, x, turns)
    >>> again = replay(torch.tanh, x, turns, found.worst.element, on=found.worst.on, seed=0)
    >>> again.error == found.error, again.worst.index == found.worst.index
    (True, True)
    """
    started = time.perf_counter()
    symmetries = as_symmetries(model, symmetry)
    if not 0 <= which < len(symmetries):
        raise ValueError(f"which={which}: there are {len(symmetries)} symmetries, numbered from 0")
    if on not in INPUTS:
        raise ValueError(f"on must be 'given' or 'twin', got {on!r}")
    if perturb not in (False, True, "hiding"):
        raise ValueError(f"perturb must be False, True or 'hiding', got {perturb!r}")
    elements = read_elements(element, symmetries[which].acts)
    if inputs is None:
        from equiaudit.declared import random_inputs

        inputs = random_inputs(symmetries[0], model, seed=seed)
    with preserved(model), torch.inference_mode(False):
        run = Run(
            model, inputs, symmetries, forward, reference, "quick", seed, tolerance, atol, randomness,
            perturb is True, lambda _: None,
        )  # fmt: skip
        found = run.settled or try_elements(run, symmetries[which], elements, INPUTS[on], perturb == "hiding")
        environment = describe_environment(model, inputs, run.declared)
    return Audit(
        verdict=found.verdict,
        cause=found.cause,
        reason=found.reason,
        error=found.error,
        floor=found.floor,
        tolerance=tolerance,
        atol=atol,
        sensitivity=found.sensitivity,
        worst=found.worst,
        checks=tuple(found.checks),
        leaves=tuple(found.leaves),
        notes=tuple(dict.fromkeys([*run.notes, *found.notes])),
        untested=("all other elements: this is a replay",),
        method=run.method,
        cost=Cost(dict(run.spent.forwards), run.spent.jvps, run.spent.probes, time.perf_counter() - started),
        seed=seed,
        effort="replay",
        label=label or name_of(model),
        symmetry=repr(symmetries[which]),
        environment=environment,
    )


def read_elements(element: str | Element | Sequence[Element], group: Group) -> tuple[Element, ...]:
    """The elements that a code or a list of codes stands for; only elements of ``group``.

    Raises:
        ValueError: no element, or one of another group.
    """
    if isinstance(element, str):
        names = {repr(group): group} if repr(group).isidentifier() else {}
        found = tuple(parse(code, names) for code in _codes(element))
    else:
        found = (element,) if isinstance(element, Element) else tuple(element)
    if not found or not all(isinstance(g, Element) for g in found):
        raise ValueError(f"no element to replay: expected code such as {group.identity()!r}, got {element!r}")
    for g in found:
        if g.group != group:
            raise ValueError(f"{g!r} is an element of {g.group!r}, and the symmetry is one of {group!r}")
    return found


def _codes(text: str) -> list[str]:
    text = " ".join(text.split())  # printed code may be broken over lines
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return [text] if text else []  # the parser of elements says what is wrong
    if isinstance(tree, ast.List):
        return [ast.get_source_segment(text, item) or "" for item in tree.elts]
    return [text]


def try_elements(run: Run, symmetry: Symmetry, elements: tuple[Element, ...], base: str, hiding: bool) -> Finding:
    """What these elements, one for all samples or one for each, give on one of the run's inputs.

    Raises:
        ValueError: there is no such input, or the elements are not as many as the samples.
    """
    if base not in run.x:
        raise ValueError("on='twin': nothing in these inputs can be jittered, so there is no twin")
    count = symmetry.sample_count(run.inputs)
    if len(elements) not in (1, count):
        raise ValueError(f"{len(elements)} elements for {count} samples; give one, or one for each sample")
    elements = elements * count if len(elements) == 1 else elements
    images = [rep for _, _, rep in symmetry.input_leaves(run.inputs) if isinstance(rep, Image)]
    between = not symmetry.acts.is_finite and not all(rep.is_exact(g) for rep in images for g in elements)
    trial = Trial("as given", elements, base, ("as given",), probe=True, between=between, as_given=True)
    helpers = run.helpers(symmetry, count)
    bench = run._bench(symmetry, run.evaluator, run.x, run.y)
    examination = Examination(bench, Plan((trial,), "one element"), helpers)
    try:
        look_at_outputs(examination)
        if hiding:
            changed = helpers.with_parameters(None)
            if changed is None:
                raise ValueError("perturb='hiding': no trainable parameter is zero or constant")
            other = Examination(changed[0], examination.plan, helpers)
            other.scales, other.vacuous = examination.scales, examination.vacuous
            examination = other
        _judge(examination, trial, hiding)
    except Settled as end:
        examination.found.verdict, examination.found.reason = end.verdict, end.reason
        examination.found.cause = end.cause
    except StructureError as problem:
        examination.found.verdict, examination.found.reason = Verdict.INVALID, str(problem)
        examination.found.cause = Cause.STRUCTURE
    return examination.found


def _judge(examination: Examination, trial: Trial, hiding: bool) -> None:
    """As an audit does it: on the caller's input, the twin says what rounding does where the input sits on a tie."""
    found, alone = examination.found, trial.base == "x1" or "x1" not in examination.bench.inputs
    trial = dataclasses.replace(trial, probe=alone)
    check_moves(examination, [trial])
    outcome, rows = examination.try_element(trial)
    twin = [] if alone else examination.try_element(dataclasses.replace(trial, base="x1", probe=True))[1]
    examination.judged.append((outcome, rows))
    find_vacuous(examination)

    def within(judged: list[Judgement]) -> bool:
        return all(j.within for n, j in enumerate(judged) if n not in examination.vacuous)

    if within(rows):
        find_jump(examination)
    examination.judged = [(outcome, rows)]
    if not within(rows):
        if is_rounding_of_constants(examination, outcome, worst_of(examination, rows)):
            examination.constants = True
            rows[:] = [dataclasses.replace(j, within=True) for j in rows]
        else:
            found.verdict, found.worst_trial = Verdict.BROKEN, outcome
            jumps = bool(twin) and within(twin)
            found.cause = (
                Cause.HIDDEN if hiding else Cause.ALIASING if trial.between else Cause.DISCONTINUITY if jumps else None
            )
    if within(rows):
        examination.refuse_doubt()
    summarise(examination)
