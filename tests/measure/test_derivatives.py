"""The derivative ladder on what real models do in their forward: which rung runs, and that its number is right.

Every row is compared with a five-point stencil in float64 that shares no code with the package.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equiaudit.measure.derivatives import (
    BACKENDS,
    DerivativeRefusedError,
    directional_derivative,
)

JVP, FORWARD, BACKWARD, DIFFERENCES = BACKENDS
Case = tuple[Callable[[Sequence[Tensor]], Sequence[Tensor]], list[Tensor]]
WEIGHTS = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


def stencil(function: Callable, primals: list[Tensor], tangents: list[Tensor], h: float = 1e-3) -> list[Tensor]:
    """(f(−2h) − 8 f(−h) + 8 f(h) − f(2h)) / 12h, on clones."""

    def at(t: float) -> list[Tensor]:
        return [y.detach().clone() for y in function([x + t * v for x, v in zip(primals, tangents, strict=True)])]

    samples = zip(at(-2 * h), at(-h), at(h), at(2 * h), strict=True)
    return [(a - 8 * b + 8 * c - d) / (12 * h) for a, b, c, d in samples]


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp(min=1e-300))


def positions() -> list[Tensor]:
    return [torch.randn(6, 3, dtype=torch.float64)]


def directions(primals: list[Tensor]) -> list[Tensor]:
    return [torch.randn_like(x) for x in primals]


def energy(x: Tensor) -> Tensor:
    squares = (x[:, None] - x[None] + torch.eye(len(x), dtype=x.dtype)[..., None]).pow(2).sum(-1)
    return (torch.sin(squares) * torch.tanh(x @ WEIGHTS).sum(-1)).sum()


# --- forces computed inside forward -----------------------------------------------------------------------------------


def in_place(a: Sequence[Tensor]) -> list[Tensor]:
    x = a[0]
    x.requires_grad_()
    e = energy(x)
    return [e, -torch.autograd.grad(e, x, create_graph=True)[0]]


def after_detach(a: Sequence[Tensor]) -> list[Tensor]:
    x = a[0].detach().requires_grad_()
    e = energy(x)
    return [e, -torch.autograd.grad(e, x, create_graph=True)[0]]


def without_graph(a: Sequence[Tensor]) -> list[Tensor]:
    x = a[0]
    x.requires_grad_()
    e = energy(x)
    return [e, -torch.autograd.grad(e, x)[0]]


def functional(a: Sequence[Tensor]) -> list[Tensor]:
    gradient, e = torch.func.grad_and_value(energy)(a[0])
    return [e, -gradient]


def per_row(a: Sequence[Tensor]) -> list[Tensor]:
    return [torch.func.vmap(torch.func.grad(lambda r: torch.sin(r.pow(2).sum()) * torch.tanh(r @ WEIGHTS).sum()))(a[0])]


def on_a_clone(a: Sequence[Tensor]) -> list[Tensor]:
    with torch.enable_grad():
        x = a[0].clone().requires_grad_()
        e = energy(x)
        return [e, -torch.autograd.grad(e, x, create_graph=True)[0]]


def on_a_clone_detached(a: Sequence[Tensor]) -> list[Tensor]:
    return [y.detach() for y in on_a_clone(a)]


def by_backward(a: Sequence[Tensor]) -> list[Tensor]:
    x = a[0]
    x.requires_grad_()
    e = energy(x)
    e.backward()
    assert x.grad is not None
    return [e, -x.grad]


def by_backward_after_detach(a: Sequence[Tensor]) -> list[Tensor]:
    return by_backward([a[0].detach().clone()])


def by_strain(a: Sequence[Tensor]) -> list[Tensor]:
    strain = torch.zeros(3, 3, dtype=a[0].dtype, requires_grad=True)
    e = energy(a[0] + a[0] @ strain)
    return [e, torch.autograd.grad(e, strain, create_graph=True)[0]]


FORCES = [
    (in_place, FORWARD),
    (after_detach, DIFFERENCES),
    (without_graph, FORWARD),
    (functional, JVP),
    (per_row, JVP),
    (on_a_clone, FORWARD),
    (on_a_clone_detached, DIFFERENCES),
    (by_backward, FORWARD),
    (by_backward_after_detach, DIFFERENCES),
    (by_strain, JVP),
]


@pytest.mark.parametrize(("style", "backend"), FORCES, ids=lambda value: getattr(value, "__name__", value))
def test_forces_inside_forward(style: Callable, backend: str) -> None:
    primals = positions()
    tangents = directions(primals)
    found = directional_derivative(style, primals, tangents)
    assert found.backend == backend
    assert list(found.refused) == list(BACKENDS[: BACKENDS.index(backend)])
    for ours, theirs in zip(found.derivatives, stencil(style, primals, tangents), strict=True):
        assert relative(ours, theirs) < 1e-8
    for ours, theirs in zip(found.values, style([x.clone() for x in primals]), strict=True):
        torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize("style", [style for style, _ in FORCES], ids=lambda style: style.__name__)
@pytest.mark.parametrize("method", BACKENDS)
def test_a_named_method_is_right_or_refused(style: Callable, method: str) -> None:
    primals = positions()
    tangents = directions(primals)
    expected = stencil(style, primals, tangents)
    try:
        found = directional_derivative(style, primals, tangents, method=method)
    except DerivativeRefusedError:
        return
    assert found.backend == method
    for ours, theirs in zip(found.derivatives, expected, strict=True):
        assert relative(ours, theirs) < 1e-8


# --- everything else that a forward may contain -----------------------------------------------------------------------


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class CubeOnce(Cube):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4).double(), nn.Linear(4, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.silu(self.first(x)))


def scripted(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, yet deployed
        return torch.jit.script(module)


def attention() -> Case:
    lift = nn.Linear(3, 4).double()

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        q = lift(a[0]).view(1, 1, 6, 4)
        return [F.scaled_dot_product_attention(q, q, q)]

    return function, positions()


def transformer(training: bool, frozen: bool) -> Callable[[], Case]:
    def build() -> Case:
        lift = nn.Linear(3, 4).double()
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        model = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).double().train(training)

        def function(a: Sequence[Tensor]) -> list[Tensor]:
            with torch.set_grad_enabled(not frozen):
                return [model(lift(a[0])[None])]

        return function, positions()

    return build


def batch_norm() -> Case:
    model = nn.BatchNorm1d(3).double()
    return lambda a: [model(a[0])], positions()


def recurrent(kind: type[nn.Module]) -> Callable[[], Case]:
    def build() -> Case:
        model = kind(3, 4).double()
        return lambda a: [model(a[0][:, None])[0]], positions()

    return build


def convolutional() -> Case:
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(2), nn.GELU(), nn.Conv2d(4, 4, 3)]
    model = nn.Sequential(*layers).double()
    return lambda a: [model(a[0])], [torch.randn(1, 3, 8, 8, dtype=torch.float64)]


def sampled_image() -> Case:
    grid = torch.rand(1, 4, 4, 2, dtype=torch.float64) - 0.5
    return lambda a: [F.grid_sample(a[0], grid, align_corners=False)], [torch.randn(1, 2, 5, 5, dtype=torch.float64)]


def script_block() -> Case:
    model = scripted(Block())
    return lambda a: [a[0] + model(a[0])], positions()


def script_forces(training: bool) -> Callable[[], Case]:
    """As MACE: scripted modules, forces by autograd, a graph kept in training only."""

    def build() -> Case:
        model = scripted(Block())

        def function(a: Sequence[Tensor]) -> list[Tensor]:
            x = a[0]
            x.requires_grad_()
            e = model(x).pow(2).sum()
            return [e, -torch.autograd.grad(e, x, create_graph=training, retain_graph=training)[0]]

        return function, positions()

    return build


def on(function: Callable) -> Callable[[], Case]:
    return lambda: (function, positions())


def neighbours(a: Sequence[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        near = (a[0][:, None] - a[0][None]).norm(dim=-1) < 2.0
        source, target = near.fill_diagonal_(False).nonzero().T
    edges = (a[0][source] - a[0][target]).norm(dim=-1)
    return [torch.zeros(6, dtype=a[0].dtype).index_add(0, target, torch.sin(edges))]


def no_grad_inside(a: Sequence[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        return [energy(a[0])]


def inference_inside(a: Sequence[Tensor]) -> list[Tensor]:
    with torch.inference_mode():
        return [energy(a[0])]


# torch 2.13 on CPU differs from older notes in three places: a float64 LSTM passes torch.func.jvp (the float32 one runs
# a fused kernel and does not, see below); silu has a forward rule for its backward, so that what stops forward mode on
# scripted potentials is TorchScript; autograd.grad without create_graph makes double backward raise, never wrong alone.
ROWS: list[tuple[str, Callable[[], Case], str]] = [
    ("fused attention", attention, JVP),
    ("transformer, training", transformer(True, False), JVP),
    ("transformer, eval", transformer(False, False), JVP),
    ("transformer, fast path", transformer(False, True), JVP),
    ("BatchNorm, training", batch_norm, FORWARD),
    ("LSTM", recurrent(nn.LSTM), JVP),
    ("GRU", recurrent(nn.GRU), JVP),
    ("CNN", convolutional, JVP),
    ("grid_sample", sampled_image, BACKWARD),
    ("custom Function", on(lambda a: [Cube.apply(a[0])]), BACKWARD),
    ("custom Function, once differentiable", on(lambda a: [CubeOnce.apply(a[0])]), DIFFERENCES),
    ("cdist", on(lambda a: [torch.cdist(a[0], 2 * a[0].flip(0))]), DIFFERENCES),
    ("pdist", on(lambda a: [F.pdist(a[0])]), DIFFERENCES),
    ("TorchScript residual block", script_block, BACKWARD),
    ("TorchScript with forces, training", script_forces(True), BACKWARD),
    ("TorchScript with forces, eval", script_forces(False), DIFFERENCES),
    ("singular values", on(lambda a: [torch.linalg.svdvals(a[0])]), JVP),
    ("eigenvalues", on(lambda a: [torch.linalg.eigvalsh(a[0].T @ a[0])]), JVP),
    ("QR", on(lambda a: [torch.linalg.qr(a[0])[1]]), JVP),
    ("FFT", on(lambda a: [torch.fft.fft(a[0], dim=0)]), JVP),
    ("sort", on(lambda a: [a[0].sort(0)[0].cumsum(0)]), JVP),
    ("neighbour list under no_grad", on(neighbours), JVP),
    ("everything under no_grad", on(no_grad_inside), JVP),
    ("everything under inference_mode", on(inference_inside), DIFFERENCES),
    ("input changed in place", on(lambda a: [a[0].sub_(a[0].mean(0)).pow(2)]), JVP),
    ("checkpoint", on(lambda a: [torch.utils.checkpoint.checkpoint(energy, a[0], use_reentrant=False)]), JVP),
    ("compiled", on(lambda a: [torch.compile(energy, backend="eager")(a[0])]), JVP),
]


@pytest.mark.parametrize(("build", "backend"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_forward_that_contains(build: Callable[[], Case], backend: str) -> None:
    function, primals = build()
    tangents = directions(primals)
    expected = stencil(function, primals, tangents)
    for _ in range(3):  # TorchScript behaves differently from its second call on
        found = directional_derivative(function, primals, tangents)
        assert found.backend == backend
        assert list(found.refused) == list(BACKENDS[: BACKENDS.index(backend)])
        for ours, theirs in zip(found.derivatives, expected, strict=True):
            assert relative(ours, theirs) < 1e-8


def test_a_fused_lstm_goes_to_double_backward() -> None:
    model = nn.LSTM(3, 4)
    double = nn.LSTM(3, 4).double()
    double.load_state_dict(model.state_dict())
    x, v = torch.randn(6, 1, 3), torch.randn(6, 1, 3)
    found = directional_derivative(lambda a: [model(a[0])[0]], [x], [v])
    assert found.backend in (JVP, BACKWARD)  # a build of torch without fused kernels has a forward rule
    (expected,) = stencil(lambda a: [double(a[0])[0]], [x.double()], [v.double()])
    assert relative(found.derivatives[0].double(), expected) < 1e-5


def test_e3nn_message_passing() -> None:
    o3 = pytest.importorskip("e3nn.o3")
    nn_ = pytest.importorskip("e3nn.nn")
    torch.set_default_dtype(torch.float64)
    gate = nn_.Gate("8x0e", [F.silu], "4x0e", [torch.sigmoid], "4x1o")
    harmonics = o3.Irreps("1x0e+1x1o")
    product = o3.FullyConnectedTensorProduct("1x0e", harmonics, gate.irreps_in)
    out = o3.Linear(gate.irreps_out, "1x1o+1x0e")

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        edges = a[0][:, None] - a[0][None] + torch.eye(6)[..., None]
        sh = o3.spherical_harmonics(harmonics, edges, True, "component")
        return [out(gate(product(edges.norm(dim=-1, keepdim=True), sh))).sum(1)]

    primals = positions()
    tangents = directions(primals)
    found = directional_derivative(function, primals, tangents)
    assert found.backend == JVP
    assert relative(found.derivatives[0], stencil(function, primals, tangents)[0]) < 1e-8


def test_scripted_e3nn_with_forces() -> None:
    e3nn = pytest.importorskip("e3nn")
    o3 = pytest.importorskip("e3nn.o3")
    torch.set_default_dtype(torch.float64)
    defaults = e3nn.get_optimization_defaults()
    e3nn.set_optimization_defaults(jit_mode="script")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layers = [o3.Linear("1x1o", "4x1o"), o3.Linear("4x1o", "4x1o"), o3.Norm("4x1o")]
    finally:
        e3nn.set_optimization_defaults(jit_mode=defaults["jit_mode"])

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        x = a[0]
        x.requires_grad_()
        h = layers[0](x)
        e = layers[2](h + layers[1](h)).pow(2).sum()
        return [e, -torch.autograd.grad(e, x, create_graph=True)[0]]

    primals = positions()
    tangents = directions(primals)
    expected = stencil(function, primals, tangents)
    for _ in range(3):
        found = directional_derivative(function, primals, tangents)
        for ours, theirs in zip(found.derivatives, expected, strict=True):
            assert relative(ours, theirs) < 1e-8


def test_torch_geometric() -> None:
    geometric = pytest.importorskip("torch_geometric.nn")
    convolution = geometric.GCNConv(3, 4).double()
    edges = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
    primals = positions()
    tangents = directions(primals)

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        return [torch.tanh(convolution(a[0], edges))]

    found = directional_derivative(function, primals, tangents)
    assert relative(found.derivatives[0], stencil(function, primals, tangents)[0]) < 1e-8


# --- what is wrong without a word -------------------------------------------------------------------------------------


@torch.library.custom_op("equiaudit_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return 2 * x


def scale_without_grad(a: Sequence[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        size = a[0].norm()
    return [Cube.apply(a[0]) / size]


SILENT = [
    ("detach", lambda a: [energy(a[0]) + a[0].detach().pow(2).sum()], JVP),
    ("item", lambda a: [a[0] / a[0].norm().item()], JVP),
    ("data", lambda a: [a[0] * a[0].data], JVP),
    ("Parameter", lambda a: [a[0] + nn.Parameter(a[0])], JVP),
    ("numpy", lambda a: [a[0] * torch.from_numpy(a[0].detach().numpy())], FORWARD),
    ("custom operator", lambda a: [a[0] + twice(a[0])], JVP),
    ("straight-through estimator", lambda a: [a[0] + (a[0].round() - a[0]).detach()], JVP),
    ("no_grad under double backward", scale_without_grad, BACKWARD),
]


@pytest.mark.parametrize(("function", "method"), [row[1:] for row in SILENT], ids=[row[0] for row in SILENT])
def test_a_silently_wrong_rung_is_refused(function: Callable, method: str) -> None:
    primals = positions()
    tangents = directions(primals)
    (expected,) = stencil(function, primals, tangents)
    scale = expected.norm().clamp(min=1.0)
    trusting = directional_derivative(function, primals, tangents, method=method, check=False)
    assert (trusting.derivatives[0] - expected).norm() > 1e-3 * scale  # the trap is there
    found = directional_derivative(function, primals, tangents)
    assert found.backend == DIFFERENCES
    assert "disagrees with central differences by" in found.refused[method]
    assert (found.derivatives[0] - expected).norm() < 1e-8 * scale
    with pytest.raises(DerivativeRefusedError, match=f"{method}: disagrees"):
        directional_derivative(function, primals, tangents, method=method)


@pytest.mark.parametrize("method", [JVP, FORWARD])
def test_torchscript_is_kept_from_tangents(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, primals = script_block()
    tangents = directions(primals)
    (expected,) = stencil(function, primals, tangents)
    for _ in range(3):
        with pytest.raises(DerivativeRefusedError, match="TangentLostError: TorchScript code loses forward tangents"):
            directional_derivative(function, primals, tangents, method=method, check=False)
    monkeypatch.setattr("equiaudit.measure.rungs.refuse_scripts", contextlib.nullcontext)
    for _ in range(3):
        unguarded = directional_derivative(function, primals, tangents, method=method, check=False)
    assert relative(unguarded.derivatives[0], expected) > 1e-2  # the trap is there, and the check sees it
    with pytest.raises(DerivativeRefusedError, match=f"{method}: disagrees with central differences by"):
        directional_derivative(function, primals, tangents, method=method)


def test_a_nan_derivative_at_a_point_without_one_is_refused() -> None:
    def function(a: Sequence[Tensor]) -> list[Tensor]:
        return [torch.where(a[0] > -5, a[0].square().square().sqrt(), a[0])]  # x², by way of sqrt'(0) · 0

    found = directional_derivative(function, [torch.tensor([0.0, 1.0])], [torch.ones(2)])
    assert found.backend == DIFFERENCES
    assert "disagrees with central differences by inf" in found.refused[JVP]
    torch.testing.assert_close(found.derivatives[0], torch.tensor([0.0, 2.0]), atol=1e-4, rtol=0)


def test_a_kink_is_no_reason_to_refuse() -> None:
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)  # one entry sits on the kink
    found = directional_derivative(lambda a: [a[0].relu()], [x], [torch.ones_like(x)])
    assert found.backend == JVP
    assert found.disagreement == 0
    assert found.errors is not None
    assert found.errors[0][50] > 0.1


# --- tangents that are missing ----------------------------------------------------------------------------------------


def test_a_constant_output_stands_still() -> None:
    primals = positions()
    found = directional_derivative(lambda a: [a[0] ** 2, torch.ones(3)], primals, directions(primals))
    assert found.backend == JVP
    assert found.still == (1,)
    assert torch.equal(found.derivatives[1], torch.zeros(3))


def test_a_detached_output_is_not_taken_for_a_constant_one() -> None:
    primals = positions()
    tangents = directions(primals)
    found = directional_derivative(lambda a: [a[0] ** 2, a[0].detach() ** 3], primals, tangents, check=False)
    assert found.backend == DIFFERENCES
    assert found.still == ()
    for method in (JVP, FORWARD, BACKWARD):
        assert found.refused[method] == "output 1 carries no tangent, but changes when the inputs move"
    torch.testing.assert_close(found.derivatives[1], 3 * primals[0] ** 2 * tangents[0])


def test_a_count_stands_still_also_beside_a_step() -> None:
    x = torch.linspace(0, 1, 7) + 0.003  # the first step crosses the threshold, a smaller one does not
    found = directional_derivative(lambda a: [a[0] ** 2, (a[0] > 0.5).float().sum()], [x], [torch.ones(7)])
    assert found.backend == JVP
    assert found.still == (1,)
    assert found.forwards > 4


def test_integer_outputs_have_zero_derivative() -> None:
    primals = positions()
    tangents = directions(primals)
    for function in (
        lambda a: [a[0] ** 2, a[0].argmax(0), a[0] > 0],
        lambda a: [torch.cdist(a[0], a[0].flip(0)), a[0].argmax(0), a[0] > 0],
        lambda a: [Cube.apply(a[0]), a[0].argmax(0), a[0] > 0],
    ):
        found = directional_derivative(function, primals, tangents)
        assert found.still == (1, 2)
        assert torch.equal(found.derivatives[1], torch.zeros(3, dtype=torch.int64))
        assert torch.equal(found.derivatives[2], torch.zeros(6, 3, dtype=torch.bool))
    only = directional_derivative(lambda a: [a[0].argmax(0)], primals, tangents)
    assert only.still == (0,)
    assert torch.equal(only.values[0], primals[0].argmax(0))


# --- no trace ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["grad", "no_grad", "inference"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    contexts = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}
    with contexts[request.param]():
        yield request.param


@pytest.mark.parametrize(("style", "backend"), FORCES, ids=lambda value: getattr(value, "__name__", value))
def test_the_callers_gradient_mode_does_not_matter(style: Callable, backend: str, mode: str) -> None:
    primals = positions()
    found = directional_derivative(style, primals, directions(primals))
    assert found.backend == backend
    assert torch.is_grad_enabled() == (mode == "grad")
    assert torch.is_inference_mode_enabled() == (mode == "inference")
    assert not any(y.requires_grad for y in (*found.values, *found.derivatives))


@pytest.mark.parametrize("method", BACKENDS)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_inputs_are_left_alone(method: str, requires_grad: bool) -> None:
    x = torch.randn(6, 3, dtype=torch.float64).requires_grad_(requires_grad)
    v = torch.randn(6, 3, dtype=torch.float64)
    kept, direction, version = x.detach().clone(), v.clone(), x._version
    function = functional if method == JVP else in_place
    found = directional_derivative(function, [x], [v], method=method)
    assert torch.equal(x, kept)
    assert torch.equal(v, direction)
    assert x._version == version
    assert x.requires_grad == requires_grad
    assert x.grad is None
    assert x.grad_fn is None
    storages = {y.untyped_storage().data_ptr() for y in (*found.values, *found.derivatives)}
    assert not storages & {x.untyped_storage().data_ptr(), v.untyped_storage().data_ptr()}


@pytest.mark.parametrize("method", BACKENDS)
def test_a_model_may_change_its_inputs(method: str) -> None:
    primals = positions()
    tangents = directions(primals)

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        return [a[0].sub_(a[0].mean(0)).pow_(2)]

    found = directional_derivative(function, primals, tangents, method=method)
    (expected,) = stencil(lambda a: function([a[0].clone()]), primals, tangents)
    assert relative(found.derivatives[0], expected) < 1e-8


def test_results_do_not_share_memory_with_inputs() -> None:
    x, v = torch.ones(3), torch.ones(3)
    for method in BACKENDS:
        found = directional_derivative(lambda a: [a[0]], [x], [v], method=method)
        found.values[0].zero_()
        found.derivatives[0].zero_()
        assert torch.equal(x, torch.ones(3))
        assert torch.equal(v, torch.ones(3))


def test_a_model_that_needs_inputs_with_requires_grad() -> None:
    def function(a: Sequence[Tensor]) -> list[Tensor]:
        e = energy(a[0])
        return [-torch.autograd.grad(e, a[0])[0]]

    x = positions()[0].requires_grad_()
    for method in (FORWARD, DIFFERENCES):
        found = directional_derivative(function, [x], directions([x]), method=method)
        assert found.backend == method


def test_attempts_do_not_warn() -> None:
    def function(a: Sequence[Tensor]) -> list[Tensor]:
        if torch.autograd.forward_ad._current_level >= 0:
            warnings.warn("not on a dual tensor", stacklevel=1)
        return [a[0] ** 2]

    assert directional_derivative(function, [torch.ones(2)], [torch.ones(2)]).backend == JVP


# --- derivatives to be differentiated ---------------------------------------------------------------------------------


def penalised(method: str) -> tuple[nn.Module, Callable]:
    model = Block()
    if method == JVP:
        return model, lambda a: [model(a[0])]
    if method == FORWARD:

        def forces(a: Sequence[Tensor]) -> list[Tensor]:
            a[0].requires_grad_()
            return [torch.autograd.grad(model(a[0]).pow(2).sum(), a[0], create_graph=True)[0]]

        return model, forces
    return model, lambda a: [Cube.apply(model(a[0]))]


@pytest.mark.parametrize("method", [JVP, FORWARD, BACKWARD])
def test_a_penalty_has_the_right_gradient(method: str) -> None:
    model, function = penalised(method)
    primals = positions()
    tangents = directions(primals)

    def penalty(differentiable: bool) -> Tensor:
        found = directional_derivative(function, primals, tangents, differentiable=differentiable)
        assert found.backend == method
        return found.derivatives[0].pow(2).sum() + found.values[0].sum()

    loss = penalty(True)
    loss.backward()
    weight = model.first.weight
    assert weight.grad is not None
    analytic, h = weight.grad[1, 2].item(), 1e-5
    with torch.no_grad():
        weight[1, 2] += h
        up = penalty(False)
        weight[1, 2] -= 2 * h
        down = penalty(False)
    assert analytic == pytest.approx((up - down).item() / (2 * h), rel=1e-6)


@pytest.mark.parametrize("method", [JVP, FORWARD, BACKWARD])
def test_the_graph_reaches_primals_and_tangents(method: str) -> None:
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([3.0, 5.0], dtype=torch.float64, requires_grad=True)
    found = directional_derivative(lambda a: [a[0] ** 3], [2 * x], [1 * v], method=method, differentiable=True)
    at_x, at_v = torch.autograd.grad(found.derivatives[0].sum(), [x, v])  # 3 (2x)² v
    torch.testing.assert_close(at_x, 24 * x.detach() * v.detach())
    torch.testing.assert_close(at_v, 12 * x.detach() ** 2)


def test_differences_keep_no_graph() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(ValueError, match="'central_difference' keeps no graph; choose another method"):
        directional_derivative(lambda a: a, [x], [x], method=DIFFERENCES, differentiable=True)
    with pytest.raises(DerivativeRefusedError, match="itself be differentiated; change what each of these names") as no:
        directional_derivative(lambda a: [torch.cdist(a[0], a[0])], [x], [x], differentiable=True)
    assert all(f"\n  {name}: NotImplementedError" in str(no.value) for name in (JVP, FORWARD, BACKWARD))


# --- dtypes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_real_dtypes(method: str, dtype: torch.dtype, tolerance: float) -> None:
    x = torch.linspace(0.5, 2, 8).to(dtype)
    v = torch.linspace(1, -1, 8).to(dtype)
    found = directional_derivative(lambda a: [torch.sin(a[0])], [x], [v], method=method)
    assert found.derivatives[0].dtype == dtype
    assert relative(found.derivatives[0].double(), torch.cos(x.double()) * v.double()) < tolerance


@pytest.mark.parametrize("method", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex128, 1e-9), (torch.complex64, 1e-4)])
def test_complex_inputs_and_outputs(method: str, dtype: torch.dtype, tolerance: float) -> None:
    z, w = torch.randn(5, dtype=dtype), torch.randn(5, dtype=dtype)

    def function(a: Sequence[Tensor]) -> list[Tensor]:  # neither holomorphic nor real
        return [a[0] ** 2 + 1j * a[0].conj(), a[0].abs(), (a[0] * a[0].conj()).real.to(a[0].dtype)]

    found = directional_derivative(function, [z], [w], method=method)
    expected = [2 * z * w + 1j * w.conj(), (z.conj() * w).real / z.abs(), (2 * (z.conj() * w).real).to(dtype)]
    for ours, theirs in zip(found.derivatives, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert relative(ours, theirs) < tolerance


@pytest.mark.parametrize("method", BACKENDS)
def test_several_inputs_of_several_dtypes(method: str) -> None:
    x, y = torch.randn(4, dtype=torch.float64), torch.randn(4, dtype=torch.float32)
    v, w = torch.randn(4, dtype=torch.float32), torch.randn(4, dtype=torch.float64)  # cast to their primals
    found = directional_derivative(lambda a: (a[0] * a[1], a[1].exp()), [x, y], [v, w], method=method)
    assert relative(found.derivatives[0], x * w + y * v) < 1e-4
    assert found.derivatives[1].dtype == torch.float32
    assert relative(found.derivatives[1], y.exp() * w) < 1e-4


# --- costs and messages -----------------------------------------------------------------------------------------------


def test_every_forward_is_counted() -> None:
    calls = 0

    def function(a: Sequence[Tensor]) -> list[Tensor]:
        nonlocal calls
        calls += 1
        return [a[0].sin()]

    x = torch.randn(4, dtype=torch.float64)
    for check, forwards in ((True, 4), (False, 0)):
        calls = 0
        found = directional_derivative(function, [x], [x], check=check)
        assert (found.forwards, found.jvps, calls) == (forwards, 1, forwards + 1)
        assert (found.disagreement is None) == (not check)
    calls = 0
    found = directional_derivative(function, [x], [x], method=DIFFERENCES)
    assert (found.forwards, found.jvps, calls) == (5, 0, 5)


def test_refused_attempts_are_counted() -> None:
    primals = positions()
    assert directional_derivative(after_detach, primals, directions(primals)).jvps == 3


def test_the_backend_that_was_found_can_be_named() -> None:
    primals = positions()
    first = directional_derivative(in_place, primals, directions(primals))
    again = directional_derivative(in_place, primals, directions(primals), method=first.backend, check=False)
    assert (again.backend, again.refused, again.forwards, again.jvps) == (FORWARD, {}, 0, 1)


def test_reasons_are_one_short_line() -> None:
    primals = positions()
    found = directional_derivative(lambda a: [torch.cdist(a[0], a[0].flip(0))], primals, directions(primals))
    for reason in found.refused.values():
        assert reason.startswith("NotImplementedError: ")
        assert "\n" not in reason
        assert len(reason) <= 160


def test_the_models_own_error_comes_through() -> None:
    def function(a: Sequence[Tensor]) -> list[Tensor]:
        raise KeyError("edge_index")

    with pytest.raises(KeyError, match="edge_index") as error:
        directional_derivative(function, [torch.ones(2)], [torch.ones(2)])
    assert f"before, {JVP} was refused: KeyError: 'edge_index'" in error.value.__notes__


def test_an_error_beside_the_point_says_where() -> None:
    def function(a: Sequence[Tensor]) -> list[Tensor]:
        if not torch.equal(a[0].detach(), torch.ones(2)):
            raise ValueError("outside the box")
        return [a[0] * 2]

    with pytest.raises(ValueError, match="outside the box") as error:
        directional_derivative(function, [torch.ones(2)], [torch.ones(2)])
    assert error.value.__notes__ == ["raised when the inputs moved along the direction, for central differences"]


@pytest.mark.parametrize(
    ("primals", "tangents", "options", "error", "message"),
    [
        ([], [], {}, ValueError, "at least one primal and one tangent for each, got 0 primals and 0 tangents"),
        ([torch.ones(2)], [], {}, ValueError, "got 1 primals and 0 tangents"),
        ([torch.ones(2)], [torch.ones(3)], {}, ValueError, r"tangent 0 has shape \(3,\), its primal \(2,\)"),
        ([torch.arange(2)], [torch.ones(2)], {}, TypeError, "primal 0 has dtype torch.int64, which has no derivative"),
        ([torch.ones(2)], [1j * torch.ones(2)], {}, TypeError, "tangent 0 has dtype torch.complex64, its primal"),
        ([torch.ones(2)], [torch.ones(2)], {"method": "jvp"}, ValueError, "unknown method 'jvp'; choose 'auto' or one"),
    ],
)
def test_messages(primals: list, tangents: list, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        directional_derivative(lambda a: list(a), primals, tangents, **options)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.ones(2), "must return a list of tensors, got Tensor; wrap it in a list"),
        ([torch.ones(2), 1.0], "output 1 of the function is of type float; return tensors only"),
    ],
)
def test_outputs_must_be_a_list_of_tensors(output: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        directional_derivative(lambda a: output, [torch.ones(2)], [torch.ones(2)])  # type: ignore[arg-type, return-value]


def test_a_refused_method_says_what_to_do() -> None:
    with pytest.raises(DerivativeRefusedError, match=r"method='auto' would go on to the others\n  torch\.func\.jvp: "):
        directional_derivative(in_place, positions(), positions(), method=JVP)
