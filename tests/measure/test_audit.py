"""What ``audit`` concludes on small models whose answer is known, and the sentence that it says."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import nn

from equiaudit import Audit, Symmetry, Verdict, audit
from equiaudit.groups import SE, SO, Cyclic, E, O, Permutations, T, U

VECTOR = Symmetry(O(3), "vector", "vector")


@pytest.fixture
def points() -> torch.Tensor:
    return torch.randn(9, 3, generator=torch.Generator().manual_seed(0)) * 2 + 5


class Pair(nn.Module):
    """An invariant energy of distances and its forces; ``fault`` is added to the forces."""

    def __init__(self, fault: float = 0.0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.net = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 1))
        self.fault = fault

    def forward(self, positions):
        positions.requires_grad_()
        r = ((positions[:, None] - positions).square().sum(-1) + 1e-3).sqrt()
        centres = torch.linspace(0, 3, 16, dtype=r.dtype, device=r.device)
        energy = self.net(torch.exp(-((r[..., None] - centres) ** 2))).sum()
        forces = -torch.autograd.grad(energy, positions)[0]
        return {"energy": energy, "forces": forces + self.fault}


RIGID = Symmetry(E(3), "points", {"energy": "invariant", "forces": "vector"})


# -- verdicts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effort", ["quick", "default", "thorough"])
def test_an_exact_potential_is_exact(points, effort):
    found = audit(Pair(), points, RIGID, effort=effort)
    assert found.verdict is Verdict.EXACT
    assert found.error < 1e-10
    assert found.passed
    assert bool(found)
    assert {leaf.path for leaf in found.leaves} == {"energy", "forces"}


@pytest.mark.parametrize("effort", ["quick", "default"])
def test_a_constant_force_is_broken_by_rotations_and_not_by_translations(points, effort):
    found = audit(Pair(0.01), points, RIGID, effort=effort)
    assert found.verdict is Verdict.BROKEN
    rows = {c.part: c.verdict for c in found.checks}
    assert rows["rotations"] is rows["inversion"] is Verdict.BROKEN
    assert rows["translations"] is Verdict.EXACT
    assert found.worst.leaf == "forces"
    assert found.worst.absolute == pytest.approx(0.02, rel=0.5)


@pytest.mark.parametrize(("fault", "dtype"), [(1e-6, torch.float32), (1e-10, torch.float64)])
def test_a_tiny_violation_is_real_and_an_honest_float32_model_is_not_accused(points, fault, dtype):
    x = points.to(dtype)
    assert audit(Pair(fault).to(dtype), x, RIGID).verdict is Verdict.BROKEN
    assert audit(Pair().to(dtype), x, RIGID).verdict is Verdict.EXACT


def test_tolerance_and_atol_turn_a_real_violation_into_an_approximate_one(points):
    for allowed in ({"tolerance": 0.5}, {"atol": 0.1}):
        found = audit(Pair(0.001), points, RIGID, **allowed)
        assert found.verdict is Verdict.APPROXIMATE
        assert found.passed
    for strict in ({"tolerance": 1e-9}, {"atol": 1e-9}):
        assert audit(Pair(0.001), points, RIGID, **strict).verdict is Verdict.BROKEN


def _still(x):
    return x.new_full((len(x), 2), 3.0)


@pytest.mark.parametrize(
    ("model", "verdict", "sentence"),
    [
        (lambda x: x * float("nan"), Verdict.INVALID, "NaN"),
        (lambda x: x / x.new_zeros(()), Verdict.INVALID, "Inf"),
        (lambda x: x * 0, Verdict.VACUOUS, "zero everywhere"),
        (lambda x: torch.ones_like(x), Verdict.VACUOUS, "constant"),
        (lambda x: torch.arange(27.0).reshape(9, 3), Verdict.VACUOUS, "does not depend on the input"),
        (nn.Dropout(0.5), Verdict.INVALID, "not repeatable"),
        (lambda x: x + torch.rand_like(x), Verdict.INVALID, "not repeatable"),
        (lambda x: x[:, :2], Verdict.INVALID, "must have length 3"),
    ],
)
def test_each_sanity_case_has_its_verdict_and_sentence(points, model, verdict, sentence):
    found = audit(model, points, VECTOR)
    assert found.verdict is verdict
    assert not found.passed
    assert sentence in found.reason
    assert sentence in str(found)


def test_an_exact_invariant_of_unit_vectors_is_vacuous_and_not_divided_by_its_own_rounding(points):
    found = audit(lambda x: (x / x.norm(dim=-1, keepdim=True)).norm(dim=-1), points, Symmetry(SO(3), "vector"))
    assert found.verdict is Verdict.VACUOUS


def test_inputs_that_the_group_leaves_where_they_are(points):
    found = audit(lambda x: x * 2, points, Symmetry(T(3), "vector", "vector"))
    assert found.verdict is Verdict.VACUOUS
    assert "fixed by the group" in found.reason


def test_one_vacuous_leaf_is_named_and_does_not_spoil_the_others(points):
    found = audit(
        lambda x: {"norm": x.norm(dim=-1), "dipole": x * 0},
        points,
        Symmetry(SO(3), "vector", {"norm": "invariant", "dipole": "vector"}),
    )
    assert found.verdict is Verdict.EXACT
    assert any("dipole is zero" in note for note in found.notes)
    assert {leaf.path: leaf.verdict for leaf in found.leaves}["dipole"] is Verdict.VACUOUS


def test_a_constant_offset_does_not_hide_a_leak(points):
    leak = lambda x: 1e6 + x.norm(dim=-1) + 1e-3 * x[:, 0]  # noqa: E731
    found = audit(leak, points.double(), Symmetry(SO(3), "vector"))
    assert found.verdict is Verdict.BROKEN
    assert found.error > 1e-4


def test_a_seed_matched_run_of_a_random_model(points):
    model = lambda x: x * torch.rand((), dtype=x.dtype)  # noqa: E731
    assert audit(model, points, VECTOR).verdict is Verdict.INVALID
    assert audit(model, points, VECTOR, randomness="match").verdict is Verdict.EXACT


def test_only_the_callers_own_input_breaks_it():
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)

    def nearest(x):
        near = (x[:, None] - x).norm(dim=-1).topk(3, largest=False).indices[:, 1:]
        weight = torch.arange(1.0, 9.0, dtype=x.dtype)
        return (weight[near] * (x[:, None] - x[near]).square().sum(-1)).sum(-1)

    found = audit(nearest, cube, Symmetry(E(3), "points"))
    assert found.verdict is Verdict.BROKEN
    assert found.cause == "discontinuity"


def test_a_zero_bias_hides_a_fault_until_parameters_are_generic(points):
    class Biased(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return x * x.norm(dim=-1, keepdim=True) + self.bias

    for options in ({}, {"perturb": True}):
        found = audit(Biased(), points, VECTOR, **options)
        assert found.verdict is Verdict.BROKEN
        assert found.cause == "hidden by parameter"
    assert "bias" in audit(Biased(), points, VECTOR).reason


class Hiding(nn.Module):
    """Zeros and ones that do no harm, and one zero that hides a fault; or two zeros that hide it only together."""

    def __init__(self, together: bool = False):
        super().__init__()
        self.before = nn.ParameterList(nn.Parameter(torch.ones(2)) for _ in range(3))
        self.pos = nn.Parameter(torch.zeros(3))
        self.gate = nn.Parameter(torch.zeros(2))
        self.after = nn.Parameter(torch.zeros(2))
        self.together = together

    def forward(self, x):
        harmless = sum(p.sum() for p in self.before) + self.after.sum()
        fault = self.pos * self.gate.square().sum() if self.together else self.pos
        return x * (harmless + self.gate.sum() + x.norm(dim=-1, keepdim=True)) + fault


def test_only_the_parameters_that_hide_the_fault_are_named(points):
    assert "exact only while pos is zero or constant" in audit(Hiding(), points, VECTOR).reason
    reason = audit(Hiding(together=True), points, VECTOR).reason
    assert "pos" in reason
    assert "gate" in reason


def test_a_quick_audit_says_which_parameters_it_left_at_zero(points):
    found = audit(Hiding(), points, VECTOR, effort="quick")
    assert found.passed
    left = [text for text in found.untested if "zero or constant" in text]
    assert left == ["other values of pos, gate, after and 3 more, zero or constant here: not with effort='quick'"]
    assert not any("zero or constant" in text for text in audit(nn.Linear(3, 3), points, VECTOR).untested)


def test_a_kernel_that_computes_more_coarsely_than_the_model_declares(points):
    def coarse(x):
        square = (x.bfloat16() if x.dtype == torch.float32 else x).square().sum(-1)
        return x * square[:, None].to(x.dtype)

    found = audit(coarse, points, VECTOR)
    assert found.verdict is Verdict.BROKEN
    assert found.cause == "low precision"


def test_undeclared_inputs_that_carry_a_frame_are_named(points):
    cell = torch.eye(3) * 7 + 0.1
    found = audit(
        lambda data: data["positions"].norm(dim=-1) + (data["positions"] @ data["cell"])[:, 0],
        {"positions": points, "cell": cell},
        Symmetry(SO(3), {"positions": "vector"}),
    )
    assert found.verdict is Verdict.BROKEN
    assert any("cell" in note and "not declared" in note for note in found.notes)


def test_untested_parts_are_listed(points):
    pairs = lambda x: (x[:, None] - x).norm(dim=-1).sum(-1)  # noqa: E731
    assert audit(pairs, points, Symmetry(SO(3), "points")).untested == ("translations", "reflections")
    assert audit(pairs, points, Symmetry(SE(3), "points")).untested == ("reflections",)
    assert audit(pairs, points, Symmetry(E(3), "points")).untested == ()


def test_undeclared_outputs_are_listed_and_missing_ones_are_invalid(points):
    model = lambda x: {"a": x.norm(dim=-1), "b": x}  # noqa: E731
    found = audit(model, points, Symmetry(SO(3), "vector", {"a": "invariant"}))
    assert found.verdict is Verdict.EXACT
    assert "not declared, so not checked: b" in found.notes
    found = audit(model, points, Symmetry(SO(3), "vector", {"c": "invariant"}))
    assert found.verdict is Verdict.INVALID
    assert "'c'" in found.reason


# -- structures, dtypes, groups ----------------------------------------------------------------------------------------


class Named(NamedTuple):
    x: torch.Tensor
    charge: torch.Tensor


@dataclass(frozen=True)
class Result:
    energy: torch.Tensor
    force: torch.Tensor
    count: int
    nothing: None = None


def test_structures_of_every_kind(points):
    charge = torch.rand(9)
    spec = ({"x": "vector", "charge": "invariant"},)

    def model(named):
        return Result((named.x.norm(dim=-1) * named.charge).sum(), named.x * named.charge[:, None], 3)

    outputs = Result("invariant", "vector", "invariant", None)
    found = audit(model, (Named(points, charge),), Symmetry(SO(3), spec, outputs))
    assert found.verdict is Verdict.EXACT
    assert {leaf.path for leaf in found.leaves} >= {"energy", "force"}


def test_several_positional_arguments_and_forward(points):
    weight = torch.rand(9)
    model = lambda x, w: x * w[:, None]  # noqa: E731
    symmetry = Symmetry(SO(3), ("vector", "invariant"), "vector")
    assert audit(model, (points, weight), symmetry).verdict is Verdict.EXACT
    keywords = lambda model, inputs: model(x=inputs["x"], w=inputs["w"])  # noqa: E731
    found = audit(model, {"x": points, "w": weight}, Symmetry(SO(3), {"x": "vector"}, "vector"), forward=keywords)
    assert found.verdict is Verdict.EXACT


def test_several_symmetries_give_one_audit_with_a_row_for_each(points):
    relabel = Symmetry(Permutations(), "nodes", {"energy": "invariant", "forces": "nodes"})
    found = audit(Pair(), points, [RIGID, relabel])
    assert found.verdict is Verdict.EXACT
    parts = {c.part for c in found.checks}
    assert any("rotations" in p for p in parts)
    assert any("Permutations" in p for p in parts)
    ordered = lambda x: x * torch.arange(9.0, dtype=x.dtype)[:, None]  # noqa: E731
    both = [VECTOR, Symmetry(Permutations(), "nodes", "nodes")]
    found = audit(ordered, points, both)
    assert found.verdict is Verdict.BROKEN
    broken = {c.part for c in found.checks if c.verdict is Verdict.BROKEN}
    assert broken == {"Permutations(): permutations", "Permutations(): shuffle"}


def test_one_element_per_sample_finds_a_model_that_couples_samples(points):
    x = points.reshape(3, 3, 3)
    coupled = lambda x: x - x.mean(0)  # noqa: E731
    assert audit(coupled, x, Symmetry(SO(3), "vector", "vector")).verdict is Verdict.EXACT
    assert audit(coupled, x, Symmetry(SO(3), "vector", "vector", batch=0)).verdict is Verdict.BROKEN
    assert audit(lambda x: x * 2, x, Symmetry(SO(3), "vector", "vector", batch=0)).verdict is Verdict.EXACT


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_real_precision(points, dtype):
    x = (points - 5).to(dtype)
    model = lambda x: x * (x * x).sum(-1, keepdim=True)  # noqa: E731
    for reference in ("auto", False):
        assert audit(model, x, VECTOR, reference=reference).verdict is Verdict.EXACT
        assert audit(lambda x: x * x.abs(), x, VECTOR, reference=reference).verdict is Verdict.BROKEN


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_models(dtype):
    z = torch.randn(7, 1, dtype=dtype)
    phase = Symmetry(U(1), "vector", "vector")
    assert audit(lambda z: z * z.abs(), z, phase).verdict is Verdict.EXACT
    assert audit(lambda z: z + z.conj(), z, phase).verdict is Verdict.BROKEN


def test_finite_groups_are_exhaustive_and_larger_ones_say_what_was_tried():
    x = torch.randn(2, 1, 8, 8)
    symmetry = Symmetry(Cyclic(4), "image", "image")
    assert audit(torch.square, x, symmetry).verdict is Verdict.EXACT
    assert audit(lambda x: x.cumsum(-1), x, symmetry).verdict is Verdict.BROKEN
    found = audit(lambda x: x.sum(1), torch.randn(6, 2), Symmetry(Permutations(6), "nodes", "nodes"))
    assert any("generators" in u for u in found.untested)


def test_a_model_that_float64_can_not_run_is_measured_at_its_own_precision(points):
    weight = torch.eye(3)

    def stubborn(x):
        return (x @ weight) * x.norm(dim=-1, keepdim=True)  # float32 alone

    found = audit(stubborn, points, VECTOR)
    assert found.verdict is Verdict.EXACT
    assert "own precision" in found.method.reference
    assert any("float64 copy raised" in note for note in found.notes)
    assert audit(lambda x: (x @ weight) + 0.01, points, VECTOR).verdict is Verdict.BROKEN


def test_dtypes_that_do_not_match_are_invalid_and_named(points):
    found = audit(nn.Linear(3, 3).double(), points, VECTOR)
    assert found.verdict is Verdict.INVALID
    assert "dtype mismatch" in found.reason
    assert "float64" in found.reason
    assert "float32" in found.reason


def test_functions_methods_partials_and_compiled_models(points):
    potential = Pair()
    energy = lambda x: potential(x)["energy"]  # noqa: E731
    invariant = Symmetry(E(3), "points")
    assert "float64 copy" in audit(energy, points, invariant).method.reference
    assert audit(potential.forward, points, RIGID).verdict is Verdict.EXACT
    assert audit(functools.partial(Pair.forward, potential), points, RIGID).verdict is Verdict.EXACT


# -- honest numbers -----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(points):
    def numbers(seed: int) -> tuple[float, str]:
        found = audit(Pair(0.01), points, RIGID, seed=seed)
        return found.error, found.worst.element

    assert numbers(3) == numbers(3)
    assert numbers(3) != numbers(4)


def test_the_printed_element_shows_the_printed_error(points):
    from equiaudit import equivariance_error
    from equiaudit.groups import parse

    found = audit(Pair(0.5).double(), points.double(), RIGID, reference=Pair(0.5).double())
    assert found.verdict is Verdict.BROKEN
    again = equivariance_error(Pair(0.5).double(), points.double(), RIGID, [parse(found.worst.element)])
    assert again[0] > 1e-3


def test_an_audit_survives_its_own_dictionary(points):
    found = audit(Pair(0.01), points, RIGID)
    assert Audit.from_dict(found.to_dict()).to_dict() == found.to_dict()


def test_costs_are_counted(points):
    calls = 0

    def model(x):
        nonlocal calls
        calls += 1
        return x * x.norm(dim=-1, keepdim=True)

    found = audit(model, points, VECTOR, derivative="off")
    assert calls == found.cost.total


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": "huge"}, "effort must be one of"),
        ({"randomness": "yes"}, "randomness must be"),
        ({"tolerance": -1.0}, "tolerance must be"),
        ({"reference": "gpu"}, "reference must be"),
    ],
)
def test_options_that_make_no_sense(points, options, message):
    with pytest.raises(ValueError, match=message):
        audit(Pair(), points, RIGID, **options)


def test_what_is_not_a_symmetry(points):
    with pytest.raises(TypeError, match="Symmetry"):
        audit(Pair(), points, E(3))
    with pytest.raises(TypeError, match="no group"):
        audit(Pair(), points, Symmetry())
    with pytest.raises(TypeError, match="callable"):
        audit(3, points, RIGID)


# -- attacks that passed once -------------------------------------------------------------------------------------------


def test_a_fault_that_noise_could_switch_off_is_not_called_rounding():
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))

    def sector(x):
        k = torch.floor(torch.atan2(x[0, 1], x[0, 0]) / (2 * torch.pi) * 8) % 8
        return x * x.norm(dim=-1, keepdim=True) * (1 + 1e-3 * (k == 3).to(x))

    for seed in range(6):
        assert not audit(sector, x, Symmetry(Cyclic(8), "vector", "vector"), seed=seed).passed


def test_a_declared_output_that_is_none_is_invalid(points):
    found = audit(lambda x: {"f": x, "s": None}, points, Symmetry(O(3), "vector", {"f": "vector", "s": "tensor"}))
    assert found.verdict is Verdict.INVALID
    assert "declared s is None" in found.reason


def test_odd_permutations_are_always_tried():
    def vandermonde(x):
        i, j = torch.triu_indices(len(x), len(x), 1)
        return (x[i, 0] - x[j, 0]).prod()

    for seed in range(8):
        found = audit(vandermonde, torch.randn(5, 3), Symmetry(Permutations(), "nodes", "invariant"), seed=seed)
        assert found.verdict is Verdict.BROKEN


def test_vectors_are_tried_along_the_axes_too():
    def polar(x):
        axis = (x[:, 2:] / x.norm(dim=-1, keepdim=True)).abs() > 1 - 1e-6
        return x * x.norm(dim=-1, keepdim=True) + torch.where(axis, 0.1, 0.0) * torch.tensor([1.0, 0, 0]).to(x)

    assert audit(polar, torch.randn(8, 3), VECTOR).verdict is Verdict.BROKEN


def test_the_twin_makes_no_ties():
    def neighbours(x):
        near = (x[:, None] - x).norm(dim=-1).topk(4, largest=False).indices[:, 1:]
        return (x[near] - x[:, None]).sum(1)

    for seed in (37, 52, 56):
        x = torch.randn(12, 3, generator=torch.Generator().manual_seed(1000 + seed))
        assert audit(neighbours, x, Symmetry(E(3), "points", "vector"), seed=seed).verdict is Verdict.EXACT


def test_a_module_behind_a_default_argument_is_restored(points):
    norm = nn.BatchNorm1d(9)
    before = norm.running_mean.clone()
    audit(lambda x, norm=norm: norm(x.norm(dim=-1))[..., None] * x, torch.randn(4, 9, 3), VECTOR)
    assert torch.equal(before, norm.running_mean)


def test_scripted_models(points):
    assert audit(torch.jit.script(nn.Linear(3, 3)), points, VECTOR).verdict is Verdict.BROKEN


def test_a_claim_about_all_angles_is_not_settled_by_quarter_turns():
    kernel = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False)
    kernel.weight.data = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None]
    found = audit(kernel, torch.randn(2, 1, 15, 15), Symmetry(SO(2), "image", "image"))
    assert found.verdict is Verdict.VACUOUS
    assert "stays open" in found.reason


def test_elements_of_another_group_are_refused(points):
    from equiaudit import equivariance_error

    with pytest.raises(ValueError, match=r"is an element of E\(3\), the symmetry is about O\(3\)"):
        equivariance_error(lambda x: x, points, VECTOR, E(3).translation(1.0, 0.0, 0.0))
    assert equivariance_error(lambda x: x, points, VECTOR, torch.eye(3)) == [0.0]
    assert equivariance_error(lambda x: x, points, VECTOR, "O(3).generator('inversion')") == [0.0]
