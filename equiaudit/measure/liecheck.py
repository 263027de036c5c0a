"""The Lie derivative as rows of an audit: one random direction where nothing failed, every generator where something did."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from equiaudit.measure.differences import cross_check
from equiaudit.measure.examine import Examination, Finding
from equiaudit.measure.lie import Slope, directions, slope
from equiaudit.measure.plan import Trial
from equiaudit.measure.residual import rms
from equiaudit.measure.rules import (
    ACCEPT,
    SETTLED,
    SLOPE_APART,
    SLOPE_BELIEVED,
    SLOPE_DIFFERENCES,
    SLOPE_EXCESS,
    SLOPE_ROUNDING,
    STEP,
)
from equiaudit.measure.sweep import generator_name
from equiaudit.records import Check, Method, Verdict
from equiaudit.representations.structures import StructureError
from equiaudit.ties import first_largest


def check_slope(
    examination: Examination, found: Finding, method: Method, derivative: str, per_generator: bool
) -> Method:
    """Add the Lie rows to ``found``; returns the method with the backend that ran and its cross-check."""
    bench, group = examination.bench, examination.bench.symmetry.acts
    name = "x1" if "x1" in bench.inputs else "x0"
    inputs, samples = bench.inputs[name], examination.helpers.count
    rng = np.random.default_rng([bench.seed, 7])
    separate = per_generator or found.verdict in (Verdict.BROKEN, Verdict.APPROXIMATE)
    scale = {
        leaf.path: s.typical
        for n, (leaf, s) in enumerate(zip(bench.base(name).leaves, examination.scales, strict=True))
        if n not in examination.vacuous
    }
    try:
        if separate:
            rows: dict[tuple[str, int], Slope] = {}
            chosen = derivative
            for part in group.parts:
                for k in part.indices:  # what one direction has confirmed serves the others
                    one = slope(
                        bench.evaluator,
                        bench.symmetry,
                        inputs,
                        np.eye(group.dim)[k],
                        method=chosen,
                        check=not rows,
                        placed=examination.shifts_break and "translation" not in part.name,
                    )
                    chosen, rows[part.name, k] = one.backend, one
            slopes: list[Slope] = list(rows.values())
        else:
            shape = (samples, group.dim) if bench.symmetry.batch is not None else (group.dim,)
            direction = rng.standard_normal(shape)
            # not compared with differences here: the finite element below, and all others, are the cross-check
            slopes = [slope(bench.evaluator, bench.symmetry, inputs, direction, method=derivative, check=False)]
    except (StructureError, RuntimeError, NotImplementedError, ValueError, TypeError) as problem:
        first = str(problem).splitlines()[0] if str(problem) else ""
        found.notes.append(f"no Lie derivative: {type(problem).__name__}: {first[:160]}")
        return method
    exact = found.verdict is Verdict.EXACT
    check = None
    if separate:
        fine = {c.part for c in found.checks if c.kind != "lie" and c.verdict is Verdict.EXACT}
        broken = found.verdict if found.verdict is Verdict.APPROXIMATE else Verdict.BROKEN
        found.checks += _parts(group, rows, scale, exact, per_generator, broken, fine)
        worst = first_largest(rows, lambda key: _size(rows[key], scale))
        examination.worst_generator = worst[1]
        direction = np.eye(group.dim)[worst[1]]
        check = _by_differences(examination, name, direction, rows[worst])
    else:
        error = _size(slopes[0], scale)
        check = _by_element(examination, name, direction, slopes[0], scale)
        found.checks.append(
            Check(
                "Lie derivative, random direction",
                "lie",
                Verdict.EXACT,
                error,
                _resolution(slopes[0], scale),
                None,
                None,
                1,
            )
        )
        if (
            exact
            and not examination.constants
            and error > max(SLOPE_BELIEVED, SLOPE_EXCESS * _resolution(slopes[0], scale))
            and check > SLOPE_APART * error
        ):
            found.notes.append(
                f"the derivative backend {slopes[0].backend} gives {error:.1e} where finite elements give no violation; "
                "the finite elements are believed"
            )
    return dataclasses.replace(method, derivative=slopes[0].backend, refused=dict(slopes[0].refused), cross_check=check)


def _size(found: Slope, scale: dict) -> float:
    return max((rms(v) / (scale[p] or 1.0) for p, v in found.values.items() if p in scale), default=0.0)


def _resolution(found: Slope, scale: dict) -> float:
    sizes = [(rms(found.moved[p]) + rms(found.turned[p])) / (scale[p] or 1.0) for p in found.values if p in scale]
    # central differences say how far they may be off themselves
    errors = [SLOPE_DIFFERENCES * rms(e) / (scale[p] or 1.0) for p, e in found.errors.items() if p in scale]
    return max(ACCEPT, max(sizes, default=0.0) * SLOPE_ROUNDING, max(errors, default=0.0))


def _parts(group, rows, scale, exact: bool, per_generator: bool, broken: Verdict, fine: set[str]) -> list[Check]:  # type: ignore[no-untyped-def]
    checks = []
    for part in group.parts:
        mine = {k: s for (name, k), s in rows.items() if name == part.name}
        sizes = {k: _size(s, scale) for k, s in mine.items()}
        total = float(np.sqrt(sum(v * v for v in sizes.values())))
        floor = max((_resolution(s, scale) for s in mine.values()), default=0.0)
        # finite elements have told this part's rounding of constants from a violation
        settled = total < SETTLED and part.name in fine
        verdict = Verdict.EXACT if exact or settled or total <= floor else broken
        checks.append(Check(f"Lie derivative, {part.name}", "lie", verdict, total, floor, None, None, len(mine)))
        if per_generator:
            for k, size in sizes.items():
                good = exact or settled or size <= floor
                label = f"Lie derivative, {generator_name(group, k)}"
                checks.append(Check(label, "lie", Verdict.EXACT if good else broken, size, floor, None, None, 1))
    return checks


def _by_element(examination: Examination, name: str, direction, found: Slope, scale: dict) -> float:  # type: ignore[no-untyped-def]
    """|r(exp(hA), x)/h| against |L_A f|: one forward; for an equivariant model both vanish for every h."""
    bench, group = examination.bench, examination.bench.symmetry.acts
    rows = np.atleast_2d(STEP * direction)
    trial = Trial("along the Lie derivative", tuple(group.exp(*row) for row in rows), name, ("along",))
    try:
        outcome = bench.run(trial)
    except StructureError:
        return float("nan")
    leaves = bench.base(name).leaves
    steep = max(
        (
            rms(r) / STEP / (scale[leaf.path] or 1.0)
            for leaf, r in zip(leaves, outcome.residuals, strict=True)
            if leaf.path in scale
        ),
        default=0.0,
    )
    return abs(steep - _size(found, scale))


def _by_differences(examination: Examination, name: str, direction, found: Slope) -> float:  # type: ignore[no-untyped-def]
    """The ladder's Df[v] against Richardson differences, relative."""
    bench = examination.bench
    try:
        function, primals, tangents = flat_problem(bench, name, direction)
        with bench.evaluator.ready():
            return float(cross_check(function, primals, tangents, list(found.moved.values())))
    except Exception:  # the cross-check is a number beside the verdict; where it can't be had it is left out
        return float("nan")


def flat_problem(bench, name: str, direction):  # type: ignore[no-untyped-def]
    """The model as a function of the flat declared inputs, the inputs, and their velocity."""
    from equiaudit.measure.lie import declared_outputs, fresh_copy
    from equiaudit.representations.structures import map_leaves

    inputs = bench.inputs[name]
    coordinates = directions(bench.symmetry, inputs, np.asarray(direction, dtype=float))
    velocities = bench.symmetry.velocity(coordinates, inputs)
    place = {path: n for n, (path, _, _) in enumerate(velocities)}

    def function(flat: list[torch.Tensor]) -> list[torch.Tensor]:
        bench.evaluator.spent.forwards[bench.evaluator._name(inputs)] += 1
        fresh = map_leaves(lambda p, v: flat[place[p]] if p in place else fresh_copy(v), inputs, fresh=True)
        return [v for _, v in declared_outputs(bench.symmetry, bench.evaluator.call(fresh))]

    return function, [x for _, x, _ in velocities], [v for _, _, v in velocities]
