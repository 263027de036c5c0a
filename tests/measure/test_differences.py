"""Central differences: accurate, honest about their error, and a witness that neither lies nor accuses the innocent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from equiaudit.measure.differences import Witness, central_difference, cross_check
from equiaudit.measure.direction import resolution

SMOOTH: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "exponential": (torch.exp, torch.exp),
    "sine": (torch.sin, torch.cos),
    "short length": (lambda x: torch.sin(300 * x), lambda x: 300 * torch.cos(300 * x)),
    "large offset": (lambda x: 1e4 + torch.sin(x), torch.cos),
    "small": (lambda x: 1e-20 * torch.sin(x), lambda x: 1e-20 * torch.cos(x)),
    "large": (lambda x: 1e20 * torch.sin(x), lambda x: 1e20 * torch.cos(x)),
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_error_is_estimated(name: str, dtype: torch.dtype) -> None:
    function, slope = SMOOTH[name]
    x, v = torch.linspace(0.5, 2, 50).to(dtype), torch.linspace(-1, 1, 50).to(dtype)
    (found,), (error,) = central_difference(lambda a: [function(a[0])], [x], [v])
    expected = slope(x.double()) * v.double()
    assert (found.double() - expected).norm() <= 2 * error.double().norm()
    assert found.dtype == dtype
    assert error.shape == found.shape


@pytest.mark.parametrize(("name", "tolerance"), [("cube", 1e-10), ("sine", 1e-10), ("short length", 1e-6)])
def test_double_precision_is_used(name: str, tolerance: float) -> None:
    function, slope = SMOOTH[name]
    x = torch.linspace(0.5, 2, 50, dtype=torch.float64)
    (found,), _ = central_difference(lambda a: [function(a[0])], [x], [torch.ones_like(x)])
    assert (found - slope(x)).norm() < tolerance * slope(x).norm()


def test_a_tangent_of_any_length_will_do() -> None:
    x = torch.linspace(0.5, 2, 50, dtype=torch.float64)
    for length in (1e-8, 1.0, 1e8):
        (found,), _ = central_difference(lambda a: [torch.sin(a[0])], [x], [torch.full_like(x, length)])
        assert (found / length - torch.cos(x)).norm() < 1e-9


def test_a_zero_tangent_gives_zero() -> None:
    x = torch.randn(4)
    (found,), (error,) = central_difference(lambda a: [torch.sin(a[0])], [x], [torch.zeros(4)])
    assert torch.equal(found, torch.zeros(4))
    assert bool((error < 1e-4).all())


def test_inputs_at_the_origin() -> None:
    x = torch.zeros(4, dtype=torch.float64)
    (found,), _ = central_difference(lambda a: [torch.sin(a[0])], [x], [torch.ones_like(x)])
    torch.testing.assert_close(found, torch.ones_like(x), rtol=1e-9, atol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 0.05)])
def test_a_molecule_far_from_the_origin(dtype: torch.dtype, tolerance: float) -> None:
    x = torch.randn(12, 3, dtype=torch.float64)
    v = torch.linalg.cross(x - x.mean(0), torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(12, 3))

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        return [torch.sin(3 * (a[0] - a[0].mean(0)))]

    far = (x + 1000).to(dtype)
    (found,), _ = central_difference(function, [far], [v.to(dtype)])
    near = far.double() - far.double().mean(0)
    expected = 3 * torch.cos(3 * near) * (v - v.mean(0))
    assert (found.double() - expected).norm() < tolerance * expected.norm()


def test_a_given_step_is_taken() -> None:
    seen = []

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        seen.append(a[0].item())
        return [a[0] ** 2]

    central_difference(function, [torch.tensor([1.0])], [torch.tensor([1.0])], step=0.5)
    assert seen == [1.0, 1.5, 0.5, 1.25, 0.75]


def test_an_output_buffer_that_is_reused() -> None:
    buffer = torch.zeros(3, dtype=torch.float64)

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return [buffer.copy_(a[0] ** 2)]

    x = torch.ones(3, dtype=torch.float64)
    (found,), _ = central_difference(function, [x], [x])
    torch.testing.assert_close(found, 2 * x)


def test_a_step_that_leaves_the_domain_is_shortened() -> None:
    x = torch.tensor([1e-6, 1.0], dtype=torch.float64)  # the first step would reach −1e-4
    (found,), (error,) = central_difference(lambda a: [a[0].log()], [x], [torch.ones_like(x)])
    assert bool(torch.isfinite(error).all())
    torch.testing.assert_close(found, 1 / x, rtol=1e-3, atol=0)


def test_a_finite_entry_is_worth_more_than_an_accurate_one() -> None:
    x = torch.tensor([1e-6, 1.0], dtype=torch.float64)
    offset = torch.tensor([0.0, 1e4], dtype=torch.float64)  # its rounding grows as the steps shrink
    (found,), _ = central_difference(lambda a: [a[0].log() + offset], [x], [torch.ones_like(x)])
    torch.testing.assert_close(found, 1 / x, rtol=1e-3, atol=0)


def test_entries_that_are_never_finite_have_an_infinite_error() -> None:
    x = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    (found,), (error,) = central_difference(lambda a: [a[0].log()], [x], [torch.ones_like(x)])
    assert error[0] == math.inf
    assert found[1].item() == pytest.approx(1.0)


def test_a_kink_shows_in_the_error() -> None:
    for place in torch.linspace(-1e-4, 1e-4, 41, dtype=torch.float64):  # from outside the step to the middle of it
        x = torch.tensor([1.0], dtype=torch.float64)
        kinked = lambda a, k=1.0 + place: [(a[0] - k).relu()]  # noqa: E731
        (found,), (error,) = central_difference(kinked, [x], [torch.ones(1)], step=6e-5)
        truth = float(x.item() > 1.0 + place)
        assert abs(found.item() - truth) <= 4 * error.item()


def test_outputs_must_keep_their_shape() -> None:
    x = torch.tensor([1.0, 2.0])
    message = (
        r"the outputs changed shape from \[\(1,\)\] to \[\(2,\)\] when the inputs moved by 1.6e-02 tangents; "
        "differences need outputs of a fixed shape: leave this one undeclared, or pad it"
    )
    with pytest.raises(ValueError, match=message):
        central_difference(lambda a: [a[0][a[0] > 1.0]], [x], [torch.ones(2)])


# --- the witness ------------------------------------------------------------------------------------------------------


def test_cross_check_measures_a_disagreement() -> None:
    x = torch.randn(10, dtype=torch.float64)
    truth = torch.cos(x) * x

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        return [torch.sin(a[0])]

    for factor, expected in ((1.0, 0.0), (0.0, 1.0), (-1.0, 2.0), (1.01, 0.01 / 1.01), (1.001, 0.001 / 1.001)):
        assert cross_check(function, [x], [x], [factor * truth]) == pytest.approx(expected, rel=1e-3, abs=1e-12)


def test_cross_check_takes_the_worst_output() -> None:
    x = torch.randn(10, dtype=torch.float64)
    wrong = cross_check(lambda a: [a[0] ** 2, 1e6 * a[0], a[0].long()], [x], [x], [0 * x, 1e6 * x, 0 * x.long()])
    assert wrong == pytest.approx(1.0, rel=1e-6)


def test_cross_check_sees_entries_that_are_finite_on_one_side_only() -> None:
    x = torch.tensor([1.0, 2.0])
    assert cross_check(lambda a: [a[0] ** 2], [x], [x], [torch.tensor([math.nan, 8.0])]) == math.inf
    assert cross_check(lambda a: [a[0] / 0], [x], [x], [torch.ones(2)]) == math.inf
    nan = torch.full((2,), math.nan)
    assert cross_check(lambda a: [a[0] * math.nan], [x], [x], [nan]) == 0


def test_cross_check_wants_the_shapes_of_the_outputs() -> None:
    x = torch.ones(2)
    for derivatives in ([], [torch.ones(3)]):
        with pytest.raises(ValueError, match=r"in the shapes of the outputs, \[\(2,\)\], got"):
            cross_check(lambda a: [a[0] ** 2], [x], [x], derivatives)


def invariant_energy(dtype: torch.dtype) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    model = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1)).to(dtype)
    first, second = torch.triu_indices(12, 12, 1)
    centres = torch.linspace(0, 4, 8, dtype=dtype)

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        lengths = (a[0][first] - a[0][second]).norm(dim=-1)
        return [model(torch.exp(-4 * (lengths[:, None] - centres) ** 2)).sum()]

    return function


def relu_network(dtype: torch.dtype) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    layers = [nn.Linear(3, 64), nn.ReLU(), *(m for _ in range(4) for m in (nn.Linear(64, 64), nn.ReLU()))]
    model = nn.Sequential(*layers, nn.Linear(64, 5)).to(dtype)
    return lambda a: [model(a[0])]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("build", [invariant_energy, relu_network])
def test_the_innocent_are_not_accused(build: Callable, dtype: torch.dtype) -> None:
    """A derivative that vanishes to rounding, and one with hundreds of kinks around, over many seeds."""
    for seed in range(100):
        torch.manual_seed(seed)
        function = build(dtype)
        x = torch.randn(12, 3, dtype=dtype)
        turn = torch.randn(3, 3, dtype=dtype)
        v = x @ (turn - turn.T)
        truth = torch.func.jvp(lambda x, f=function: f([x])[0], (x,), (v,))[1]
        assert cross_check(function, [x], [v], [truth.detach()]) <= resolution([x]), seed


@pytest.mark.parametrize(("dtype", "wrong"), [(torch.float64, 1e-3), (torch.float32, 0.2)])
def test_the_guilty_are(dtype: torch.dtype, wrong: float) -> None:
    for seed in range(100):
        torch.manual_seed(seed)
        function = invariant_energy(dtype)
        x = torch.randn(12, 3, dtype=dtype)
        truth = torch.func.jvp(lambda x, f=function: f([x])[0], (x,), (x,))[1].detach()
        if truth.abs() > 1e-3 * function([x])[0].abs():
            assert cross_check(function, [x], [x], [(1 + wrong) * truth]) > 0.1 * wrong, seed


def test_differences_that_agree_by_luck_accuse_nobody() -> None:
    x = torch.tensor([1.0], dtype=torch.float64)
    for seed in range(1000):

        def noisy(a: Sequence[Tensor], seed: int = seed) -> list[Tensor]:
            bits = (a[0].view(torch.int64).item() * 2654435761 + 7919 * seed) % 2**62
            noise = torch.randn(1, dtype=torch.float64, generator=torch.Generator().manual_seed(bits))
            return [1 + 1e-9 * noise]  # constant to nine digits

        assert cross_check(noisy, [x], [torch.ones(1)], [torch.zeros(1)]) == 0, seed


def test_a_short_length_scale_hides_nothing() -> None:
    x = torch.linspace(0.5, 2, 50)
    wrong = 300 * torch.cos(300 * x)
    wrong[::2] = 0  # within four errors at the first step, not at a smaller one
    assert cross_check(lambda a: [torch.sin(300 * a[0])], [x], [torch.ones(50)], [wrong]) > 0.1


def test_a_witness_asks_no_more_than_it_must() -> None:
    calls = 0

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        nonlocal calls
        calls += 1
        return [torch.sin(a[0])]

    x = torch.randn(10, dtype=torch.float64)
    witness = Witness(function, (x,), (x,), (torch.sin(x),))
    assert (witness.forwards, witness.errors, calls) == (0, None, 0)
    assert witness.moving([]) == []
    assert calls == 0
    assert witness.oppose([torch.cos(x) * x]) == 0
    assert witness.moving([0]) == [0]
    witness.settle()
    assert witness.forwards == calls == 4
    assert witness.oppose([0 * x]) == pytest.approx(1.0)
    assert witness.forwards == calls == 12  # other steps were tried before it was called a disagreement
