"""The networks of the charged-particle task under the auditor, and as hosts of a relaxation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from equiaudit import Verdict, assert_equivariant, audit
from equiaudit.relaxation import project, relax
from examples.nbody.claims import MOTIONS, ORDER, TURNS
from examples.nbody.data import Windows, make_windows
from examples.nbody.egnn import EGNN, EquivariantLinear, linear_site, split
from examples.nbody.transformer import Transformer

WHERE = "layers.*.self_connection"


@pytest.fixture(scope="module")
def few() -> Windows:
    return make_windows(4, seed=11)


def build(name: str, layers: int = 2) -> Any:
    torch.manual_seed(0)
    if name == "egnn":
        model: nn.Module = EGNN(layers)
    else:
        pytest.importorskip("e3nn")
        from examples.nbody.segnn import SEGNN

        model = SEGNN(layers, scalars=8, vectors=8)
    nn.init.normal_(model.head.weight)  # zero at first: an audit would see free motion alone
    return model


@pytest.mark.parametrize("name", ["egnn", pytest.param("segnn", marks=pytest.mark.long)])
def test_exact_under_motions_and_permutations(name: str, few: Windows) -> None:
    found = assert_equivariant(build(name), few.inputs, [MOTIONS, ORDER])
    assert found.verdict is Verdict.EXACT


@pytest.mark.parametrize("name", ["egnn", pytest.param("segnn", marks=pytest.mark.long)])
def test_a_bias_on_vectors_is_seen(name: str, few: Windows) -> None:
    model = build(name)
    model.layers[0].self_connection.register_forward_hook(lambda layer, args, out: out + 0.1)
    assert audit(model, few.inputs, MOTIONS).verdict is Verdict.BROKEN


def test_the_transformer_holds_shifts_and_order_only(few: Windows) -> None:
    torch.manual_seed(0)
    found = audit(Transformer(layers=1, width=16), few.inputs, [MOTIONS, ORDER])
    verdicts = {check.part: check.verdict for check in found.checks}
    assert found.verdict is Verdict.BROKEN
    assert verdicts["E(3): rotations"] is Verdict.BROKEN
    assert verdicts["E(3): translations"] is Verdict.EXACT
    assert verdicts["Permutations(): permutations"] is Verdict.EXACT


@pytest.mark.parametrize("name", ["egnn", pytest.param("segnn", marks=pytest.mark.long)])
@pytest.mark.parametrize("method", ["drop", pytest.param("fold", marks=pytest.mark.long)])
def test_relaxed_and_projected(name: str, method: str, few: Windows) -> None:
    model = build(name)
    plain = model(*few.inputs).detach()
    relaxed = relax(model, TURNS, WHERE, init="default", adapters=(linear_site,))
    assert len(relaxed.thetas) == 2
    relaxed.theta = 0.5
    assert audit(model, few.inputs, MOTIONS).verdict is Verdict.BROKEN
    projected, report = project(relaxed, method, inputs=few.inputs, symmetry=MOTIONS, confirm=None)
    assert audit(projected, few.inputs, MOTIONS).verdict is Verdict.EXACT
    assert {layer.outcome for layer in report.layers} == {"dropped" if method == "drop" else "folded"}
    same = torch.allclose(projected(*few.inputs), plain, rtol=0, atol=1e-6)
    assert same == (method == "drop")


def test_an_equivariant_map_folds_whole() -> None:
    """Folding loses nothing that the declared representations allow."""
    torch.manual_seed(0)
    layer, other = EquivariantLinear(3, 2, 4, 5).double(), EquivariantLinear(3, 2, 4, 5).double()
    nn.init.zeros_(other.scalars.bias)
    x = torch.randn(7, 9, dtype=torch.float64)
    wanted = layer(x) + other(x)
    relaxed = relax(layer, TURNS, adapters=(linear_site,))
    relaxed.theta = 1.0
    with torch.no_grad():
        relaxed.relaxations[""].weight.copy_(other(torch.eye(9, dtype=torch.float64)).T)
    folded, _ = project(relaxed, "fold", confirm=None)
    assert torch.allclose(folded(x), wanted, rtol=0, atol=1e-13)


def test_channels() -> None:
    s, v = split(torch.arange(8.0), 2)
    assert s.tolist() == [0, 1]
    assert v.tolist() == [[2, 5], [3, 6], [4, 7]]


@pytest.mark.long
def test_the_reference_size() -> None:
    pytest.importorskip("e3nn")
    from examples.nbody.segnn import SEGNN

    assert sum(p.numel() for p in SEGNN().parameters()) == 156_768
