"""A relaxed model in training: penalties, accumulation, autocast, checkpointing, DDP, compile, resume, projection elsewhere."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.utils.checkpoint import checkpoint

from equiaudit import Symmetry, intertwiners, project, relax, schedules
from equiaudit.groups import O
from equiaudit.relaxation import RelaxationError, Relaxed
from equiaudit.relaxation.vector_neurons import VNInvariant, VNLeakyReLU, VNLinear
from equiaudit.representations import Vector

RIGID = Symmetry(O(3), "vector", "invariant")
ROOT = Path(__file__).resolve().parents[2]


def network() -> nn.Sequential:
    return nn.Sequential(VNLinear(4, 8), VNLeakyReLU(8), VNLinear(8, 5), VNInvariant(5), nn.Linear(15, 1))


def active(theta: float = 0.5, **options) -> Relaxed:
    relaxed = relax(network(), RIGID, init="default", **options)
    relaxed.theta = theta
    return relaxed


def gradients(relaxed: Relaxed) -> list[torch.Tensor]:
    return [p.grad.clone() for p in relaxed.module.parameters()]


# -- penalties ------------------------------------------------------------------------------------------------------


def test_the_null_space_of_the_penalty_is_hom() -> None:
    # the released code has dimension 0 here, so that it penalises exactly equivariant weights; dim Hom is 20
    relaxed = relax(VNLinear(4, 5).double())
    weight = relaxed.new_parameters()[0]
    hessian = torch.autograd.functional.hessian(
        lambda w: intertwiners.defect(w.reshape(15, 12), 4 * Vector(), 5 * Vector(), O(3)), weight.detach().flatten()
    )
    values = torch.linalg.eigvalsh(hessian)
    assert int((values < 1e-10 * values.max()).sum()) == 20 == intertwiners.dimension(O(3), 4 * Vector(), 5 * Vector())
    with torch.no_grad():
        weight.copy_(torch.kron(torch.randn(5, 4), torch.eye(3)))
    assert relaxed.penalty("operator") < 1e-28
    relaxed.theta = 1.0
    with relaxed.observe() as seen:
        relaxed(torch.randn(7, 4, 3).double())
    assert seen.penalties("lie")[""] < 1e-28


def test_every_layer_is_penalised_the_direction_map_too() -> None:
    relaxed = active()
    assert list(relaxed.penalties()) == list(relaxed.thetas)
    assert "1.direction" in relaxed.penalties()
    assert all(value > 0 for value in relaxed.penalties().values())
    torch.testing.assert_close(relaxed.penalty(), torch.stack(list(relaxed.penalties().values())).sum())


def test_a_bias_of_the_layer_does_not_enter_the_penalty() -> None:
    # the released code applies W with its bias to A x, which leaves a spurious -b
    hidden = {"0": ("2x0e+1x1o", "2x0e+1x1o")}
    layer = nn.Linear(5, 5)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(5))
        layer.bias[2:] = 0
    relaxed = relax(
        nn.Sequential(layer), Symmetry(O(3), "2x0e+1x1o", "2x0e+1x1o", hidden=hidden), check=False, init=nn.init.eye_
    )
    relaxed.theta = 1.0
    with relaxed.observe() as seen:
        relaxed(torch.randn(6, 5))
    assert relaxed.penalty("operator") < 1e-12
    assert seen.penalties("lie")["0"] < 1e-10


@pytest.mark.parametrize("term", ["lie", "magnitude"])
def test_observed_terms_do_not_grow_with_batch_or_points(term: str) -> None:
    # the released code sums over both, so that λ changes its meaning
    relaxed = active()
    x = torch.randn(50, 4, 3)
    found = []
    for shape in ((50, 4, 3), (200, 4, 3), (10, 20, 4, 3)):
        torch.manual_seed(1)
        with relaxed.observe() as seen:
            relaxed(x.repeat(4, 1, 1).reshape(shape) if shape != (50, 4, 3) else x)
        torch.manual_seed(1)
        found.append(seen.penalties(term))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value)
        torch.testing.assert_close(found[2][name], value)


def test_observed_terms_are_what_they_say() -> None:
    relaxed = relax(VNLinear(2, 3).double(), init="default")
    relaxed.theta = 0.5
    x = torch.randn(40, 2, 3).double()
    weight = relaxed.new_parameters()[0].detach()
    with relaxed.observe() as seen:
        relaxed(x)
    flat = x.flatten(-2)
    torch.testing.assert_close(seen.penalties("magnitude")[""], (0.5 * flat @ weight.T).square().mean())
    draws = torch.stack([seen.penalties("lie")[""].detach() for _ in range(400)]).mean()
    wanted = torch.zeros(())
    for basis in O(3).algebra:
        one = torch.from_numpy(basis)
        commutator = torch.block_diag(one, one, one) @ weight - weight @ torch.block_diag(one, one)
        wanted = wanted + (0.5 * flat @ commutator.T).square().mean()
    torch.testing.assert_close(draws, wanted.double(), rtol=0.15, atol=0)  # inversion commutes with every such W
    assert seen.calls == {"": 1}
    assert seen.log()["relaxation/(model)/rms"] == pytest.approx(float(seen.penalties("magnitude")[""].detach()) ** 0.5)


def test_the_discrete_part_counts() -> None:
    # from vectors to pseudovectors the identity commutes with every rotation, and not with the inversion
    block = nn.Sequential(nn.Linear(3, 3, bias=False))
    claim = Symmetry(O(3), "vector", "pseudovector", hidden={"0": ("vector", "pseudovector")})
    relaxed = relax(block, claim, init=nn.init.eye_, check=False)
    relaxed.theta = 1.0
    x = torch.randn(20, 3)
    with relaxed.observe() as seen:
        relaxed(x)
    torch.testing.assert_close(seen.penalties("lie")["0"], 4 * x.square().mean())
    assert relaxed.penalty("operator") > 0.1


def test_observing_leaves_no_hook_and_no_tensor() -> None:
    relaxed = active()
    hooks = [len(m._forward_hooks) for m in relaxed.module.modules()]
    with pytest.raises(ValueError, match="channels before space"), relaxed.observe():
        relaxed(torch.randn(3, 3, 4))
    assert [len(m._forward_hooks) for m in relaxed.module.modules()] == hooks
    copy.deepcopy(relaxed.module)


def test_observing_nothing_is_an_error() -> None:
    relaxed = active()
    with relaxed.observe() as seen:
        pass
    with pytest.raises(RelaxationError, match=r"no relaxed layer was called inside observe\(\)"):
        seen.penalty()
    with pytest.raises(ValueError, match="term must be one of 'lie', 'magnitude', got 'norm'"):
        seen.penalties("norm")


# -- ways of training -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_loses_no_gradient(reentrant: bool) -> None:
    relaxed = active()
    x = torch.randn(6, 4, 3, requires_grad=True)
    relaxed(x).square().sum().backward()
    plain = gradients(relaxed)
    relaxed.module.zero_grad()
    checkpoint(relaxed.module, x, use_reentrant=reentrant).square().sum().backward()
    for found, wanted in zip(gradients(relaxed), plain, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("reentrant", [False, True])
def test_the_backward_pass_of_a_checkpoint_uses_the_theta_of_that_moment(reentrant: bool) -> None:
    # a limit that docs/relaxation.md states; the sum has the same gradient at every output, so that only θ tells them apart
    relaxed = active()
    x = torch.randn(6, 4, 3, requires_grad=True)

    def found(run, before: float, after: float) -> list[torch.Tensor]:
        relaxed.module.zero_grad()
        relaxed.theta = before
        out = run(x).sum()
        relaxed.theta = after
        out.backward()
        return gradients(relaxed)

    at = {theta: found(relaxed.module, theta, theta) for theta in (0.5, 0.1)}
    for a, b in zip(found(relaxed.module, 0.5, 0.1), at[0.5], strict=True):
        torch.testing.assert_close(a, b)
    moved = found(lambda x: checkpoint(relaxed.module, x, use_reentrant=reentrant), 0.5, 0.1)
    for a, b in zip(moved, at[0.1], strict=True):
        torch.testing.assert_close(a, b)
    assert any(not torch.allclose(a, b) for a, b in zip(moved, at[0.5], strict=True))


def test_checkpointed_layers_are_observed_once_and_keep_their_gradient() -> None:
    relaxed = active()
    x = torch.randn(6, 4, 3, requires_grad=True)

    def loss(run) -> torch.Tensor:
        torch.manual_seed(0)
        with relaxed.observe() as seen:
            out = run(x)
            total = out.square().sum() + seen.penalty()
            relaxed.module.zero_grad()
            total.backward()  # inside: the recomputation passes the hooks again
        assert set(seen.calls.values()) == {1}
        return total

    a = loss(relaxed.module)
    plain = gradients(relaxed)
    b = loss(lambda x: checkpoint(relaxed.module, x, use_reentrant=False))
    torch.testing.assert_close(a, b)
    for found, wanted in zip(gradients(relaxed), plain, strict=True):
        torch.testing.assert_close(found, wanted)


def test_backward_after_the_block_works_under_checkpointing() -> None:
    relaxed = active()
    x = torch.randn(6, 4, 3, requires_grad=True)
    with relaxed.observe() as seen:
        out = checkpoint(relaxed.module, x, use_reentrant=False)
    (out.sum() + seen.penalty()).backward()
    assert all(p.grad is not None for p in relaxed.module.parameters())


def test_reentrant_checkpointing_is_said_to_lose_gradient() -> None:
    relaxed = active()
    with relaxed.observe() as seen:
        checkpoint(relaxed.module, torch.randn(6, 4, 3, requires_grad=True), use_reentrant=True)
    with pytest.warns(UserWarning, match=r"ran without gradient \(torch.utils.checkpoint with use_reentrant=True\?\)"):
        seen.penalty()


def test_gradient_accumulation_adds_up() -> None:
    relaxed = active()
    x = torch.randn(8, 4, 3)
    relaxed(x).square().mean().backward()
    whole = gradients(relaxed)
    relaxed.module.zero_grad()
    for part in x.chunk(4):
        (relaxed(part).square().mean() / 4).backward()
    for found, wanted in zip(gradients(relaxed), whole, strict=True):
        torch.testing.assert_close(found, wanted)


def test_autocast() -> None:
    relaxed = active()
    x = torch.randn(6, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        plain = network()(x).dtype
        with relaxed.observe() as seen:
            out = relaxed(x)
            penalty = seen.penalty() + relaxed.penalty()
        assert relaxed.module[0](x).dtype is VNLinear(4, 8)(x).dtype is torch.bfloat16
    assert out.dtype is plain is torch.bfloat16
    (out.float().sum() + penalty).backward()
    assert all(torch.isfinite(g).all() for g in gradients(relaxed))
    with relaxed.observe() as full:
        relaxed(x)
    for name, value in full.penalties("magnitude").items():
        torch.testing.assert_close(seen.penalties("magnitude")[name], value, rtol=0.05, atol=1e-4)


@pytest.mark.skipif(sys.platform == "win32", reason="torch.compile needs a C++ compiler")
@pytest.mark.long
def test_under_torch_compile() -> None:
    relaxed = active()
    x = torch.randn(6, 4, 3)
    compiled = torch.compile(relaxed.module, backend="aot_eager")
    torch.testing.assert_close(compiled(x), relaxed(x))
    for theta in (0.0, 1.0):
        relaxed.theta = theta  # reaches the compiled module: the buffer is its input
        torch.testing.assert_close(compiled(x), relaxed(x))
    Relaxed(compiled).theta = 0.25
    assert relaxed.theta == 0.25
    compiled(x).sum().backward()
    assert all(p.grad is not None for p in relaxed.new_parameters())


def _worker(rank: int, file: str, results: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    torch.manual_seed(0)
    relaxed = relax(network(), RIGID, init="default")
    outer = nn.parallel.DistributedDataParallel(relaxed.module)
    handle = Relaxed(outer)
    schedule = schedules.triangle(handle, 6)
    optimizer = torch.optim.SGD(outer.parameters(), lr=0.01)
    thetas = []
    for step in range(6):
        x = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(10 * step + rank))
        with handle.observe() as seen:
            out = outer(x)
        loss = out.square().mean() + handle.penalty() + seen.penalty()
        optimizer.zero_grad()
        loss.backward()  # theta is 0 at the first step: W must still be in the graph
        optimizer.step()
        schedule.step()
        thetas.append(relaxed.theta)
    torch.save({"theta": thetas, "weights": [p.detach() for p in outer.parameters()]}, f"{results}.{rank}")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")
@pytest.mark.long
def test_under_distributed_data_parallel(tmp_path: Path) -> None:
    results = str(tmp_path / "out")
    mp.spawn(_worker, (str(tmp_path / "store"), results), nprocs=2)
    first, second = (torch.load(f"{results}.{rank}") for rank in range(2))
    assert first["theta"] == second["theta"] == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0])
    for a, b in zip(first["weights"], second["weights"], strict=True):
        assert torch.equal(a, b)


def run_epochs(relaxed: Relaxed, optimizer, schedule, epochs: int, seed: int) -> None:
    for epoch in range(epochs):
        x = torch.randn(16, 4, 3, generator=torch.Generator().manual_seed(seed + epoch))
        loss = (relaxed(x) - x.norm(dim=(1, 2))[:, None]).square().mean() + 0.01 * relaxed.penalty()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def make_run(state: dict | None = None):
    torch.manual_seed(0)
    relaxed = relax(network(), RIGID, init="default")
    optimizer = torch.optim.Adam(relaxed.module.parameters(), lr=1e-2)
    relaxed.check_optimizer(optimizer)
    schedule = schedules.triangle(relaxed, 8)
    if state is not None:
        relaxed.module.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
    return relaxed, optimizer, schedule


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = make_run()
    run_epochs(*whole, 8, seed=0)
    part = make_run()
    run_epochs(*part, 3, seed=0)
    state = {"model": part[0].module.state_dict(), "optimizer": part[1].state_dict(), "schedule": part[2].state_dict()}
    torch.save(state, tmp_path / "run.pt")
    resumed = make_run(torch.load(tmp_path / "run.pt"))
    assert resumed[0].theta == part[0].theta == 0.75
    run_epochs(*resumed, 5, seed=3)
    assert resumed[0].theta == 0
    for a, b in zip(resumed[0].module.parameters(), whole[0].module.parameters(), strict=True):
        assert torch.equal(a, b)


MODEL = """
import torch
from torch import nn

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.vectors = nn.Linear(4, 6, bias=False)
        self.lengths = nn.Linear(6, 2)
    def forward(self, x):
        return self.lengths(self.vectors(x).norm(dim=-2))
"""


@pytest.mark.long
def test_the_projected_model_is_loaded_by_code_that_never_imports_equiaudit(tmp_path: Path) -> None:
    (tmp_path / "plainmodel.py").write_text(MODEL)
    (tmp_path / "train.py").write_text(
        "import torch\n"
        "from plainmodel import Mixed\n"
        "from equiaudit import Symmetry, project, relax, schedules\n"
        "from equiaudit.groups import O\n"
        "from equiaudit.representations import Vector\n"
        "v = Vector(dim=-2)\n"
        "relaxed = relax(Mixed(), Symmetry(O(3), v, 'invariant', hidden={'vectors': (v, v)}))\n"
        "schedule = schedules.triangle(relaxed, 10)\n"
        "optimizer = torch.optim.Adam(relaxed.module.parameters(), lr=1e-2)\n"
        "x = torch.randn(32, 3, 4)\n"
        "for step in range(10):\n"
        "    loss = (relaxed(x) - 1).square().mean()\n"
        "    optimizer.zero_grad(); loss.backward(); optimizer.step(); schedule.step()\n"
        "    if step == 4:\n"
        "        torch.save(relaxed.module.state_dict(), 'half.pt')\n"
        "        relaxed.module.load_state_dict(torch.load('half.pt'))\n"
        "torch.save(relaxed.plain_state_dict(), 'plain.pt')\n"
        "model, report = project(relaxed, 'fold', inputs=x)\n"
        "assert report.exact, str(report)\n"
        "torch.save(model.state_dict(), 'state.pt')\n"
        "torch.save(model, 'whole.pt')\n"
        "torch.save((x, model(x).detach()), 'seen.pt')\n"
    )
    (tmp_path / "use.py").write_text(
        "import sys, torch\n"
        "from plainmodel import Mixed\n"
        "x, y = torch.load('seen.pt')\n"
        "for state in ('state.pt', 'plain.pt'):\n"
        "    model = Mixed(); model.load_state_dict(torch.load(state), strict=True)\n"
        "    assert torch.allclose(model(x), y, atol=1e-6), state\n"
        "whole = torch.load('whole.pt', weights_only=False)\n"
        "assert torch.equal(whole(x), y) and type(whole) is Mixed\n"
        "assert not any(name.partition('.')[0] == 'equiaudit' for name in sys.modules)\n"
    )
    run = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    subprocess.run([sys.executable, "train.py"], env={**os.environ, "PYTHONPATH": str(ROOT)}, **run)
    subprocess.run([sys.executable, "use.py"], env={**os.environ, "PYTHONPATH": ""}, **run)


@pytest.mark.long
def test_the_function_is_reached_by_its_name_whatever_was_imported() -> None:
    code = (
        "import importlib, pkgutil, warnings; warnings.simplefilter('ignore')\n"
        "import equiaudit, equiaudit.relaxation\n"
        "for found in pkgutil.walk_packages(equiaudit.relaxation.__path__, 'equiaudit.relaxation.'):\n"
        "    importlib.import_module(found.name)\n"
        "from equiaudit import relax, project, schedules\n"
        "import types\n"
        "assert isinstance(relax, types.FunctionType) and isinstance(project, types.FunctionType)\n"
        "assert isinstance(schedules, types.ModuleType)\n"
        "assert equiaudit.relax is relax and equiaudit.relaxation.project is project\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_training_a_few_steps_moves_w_and_ends_exact() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relaxed, optimizer, schedule = make_run()
        run_epochs(relaxed, optimizer, schedule, 8, seed=0)
    assert schedule.idle == ()
    assert relaxed.theta == 0
    model, report = project(relaxed, inputs=torch.randn(16, 4, 3), confirm=None)
    assert report.exact
    assert report.change == 0
    assert all(row.norm > 0 for row in report.layers)
    model(torch.randn(2, 4, 3))
