"""PyTorch Geometric: graphs are containers, matched by attribute, copied and not changed."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("torch_geometric")
from torch_geometric.data import Batch, Data, HeteroData

from equiaudit import Symmetry
from equiaudit.groups import E, Permutations
from equiaudit.representations import StructureError
from equiaudit.representations.structures import leaves, map_leaves

P = Permutations()


def graph(n=4, seed=0):
    torch.manual_seed(seed)
    return Data(
        pos=torch.randn(n, 3),
        x=torch.randn(n, 2),
        edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]),
        edge_attr=torch.randn(3, 1),
        name="water",
        charge=1,
    )


def test_attributes_are_matched_by_name_and_the_original_stays():
    data, symmetry = graph(), Symmetry(E(3), {"pos": "points"}, {"forces": "vector"})
    before, g = data.clone(), E(3).sample(0)
    moved = symmetry.act_on_inputs(g, data)
    assert type(moved) is Data
    assert not torch.allclose(moved.pos, before.pos)
    assert torch.equal(data.pos, before.pos)
    assert moved.x is data.x
    assert (moved.name, moved.charge) == ("water", 1)
    assert symmetry.act_on_inputs(E(3).identity(), data).pos.shape == (4, 3)


def test_a_batch_gives_each_graph_its_own_element():
    batch = Batch.from_data_list([graph(3, 0), graph(5, 1), graph(3, 2)])
    symmetry = Symmetry(E(3), {"pos": "points"}, {"energy": "invariant"}, batch="batch")
    elements = tuple(E(3).sample(seed) for seed in range(3))
    moved = symmetry.act_on_inputs(elements, batch)
    assert isinstance(moved, Batch)
    for i, one in enumerate(moved.to_data_list()):
        wanted = Symmetry(E(3), "points").act_on_inputs(elements[i], batch[i].pos)
        torch.testing.assert_close(one.pos, wanted)
    assert symmetry.sample_count(batch) == 3
    frame = symmetry.frame(batch)
    torch.testing.assert_close(torch.from_numpy(frame.origin[1]).float(), batch[1].pos.mean(0))


def test_nodes_of_each_graph_are_relabelled_within_the_batch():
    batch = Batch.from_data_list([graph(4, 0), graph(5, 1)])  # the last node of each is isolated
    spec = {"pos": "nodes", "x": "nodes", "edge_index": "edge_index", "edge_attr": "edges"}
    symmetry = Symmetry(P, spec, "nodes", batch="batch")
    elements = (P.shuffle(1), P.roll(2))
    moved = symmetry.act_on_inputs(elements, batch)
    assert torch.equal(moved.batch, batch.batch)
    assert torch.equal(moved.ptr, batch.ptr)
    for i, one in enumerate(moved.to_data_list()):
        alone = Symmetry(P, spec, "nodes").act_on_inputs(elements[i], batch[i])
        assert torch.equal(one.edge_index, alone.edge_index)
        assert torch.equal(one.x, alone.x)
        assert torch.equal(one.edge_attr, alone.edge_attr)


def test_a_subclass_of_ones_own_is_a_graph_too():
    class Molecule(Data):
        def __inc__(self, key, value, *args):
            return super().__inc__(key, value, *args)

    molecule = Molecule(pos=torch.randn(3, 3))
    moved = Symmetry(E(3), {"pos": "points"}).act_on_inputs(E(3).translation(1.0, 0.0, 0.0), molecule)
    assert type(moved) is Molecule
    torch.testing.assert_close(moved.pos[:, 0], molecule.pos[:, 0] + 1)


def test_a_missing_attribute_is_named():
    with pytest.raises(StructureError, match="declared 'position' not found; there are 'x', 'edge_index', 'edge_attr'"):
        Symmetry(E(3), {"position": "points"}).act_on_inputs(E(3).sample(0), graph())


def test_hetero_graphs_are_opened_by_type():
    data = HeteroData()
    data["atom"].pos = torch.randn(4, 3)
    data["residue"].pos = torch.randn(2, 3)
    data["atom", "in", "residue"].edge_index = torch.tensor([[0, 1], [0, 1]])
    data.energy = torch.randn(1)
    paths = [path for path, _ in leaves(data)]
    assert ("atom", "pos") in paths
    assert (("atom", "in", "residue"), "edge_index") in paths
    symmetry = Symmetry(E(3), {"atom": {"pos": "points"}, "residue": {"pos": "points"}, "energy": "invariant"})
    before = data["residue"].pos.clone()
    moved = symmetry.act_on_inputs(E(3).translation(0.0, 2.0, 0.0), data)
    assert isinstance(moved, HeteroData)
    torch.testing.assert_close(moved["residue"].pos[:, 1], before[:, 1] + 2)
    assert torch.equal(data["residue"].pos, before)
    assert moved["atom"].num_nodes == 4


def test_leaves_of_a_graph_can_be_mapped():
    data = graph()
    doubled = map_leaves(lambda path, v: 2 * v if path == ("x",) else v, data)
    assert torch.equal(doubled.x, 2 * data.x)
    assert doubled.pos is data.pos
    assert map_leaves(lambda path, v: v, data) is data
