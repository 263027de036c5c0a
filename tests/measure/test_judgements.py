"""Judgements that were once wrong: each kind on a grid, with a fault, or an honest model, on the other side."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equiaudit import Symmetry, Verdict, audit, replay
from equiaudit.groups import SO, Cyclic, E
from equiaudit.representations import Image, Representation

CLOUD = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
VECTOR, INVARIANT = Symmetry(SO(3), "vector", "vector"), Symmetry(SO(3), "vector", "invariant")


# -- one probe may be small by luck ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e6, 1e8])
@pytest.mark.parametrize("rows", [2, 8, 64])
def test_an_ill_conditioned_invariant_is_not_accused_whatever_the_seed(size: float, rows: int) -> None:
    for seed in range(8):
        x = torch.randn(rows, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        found = audit(lambda v: torch.sin(size * v.norm(dim=-1)), x, INVARIANT, seed=seed, derivative="off")
        assert found.verdict in (Verdict.EXACT, Verdict.VACUOUS), f"seed {seed}: {found}"
    leak = audit(lambda v: torch.sin(size * v.norm(dim=-1)) + 1e-3 * v[:, 0], x, INVARIANT, derivative="off")
    assert leak.verdict is Verdict.BROKEN


# -- numbers that are no tensors ---------------------------------------------------------------------------------------

NUMBERS: dict[str, Callable[[Tensor], Any]] = {
    "float": lambda e: e.item(),
    "float()": float,
    "numpy scalar": lambda e: np.float64(e.item()),
    "numpy array": lambda e: e.detach().numpy(),
    "complex": lambda e: complex(e.item(), 0.0),
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("leak", [1e-3, 1e-9])
def test_a_number_keeps_its_digits(kind: str, leak: float) -> None:
    def energy(v: Tensor, leak: float = leak) -> Tensor:
        return v.norm(dim=-1).sum() - 1000 + leak * v[0, 2]  # a lab axis, beside an offset as a total energy has

    tensor, number = audit(energy, CLOUD, INVARIANT), audit(lambda v: NUMBERS[kind](energy(v)), CLOUD, INVARIANT)
    assert tensor.verdict is number.verdict is Verdict.BROKEN
    assert number.error == pytest.approx(tensor.error, rel=1e-3)
    assert audit(lambda v: NUMBERS[kind](energy(v, 0.0)), CLOUD, INVARIANT).verdict is Verdict.EXACT


@pytest.mark.parametrize("unit", [1e39, 1e-50])
def test_a_number_beyond_float32_is_neither_infinite_nor_zero(unit: float) -> None:
    assert audit(lambda v: v.norm(dim=-1).sum().item() * unit, CLOUD, INVARIANT).verdict is Verdict.EXACT


# -- a leaf that does not move with the input --------------------------------------------------------------------------


def label_of(v: Tensor) -> Tensor:
    return (v[0] > 0).long() @ torch.tensor([1, 2, 4])


STILL: dict[str, tuple[Callable[[Tensor], Tensor], str, Verdict]] = {
    "a constant vector": (lambda v: v.new_tensor([0.0, 0.0, 1.0]), "vector", Verdict.BROKEN),
    "the octant of a row": (label_of, "invariant", Verdict.BROKEN),
    "the largest component": (lambda v: v[0].abs().argmax(), "invariant", Verdict.BROKEN),
    "whether a row is up": (lambda v: v[0, 2] > 0, "invariant", Verdict.BROKEN),
    "a constant scalar": (lambda v: v.new_ones(4), "invariant", Verdict.EXACT),
    "no vector": (lambda v: v.new_zeros(3), "vector", Verdict.EXACT),
    "the number of rows": (lambda v: torch.tensor(len(v)), "invariant", Verdict.EXACT),
    "the longest row": (lambda v: v.norm(dim=-1).argmax(), "invariant", Verdict.EXACT),
}


@pytest.mark.parametrize("case", STILL)
def test_a_still_leaf_is_vacuous_only_where_no_element_breaks_it(case: str) -> None:
    leaf, rep, expected = STILL[case]
    claim = Symmetry(SO(3), "vector", {"energy": "invariant", "still": rep})
    for seed in range(4):
        x = torch.randn(6, 3, generator=torch.Generator().manual_seed(seed))
        found = audit(lambda v: {"energy": v.norm(dim=-1).sum(), "still": leaf(v)}, x, claim, seed=seed)
        assert found.verdict is expected, f"seed {seed}: {found}"
        assert (found.worst is not None and found.worst.leaf == "still") == (expected is Verdict.BROKEN)


# -- the worst element decides under a tolerance -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leak", "expected"), [(1e-2, Verdict.BROKEN), (1e-4, Verdict.BROKEN), (1e-6, Verdict.APPROXIMATE)]
)
def test_a_tolerance_is_held_against_the_worst_element_tried(leak: float, expected: Verdict) -> None:
    seen = []

    def model(p: Tensor) -> Tensor:
        seen.append(float(leak * p.mean(0).norm()))  # how far the forces are off, relative
        return (p - p.mean(0)) * (1 + leak * p.mean(0).norm())

    found = audit(model, CLOUD, Symmetry(E(3), "points", "vector"), tolerance=0.05, derivative="off")
    assert found.verdict is expected
    assert found.error == pytest.approx(max(seen), rel=0.5)
    assert max(c.error or 0.0 for c in found.checks) == found.error


# -- models that are reached by other ways -----------------------------------------------------------------------------


class Biased(nn.Module):
    """Equivariant as long as its bias is zero, as it is at first."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * x.norm() + self.bias


class Closure(Biased):
    def __init__(self) -> None:
        super().__init__()
        self.call = lambda x: x * x.norm() + self.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


class Runner:
    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, x: Tensor) -> Tensor:
        return (self.held["net"] if isinstance(self.held, dict) else self.held[0])(x)

    def method(self, x: Tensor) -> Tensor:
        return self(x)


NET = Biased()


def by_global(x: Tensor) -> Tensor:
    return NET(x)


def by_another(x: Tensor) -> Tensor:
    return by_global(x)


def apply(x: Tensor, net: nn.Module) -> Tensor:
    return net(x)


def closed(net: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: net(x)


WAYS: dict[str, Callable[[], Any]] = {
    "module": Biased,
    "closure": lambda: closed(Biased()),
    "global": lambda: by_global,
    "global of a function": lambda: by_another,
    "inner function": lambda: lambda x: next(NET(y) for y in (x,)),
    "partial by keyword": lambda: functools.partial(apply, net=Biased()),
    "partial": lambda: functools.partial(lambda net, x: net(x), Biased()),
    "default": lambda: lambda x, net=NET: net(x),
    "keyword default": lambda: lambda x, *, net=NET: net(x),
    "list in an object": lambda: Runner([Biased()]),
    "dict in an object": lambda: Runner({"net": Biased()}),
    "method of an object": lambda: Runner([Biased()]).method,
    "closure over a list": lambda: (lambda nets: lambda x: nets[0](x))([Biased()]),
    "closure of a module": Closure,
    "forward of a module": lambda: Biased().forward,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_model_is_seen_however_it_is_reached(way: str) -> None:
    """Copied, cast and perturbed: the same verdict and floor as for the module, and nothing left behind."""
    plain = audit(Biased(), CLOUD, VECTOR)
    found = audit(WAYS[way](), CLOUD, VECTOR)
    assert (found.verdict, found.cause) == (plain.verdict, plain.cause) == (Verdict.BROKEN, "hidden by parameter")
    assert found.floor == pytest.approx(plain.floor, rel=0.1)
    assert NET.bias.dtype is torch.float32
    assert not NET.bias.any()


def test_what_a_function_counts_is_seen_outside() -> None:
    calls: list[int] = []

    def counting(x: Tensor) -> Tensor:
        calls.append(1)
        return NET(x)

    found = audit(counting, CLOUD, VECTOR)
    assert len(calls) >= found.cost.forwards["float64"]


def test_a_container_that_holds_itself_is_looked_into_once() -> None:
    """Thirty references to itself at each of several depths would take for ever."""
    loop: list[Any] = [Biased()]
    loop += [loop] * 30
    assert audit(lambda x: loop[0](x), CLOUD, VECTOR).cause == "hidden by parameter"


def test_functions_that_call_each_other_are_copied_once() -> None:
    net = nn.Linear(3, 3)

    def down(x: Tensor, depth: int) -> Tensor:
        return net(x) if depth == 0 else up(x, depth - 1)

    def up(x: Tensor, depth: int) -> Tensor:
        return down(x, depth)

    assert audit(lambda x: down(x, 2), CLOUD, VECTOR).verdict is Verdict.BROKEN


# -- what is shared ----------------------------------------------------------------------------------------------------


def remembering(batch: dict[str, Any]) -> Tensor:
    if "height" not in batch["cache"]:
        batch["cache"]["height"] = batch["pos"][:, 2].clone()  # a lab axis
    return batch["pos"].norm(dim=-1) + batch["cache"]["height"].to(batch["pos"].dtype)


@pytest.mark.parametrize("cache", [dict, lambda: {"made": []}], ids=["empty", "with a list"])
def test_what_a_model_remembers_in_its_input_is_forgotten_between_calls(cache: Callable[[], dict]) -> None:
    batch = {"pos": CLOUD.clone(), "cache": cache()}
    assert audit(remembering, batch, Symmetry(SO(3), {"pos": "vector"}, "invariant")).verdict is Verdict.BROKEN
    assert batch["cache"] == cache()


def test_lists_and_arrays_of_the_caller_are_as_before() -> None:
    def counting(batch: dict[str, Any]) -> Tensor:
        batch["log"].append(1)
        batch["offset"] += 1
        batch["deep"][0]["n"].append(2)
        return 2 * batch["pos"]

    batch = {"pos": CLOUD.clone(), "log": [], "offset": np.zeros(2), "deep": [{"n": []}]}
    assert audit(counting, batch, Symmetry(SO(3), {"pos": "vector"}, "vector")).verdict is Verdict.EXACT
    assert (batch["log"], batch["offset"].tolist(), batch["deep"]) == ([], [0.0, 0.0], [{"n": []}])


class Shared(nn.Module):
    """One frozen backbone for all heads."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(1, 1)

    def __deepcopy__(self, memo: dict) -> Shared:
        return self

    def forward(self, v: Tensor) -> Tensor:
        return v * self.lin(v.square().sum(-1, keepdim=True))


class Headed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = Shared(), nn.Linear(1, 1)

    def forward(self, v: Tensor) -> Tensor:
        return self.body(v) * self.head(v.norm(dim=-1, keepdim=True))


class SharedTensor(Headed):
    def __deepcopy__(self, memo: dict) -> SharedTensor:
        out = SharedTensor()
        out.head.weight = self.head.weight
        return out


@pytest.mark.parametrize("make", [Shared, Headed, SharedTensor])
def test_a_deepcopy_that_shares_leaves_the_model_as_it_was(make: type[nn.Module]) -> None:
    model = make()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = audit(model, CLOUD, VECTOR)
    assert found.verdict is Verdict.EXACT
    assert any("shares" in note for note in found.notes)
    for name, value in model.state_dict().items():
        assert value.dtype is torch.float32
        assert torch.equal(value, before[name])
    assert model(CLOUD).dtype is torch.float32


# -- rows that vanish --------------------------------------------------------------------------------------------------

PIXELWISE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "elu": nn.functional.elu,
    "scaled": lambda x: x * 0.3,
    "pooled": lambda x: nn.functional.max_pool2d(x, 3, 1, 1) / 3,
}


def regular(g: np.ndarray) -> np.ndarray:
    """The regular representation of C4 as libraries compute it: zeros of its matrices are 1e-17."""
    turns = round(np.arctan2(g[1, 0], g[0, 0]) / (np.pi / 2)) % 4
    return np.roll(np.eye(4), turns, 0) + 1e-17


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layer", PIXELWISE)
@pytest.mark.parametrize("size", [8, 9])
def test_rows_that_vanish_have_the_floor_of_what_they_are_made_of(layer: str, size: int, dtype: torch.dtype) -> None:
    """Pixels that are mostly zero, with channels that a turn mixes."""
    draws = torch.Generator().manual_seed(size)
    sparse = torch.randn(2, 8, size, size, dtype=dtype, generator=draws) * (
        torch.rand(2, 8, size, size, generator=draws) > 0.9
    )
    field = Image(channels=2 * Representation.from_matrix(Cyclic(4), regular, dim=1))
    claim = Symmetry(Cyclic(4), field, field)
    for seed in range(3):
        found = audit(PIXELWISE[layer], sparse, claim, seed=seed)
        assert found.verdict is Verdict.EXACT, str(found)
    broken = audit(
        lambda x: PIXELWISE[layer](x) * (1 + 1e-4 * torch.linspace(0, 1, size, dtype=x.dtype)), sparse, claim
    )
    assert broken.verdict is Verdict.BROKEN


def test_no_floor_is_below_the_roundoff_of_what_a_row_is_made_of() -> None:
    from equiaudit.measure.residual import Leaf

    value = torch.zeros(50, 4, dtype=torch.float64)
    value[0] = torch.tensor([1.0, 1.0, 1e-9, 0.0], dtype=torch.float64)
    columns, image = Leaf((), value, (), "", torch.float64), Leaf((), value, (), "", torch.float64, grid=True)
    assert bool((image.made_of() >= value.square().mean().sqrt() * (1 - 1e-12)).all())
    assert columns.made_of()[1, :3].tolist() == pytest.approx([50**-0.5, 50**-0.5, 1e-9 * 50**-0.5])  # each by itself
    few = Leaf((), torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64), (), "", torch.float64)
    assert few.made_of()[1:].tolist() == [0.5, 0.5, 0.5]


# -- audit and replay agree --------------------------------------------------------------------------------------------

STEEP = [1e6, 1e9, 1e10, 3e10, 1e11, 3e11]


@pytest.mark.parametrize("steep", STEEP)
def test_a_replay_refuses_the_doubt_that_an_audit_refuses(steep: float) -> None:
    x = CLOUD.double()

    def model(v: Tensor) -> Tensor:
        return torch.sin(steep * v.norm(dim=-1))

    found = audit(model, x, INVARIANT, derivative="off")
    for seed in range(3):
        again = replay(model, x, INVARIANT, SO(3).sample(seed), seed=seed)
        assert again.verdict is found.verdict, str(again)


@pytest.mark.parametrize("on", ["given", "twin"])
def test_a_replay_says_that_a_model_fails_at_a_pole(on: str) -> None:
    def pole(v: Tensor) -> Tensor:
        d = v[:, None] - v[None]
        flat, r = d[..., :2].norm(dim=-1), d.norm(dim=-1)
        off = ~torch.eye(len(v), dtype=torch.bool)
        return (r[off] * (flat[off] / flat[off])).sum()

    claim = Symmetry(SO(3), "points", "invariant")
    found = audit(pole, CLOUD, claim, derivative="off")
    again = replay(pole, CLOUD, claim, SO(3).exp(0.3, 0.4, 0.5), on=on)
    assert (again.verdict, again.cause) == (found.verdict, found.cause) == (Verdict.INVALID, "not finite")


@pytest.mark.parametrize("case", STILL)
def test_a_replay_says_of_a_still_leaf_what_the_audit_says(case: str) -> None:
    leaf, rep, expected = STILL[case]
    claim = Symmetry(SO(3), "vector", {"energy": "invariant", "still": rep})

    def model(v: Tensor) -> dict[str, Tensor]:
        return {"energy": v.norm(dim=-1).sum(), "still": leaf(v)}

    found = audit(model, CLOUD, claim)
    assert found.worst is not None
    again = replay(model, CLOUD, claim, found.worst.element, on=found.worst.on)
    assert again.verdict is found.verdict is expected, str(again)
    assert again.error == pytest.approx(found.error, rel=1e-3, abs=1e-12)
