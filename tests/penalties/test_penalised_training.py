"""Training with each penalty lowers the error that an audit reports; networks of e3nn and escnn are exact; processes agree."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import equiaudit
from equiaudit import Symmetry, audit
from equiaudit.groups import SO, Cyclic, E, O
from equiaudit.penalties import (
    AugmentationPenalty,
    LieDerivativePenalty,
    NuclearNormPenalty,
    OperatorPenalty,
    ResidualPathwayPrior,
    weighting,
)
from equiaudit.penalties.passes import Ladder
from equiaudit.representations import Vector

CLAIM = Symmetry(SO(3), "vector", "vector", batch=0)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 3)).double()


def train(model: nn.Module, penalty: Any, weight: float, steps: int = 150) -> float:
    """Fit v ↦ v / (1 + |v|²) from few noisy samples; the error that an audit finds afterwards."""
    x = draw(24, 3, seed=1)
    y = x / (1 + x.square().sum(-1, keepdim=True)) + 0.1 * draw(24, 3, seed=2)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    weigh = weighting.Constant(weight)
    for _ in range(steps):
        output, size = penalty.with_output(model, x, y) if penalty else (model(x), torch.zeros(()))
        loss = weigh((output - y).square().mean(), size)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(audit(model, draw(64, 3, seed=3), CLAIM, effort="quick").error)


@pytest.fixture(scope="module")
def plain_error() -> float:
    return train(perceptron(), None, 0.0)


@pytest.mark.parametrize(
    ("make", "weight"),
    [
        (lambda: LieDerivativePenalty(CLAIM), 1.0),
        pytest.param(lambda: LieDerivativePenalty(CLAIM, directions="all"), 1.0, marks=pytest.mark.long),
        pytest.param(lambda: LieDerivativePenalty(CLAIM, elements=1), 0.5, marks=pytest.mark.long),
        (lambda: AugmentationPenalty(CLAIM), 10.0),
        pytest.param(lambda: AugmentationPenalty(CLAIM, anchor="model"), 1.0, marks=pytest.mark.long),
        pytest.param(lambda: NuclearNormPenalty(CLAIM), 0.1, marks=pytest.mark.long),
    ],
    ids=["lie", "all generators", "lie and elements", "remul by labels", "remul by the model", "nuclear"],
)
def test_training_lowers_the_error_of_an_audit(make: Callable[[], Any], weight: float, plain_error: float) -> None:
    model = perceptron()
    before = float(audit(model, draw(64, 3, seed=3), CLAIM, effort="quick").error)
    after = train(model, make(), weight)
    assert after < 0.75 * plain_error
    assert after < 0.3 * before


@pytest.mark.parametrize("make", [OperatorPenalty, lambda s: ResidualPathwayPrior(s, equivariant=1e3, rest=1.0)])
def test_weight_penalties_lower_it_too(make: Callable[[Symmetry], Any]) -> None:
    claim = Symmetry(SO(3), 4 * Vector(), 4 * Vector())
    torch.manual_seed(0)
    layer = nn.Linear(12, 12, dtype=torch.float64)
    x = draw(32, 12)
    before = float(audit(layer, x, claim, effort="quick").error)
    penalty, optimizer = make(claim), torch.optim.SGD(layer.parameters(), 0.04)
    for _ in range(300):
        loss = penalty(layer.weight, layer.bias)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(audit(layer, x, claim, effort="quick").error) < 1e-3 * before
    assert float(layer.weight.detach().norm()) > 0.1


def test_a_penalised_hidden_layer_of_a_graph_network() -> None:
    # rows are nodes: a dense map on the vector channels of every node breaks the symmetry, and only that
    torch.manual_seed(0)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(9, 9, bias=False)
            nn.init.normal_(self.mix.weight, std=0.3)

        def forward(self, graph: dict[str, Tensor]) -> dict[str, Tensor]:
            x, (i, j) = graph["positions"], graph["edge_index"]
            line = x[j] - x[i]
            size = line.square().sum(-1, keepdim=True)
            message = torch.cat([line, line * torch.exp(-size), line / (1 + size)], -1)
            h = torch.zeros(len(x), 9, dtype=x.dtype).index_add(0, i, message)
            return {"forces": self.mix(h)[:, :3]}

    graph = {"positions": draw(20, 3), "edge_index": torch.combinations(torch.arange(20)).T}
    hidden = {"mix": (3 * Vector(), 3 * Vector())}
    claim = Symmetry(O(3), {"positions": "vector", "edge_index": None}, {"forces": "vector"}, hidden=hidden)
    model = Network().double()
    before = float(audit(model, graph, claim, effort="quick").error)
    penalty = LieDerivativePenalty(claim, layers=True, directions="all")
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(150):
        _, size = penalty.with_output(model, graph)
        optimizer.zero_grad()
        size.backward()
        optimizer.step()
    assert float(audit(model, graph, claim, effort="quick").error) < 0.1 * before


# -- real libraries -----------------------------------------------------------------------------------------------------


def test_a_network_of_e3nn() -> None:
    pytest.importorskip("e3nn")
    from e3nn import o3
    from e3nn.nn import Gate

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            gate = Gate("4x0e", [torch.tanh], "4x0e", [torch.sigmoid], "4x1o")
            self.product = o3.FullyConnectedTensorProduct("2x0e+2x1o", "1x0e+1x1o", gate.irreps_in)
            self.gate = gate
            self.last = o3.Linear(gate.irreps_out, "1x0e+1x1o+1x2e", biases=True)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.last(self.gate(self.product(x, y)))

    model = Network()
    inputs = (draw(8, 8).float(), draw(8, 4).float())
    claim = Symmetry(O(3), ("2x0e+2x1o", "1x0e+1x1o"), "1x0e+1x1o+1x2e", batch=0)
    penalty = LieDerivativePenalty(claim, elements=1)
    output, size = penalty.with_output(model, inputs)
    scale = float(output.detach().square().mean())
    assert float(size.detach()) < 1e-9 * scale
    with torch.no_grad():
        model.last.weight += 0.0
    (output.square().mean() + size).backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)
    broken = nn.Linear(12, 9)
    dirty = lambda x, y: model(x, y) + 0.1 * broken(torch.cat([x, y], -1))  # noqa: E731
    assert float(penalty(dirty, inputs).detach()) > 1e-4 * scale
    weight = torch.zeros(9, 16)
    start = 0
    for i, (a, b) in enumerate(((slice(0, 4), slice(0, 1)), (slice(4, 16), slice(1, 4)))):
        n = 4
        dense = model.last.weight.detach()[start : start + n].reshape(4, 1)
        weight[b, a] = torch.kron(dense.T, torch.eye(1 if i == 0 else 3)) / 2
        start += n
    assert float(LieDerivativePenalty()(model.last, draw(5, 16).float()).detach()) < 1e-9  # the irreps it declares
    claim = Symmetry(O(3), model.last.irreps_in, model.last.irreps_out)
    assert torch.allclose(model.last(torch.eye(16)) - model.last(torch.zeros(1, 16)), weight.T, atol=1e-6)
    assert float(OperatorPenalty(claim)(weight)) < 1e-10


def test_a_network_of_escnn_in_training_mode() -> None:
    pytest.importorskip("escnn")
    from escnn import gspaces
    from escnn import nn as enn

    turns = gspaces.rot2dOnR2(4)
    image, hidden = enn.FieldType(turns, [turns.trivial_repr]), enn.FieldType(turns, 3 * [turns.regular_repr])
    torch.manual_seed(0)
    body = enn.SequentialModule(
        enn.R2Conv(image, hidden, 3, padding=1),
        enn.InnerBatchNorm(hidden),
        enn.ReLU(hidden),
        enn.R2Conv(hidden, enn.FieldType(turns, [turns.irrep(1)]), 3, padding=1),
    )

    class Opened(nn.Module):
        def __init__(self, body: Any) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Tensor) -> Tensor:
            return self.body(enn.GeometricTensor(x, self.body.in_type)).tensor

    model, x = Opened(body).train(), draw(4, 1, 7, 7).float()
    claim = Symmetry(Cyclic(4), image, body.out_type)
    for penalty in (LieDerivativePenalty(claim), AugmentationPenalty(claim, anchor="model")):
        output, size = penalty.with_output(model, x)
        scale = float(output.detach().square().mean())
        assert float(size.detach()) < 1e-9 * scale
        size.backward()
        assert float(penalty(lambda v: model(v) + 0.1 * v.cumsum(-1), x).detach()) > 1e-4 * scale


def test_a_graph_of_torch_geometric() -> None:
    pytest.importorskip("torch_geometric")
    from torch_geometric.data import Batch, Data

    graphs = [Data(pos=draw(n, 3, seed=n), edge_index=torch.combinations(torch.arange(n)).T) for n in (3, 4, 5)]
    batch = Batch.from_data_list(graphs)
    claim = Symmetry(E(3), {"pos": "points", "edge_index": None, "batch": None}, "vector", batch="batch")

    def pull(data: Any, leak: float = 0.0) -> Tensor:
        line = data.pos[data.edge_index[1]] - data.pos[data.edge_index[0]]
        line = line + leak * line.abs()
        return torch.zeros_like(data.pos).index_add(0, data.edge_index[0], line * line.square().sum(-1, keepdim=True))

    for penalty in (LieDerivativePenalty(claim, elements=1), AugmentationPenalty(claim, anchor="model")):
        assert float(penalty(pull, batch)) < 1e-24
        assert float(penalty(lambda d: pull(d, 0.1), batch)) > 1e-3


def test_an_egnn_on_point_clouds() -> None:
    from benchmarks.models import STEERED, Graph

    torch.manual_seed(0)
    model, inputs = Graph(width=16, layers=2), (draw(10, 3).float(), draw(10, 16).float())
    for penalty in (LieDerivativePenalty(STEERED, elements=1), AugmentationPenalty(STEERED, anchor="model")):
        assert float(penalty(model, inputs).detach()) < 1e-9
        leaking = lambda x, h: {k: v + 0.1 * x[:, :1] for k, v in model(x, h).items()}  # noqa: E731
        assert float(penalty(leaking, inputs).detach()) > 1e-4


# -- processes ----------------------------------------------------------------------------------------------------------


def step_of(model: nn.Module, x: Tensor, y: Tensor, with_output: bool) -> None:
    penalty = LieDerivativePenalty(Symmetry(SO(3), "vector", "vector"), directions="all")
    if with_output:
        output, size = penalty.with_output(model, x)
    else:
        output, size = model(x), penalty(model, x)
    ((output - y).square().mean() + size).backward()


KINDS: dict[str, Callable[[], Any]] = {
    "lie": lambda: LieDerivativePenalty(Symmetry(SO(3), "vector", "vector"), directions="all"),
    "remul": lambda: AugmentationPenalty(Symmetry(SO(3), "vector", "vector"), seed=4),
    "operator": lambda: lambda model: OperatorPenalty(Symmetry(SO(3), "vector", 8 * Vector()))(model[0]),
    "prior": lambda: lambda model: ResidualPathwayPrior(Symmetry(SO(3), 8 * Vector(), "vector"))(model[2].weight),
}


def step_with(kind: str, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    penalty = KINDS[kind]()
    if isinstance(penalty, (LieDerivativePenalty, AugmentationPenalty)):
        output, size = penalty.with_output(model, x, y)
    else:
        output, size = model(x), penalty(getattr(model, "module", model))
    return (output - y).square().mean(), size


def weigh(model: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    last = list(getattr(model, "module", model)[2].parameters())
    balance, ascent = weighting.GradNorm(last), weighting.DualAscent(0.0, rate=0.1)
    task, size = step_with("lie", model, x, y)
    balance.step(task, size)
    ascent.step(penalty=size)
    return [*balance.weights, ascent.weight]


def work(rank: int, where: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{where}/meeting", rank=rank, world_size=2)
    try:
        x, y = draw(8, 3)[rank::2], draw(8, 3, seed=1)[rank::2]
        for n, with_output in enumerate((True, False)):
            model = DistributedDataParallel(perceptron())
            step_of(model, x, y, with_output)
            torch.save([p.grad for p in model.parameters()], f"{where}/lie{n}_{rank}.pt")
        for kind in KINDS:
            model = DistributedDataParallel(perceptron())
            sum(step_with(kind, model, x, y)).backward()
            torch.save([p.grad for p in model.parameters()], f"{where}/{kind}_{rank}.pt")
        torch.save(weigh(DistributedDataParallel(perceptron()), x, y), f"{where}/weights_{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")
@pytest.mark.long
def test_two_processes_give_the_gradient_of_the_whole_batch() -> None:
    with tempfile.TemporaryDirectory() as where:
        mp.spawn(work, args=(where,), nprocs=2)
        x, y = draw(8, 3), draw(8, 3, seed=1)
        for kind in ("lie0", "lie1", *KINDS):
            alone = perceptron()
            sum(step_with(kind.rstrip("01"), alone, x, y)).backward()
            for rank in (0, 1):
                for a, p in zip(torch.load(f"{where}/{kind}_{rank}.pt"), alone.parameters(), strict=True):
                    assert torch.allclose(a, p.grad, atol=1e-13), kind
        expected = weigh(perceptron(), x, y)
        for rank in (0, 1):
            assert torch.load(f"{where}/weights_{rank}.pt") == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore")  # the compiler looks at .grad of what it resumes with, and at numpy's matrices
def test_a_compiled_step_with_a_penalty() -> None:
    operator = OperatorPenalty(Symmetry(SO(3), "vector", 8 * Vector()))
    x, found = draw(6, 3), []
    for compiled in (False, True):
        model, penalty = perceptron(), LieDerivativePenalty(CLAIM, seed=1)

        def loss(model: nn.Module = model, penalty: Any = penalty) -> Tensor:
            output, size = penalty.with_output(model, x)
            return output.square().mean() + size + operator(model[0].weight)

        run = torch.compile(loss, backend="eager") if compiled else loss
        for _ in range(2):
            value = run()
        value.backward()
        found.append([value.detach(), *(p.grad for p in model.parameters())])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-13)


def test_penalties_survive_deepcopy_and_public_names() -> None:
    penalty = copy.deepcopy(LieDerivativePenalty(CLAIM))
    assert float(penalty(lambda v: 2 * v, draw(4, 3))) < 1e-28
    assert equiaudit.LieDerivativePenalty is LieDerivativePenalty
    assert equiaudit.weighting.Constant is weighting.Constant
    assert Ladder("forward_ad").method == "forward_ad"
