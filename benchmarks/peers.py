"""How a case is judged elsewhere: e3nn's assert_equivariant, and one random element with allclose."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from corpus.brute import act_tree, call, draw, select, spread
from corpus.case import Case, Claim, map_leaves
from torch import Tensor

ACCEPTED, REJECTED, NOT_APPLICABLE = "accepted", "rejected", "n/a"
RIGID = {"E(3)": (True, True), "SE(3)": (False, True), "O(3)": (True, False), "SO(3)": (False, False)}
"""Group -> (parity, translations), as assert_equivariant takes them."""
IRREPS = {"vector": "1o", "pseudovector": "1e", "invariant": "0e", "scalar": "0e", "pseudoscalar": "0o"}


def judge_by_allclose(case: Case, seed: int) -> str:
    """One random element, f(gx) against g f(x) with ``torch.allclose(atol=1e-4)``, at the declared precision."""
    model, inputs, claims = case.parts()
    rng = np.random.default_rng(seed)
    try:
        for claim in claims:
            elements = [draw(claim, rng, spread(inputs, claims)) for _ in range(1 if claim.batch is None else 9)]
            plain = call(case, model, inputs)
            got = select(call(case, model, act_tree(claim, claim.inputs, inputs, elements, inputs)), claim.outputs)
            want = select(act_tree(claim, claim.outputs, plain, elements, inputs), claim.outputs)
            if not all(torch.allclose(a, b, atol=1e-4) for a, b in zip(got, want, strict=True)):
                return REJECTED
    except Exception:  # a test that raises fails
        return REJECTED
    return ACCEPTED


def judge_by_e3nn(case: Case, seed: int) -> str:
    """``e3nn.util.test.assert_equivariant`` where every declared leaf is a tensor with irreps on its last dimension.

    Its limits are eased: dicts are flattened for it, a scalar gets a dimension, and of several claims it judges the
    rigid one. Other groups, Cartesian tensors, functions as actions and per-sample elements stay out of its reach.
    """
    model, inputs, claims = case.parts()
    claim = next((c for c in claims if c.group in RIGID), None)
    if claim is None or claim.batch is not None or case.options.get("randomness") or case.options.get("perturb"):
        return NOT_APPLICABLE
    reps_in = leaves(inputs, claim.inputs)
    if any(irreps_of(rep, x) is None for x, rep in reps_in):
        return NOT_APPLICABLE
    before = torch.get_default_dtype()
    dtype = next((x.dtype for x, rep in reps_in if x.is_floating_point()), before)
    try:
        torch.set_default_dtype(dtype)
        try:
            reps_out = leaves(call(case, model, inputs), claim.outputs)
        except Exception:
            return REJECTED
        if any(irreps_of(rep, as_rows(y)) is None for y, rep in reps_out):
            return NOT_APPLICABLE
        return run_e3nn(case, model, inputs, claim, reps_in, reps_out, seed)
    finally:
        torch.set_default_dtype(before)


def run_e3nn(case: Case, model: Any, inputs: Any, claim: Claim, reps_in: list, reps_out: list, seed: int) -> str:
    """The call itself, with tensors laid out as it wants them."""
    from e3nn.util.test import assert_equivariant

    parity, translation = RIGID[claim.group]

    def flat_call(*tensors: Tensor) -> tuple[Tensor, ...]:
        queue = list(tensors)
        fresh = map_leaves(
            lambda x, rep: queue.pop(0) if isinstance(x, Tensor) and rep is not None else x, inputs, claim.inputs
        )
        return tuple(as_rows(y) for y, _ in leaves(call(case, model, fresh), claim.outputs))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            assert_equivariant(
                flat_call,
                args_in=[x for x, _ in reps_in],
                irreps_in=[irreps_of(rep, x) for x, rep in reps_in],
                irreps_out=[irreps_of(rep, as_rows(y)) for y, rep in reps_out],
                do_parity=parity,
                do_translation=translation,
            )
        except Exception:  # AssertionError, or whatever it stumbles over: the test fails
            return REJECTED
    return ACCEPTED


def leaves(tree: Any, reps: Any) -> list[tuple[Tensor, Any]]:
    """Declared tensors with their representations, in order."""
    found: list[tuple[Tensor, Any]] = []
    map_leaves(lambda x, rep: found.append((x, rep)) if isinstance(x, Tensor) and rep is not None else None, tree, reps)
    return found


def as_rows(y: Tensor) -> Tensor:
    """A scalar as a vector of one."""
    return y.reshape(1) if y.dim() == 0 else y


def irreps_of(rep: Any, x: Tensor) -> str | None:
    """The irreps of the last dimension, "cartesian_points", or None where e3nn has no word for it."""
    if not isinstance(rep, str) or x.is_complex():
        return None
    if rep == "points":
        return "cartesian_points"
    if rep in IRREPS:
        width = 3 if "vector" in rep else 1
        return f"{x.shape[-1] // width}x{IRREPS[rep]}" if x.dim() else None
    return rep if rep[0].isdigit() else None
