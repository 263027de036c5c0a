"""The cases of the demo: a model, real inputs, the symmetry that it should have, and the verdict that is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from equiaudit import Symmetry
from equiaudit.groups import SO, Cyclic, E, Permutations

MOLECULES = ("CH3CH2OH", "C6H6", "CH3CONH2", "H2O")
"""Ethanol, benzene, acetamide and water: from the G2 set that comes with ASE."""
SEED = 0

Built = tuple[Any, Any, Any]
"""A model, its inputs, and a symmetry or several."""


@dataclass(frozen=True)
class Case:
    """One row of the demo: ``build`` gives model, inputs, symmetry; ``says`` is what the outcome means."""

    label: str
    build: Callable[[], Built]
    expected: str
    says: str
    needs: tuple[str, ...] = ()
    layers: bool = False

    @property
    def planted(self) -> bool:
        """Whether the model has a fault on purpose, or does not have the symmetry that is claimed."""
        return self.expected != "EXACT"


RIGID = Symmetry(
    E(3),
    inputs={"positions": "points", "species": None, "batch": None},
    outputs={"energy": "invariant", "forces": "vector"},
    batch="batch",
)
RELABEL = Symmetry(
    Permutations(),
    inputs={"positions": "nodes", "species": "nodes", "batch": None},
    outputs={"energy": "invariant", "forces": "nodes"},
    batch="batch",
)


def load_molecules(names: tuple[str, ...] = MOLECULES) -> dict[str, torch.Tensor]:
    """Molecules of ASE in one batch: positions in Å, atomic numbers, and which molecule each atom is in."""
    from ase.build import molecule

    found = [molecule(name) for name in names]
    return {
        "positions": torch.cat([torch.tensor(m.positions, dtype=torch.float32) for m in found]),
        "species": torch.cat([torch.tensor(m.numbers) for m in found]),
        "batch": torch.cat([torch.full((len(m),), n) for n, m in enumerate(found)]),
    }


def load_portrait(size: int) -> torch.Tensor:
    """Grace Hopper, the photograph that comes with matplotlib, as a square: [1, 3, size, size], values in 0 to 1."""
    import numpy as np
    from matplotlib.cbook import get_sample_data
    from PIL import Image

    with get_sample_data("grace_hopper.jpg") as file:
        picture = Image.open(file).convert("RGB")
        width = picture.width
        square = picture.crop((0, 40, width, 40 + width)).resize((size, size))
    return torch.tensor(np.asarray(square), dtype=torch.float32).permute(2, 0, 1)[None] / 255


def potential(broken_layer: int | None = None) -> Built:
    """A potential with energies and forces on four molecules; each molecule is moved by an element of its own."""
    from examples.models.potential import Potential

    torch.manual_seed(SEED)
    return Potential(broken_layer=broken_layer).eval(), load_molecules(), [RIGID, RELABEL]


def broken_potential() -> Built:
    """The same with one planted bug: a bias on all features of layer 1, vectors too."""
    return potential(broken_layer=1)


def portrait(size: int) -> Built:
    """A C4 network on a photograph."""
    from examples.models.cnn import RotationCNN

    torch.manual_seed(SEED)
    model = RotationCNN().eval()
    return model, load_portrait(size), Symmetry(Cyclic(4), inputs=model.in_type, outputs=model.out_type)


def odd_portrait() -> Built:
    """65 pixels: stride 2 divides 64, and then 32."""
    return portrait(65)


def even_portrait() -> Built:
    """64 pixels: stride 2 does not divide 63."""
    return portrait(64)


def fullerene(symmetry: Symmetry) -> Built:
    """A transformer on the sixty points of a fullerene."""
    from ase.build import molecule

    from examples.models.transformer import PointTransformer

    torch.manual_seed(SEED)
    points = torch.tensor(molecule("C60").positions, dtype=torch.float32)
    return PointTransformer().eval(), points, symmetry


def turned_fullerene() -> Built:
    """The displacements should turn with the points."""
    return fullerene(Symmetry(SO(3), inputs="points", outputs="vector"))


def relabelled_fullerene() -> Built:
    """The displacements should follow the order of the points."""
    return fullerene(Symmetry(Permutations(), inputs="nodes", outputs="nodes"))


def karate_club() -> Built:
    """Zachary's karate club: 34 members, 78 friendships."""
    from torch_geometric.datasets import KarateClub

    from examples.models.graph import NodeScores

    torch.manual_seed(SEED)
    club = KarateClub()[0]
    symmetry = Symmetry(Permutations(), inputs=("nodes", "edge_index"), outputs="nodes")
    return NodeScores(club.num_features, 4).eval(), (club.x, club.edge_index), symmetry


IMAGES = ("escnn", "matplotlib", "PIL")
CASES = (
    Case(
        "e3nn potential",
        potential,
        "EXACT",
        "energies stay, forces turn with the molecules, atoms can be relabelled",
        ("ase", "e3nn"),
    ),
    Case(
        "e3nn potential, a bias on vectors (planted)",
        broken_potential,
        "BROKEN",
        "the planted bug: a bias is a fixed direction, and vectors must not have one",
        ("ase", "e3nn"),
        layers=True,
    ),
    Case(
        "escnn C4 network, 65 pixels",
        odd_portrait,
        "EXACT",
        "stride 2 divides 64: the pixels that are kept are symmetric",
        IMAGES,
    ),
    Case(
        "escnn C4 network, 64 pixels (planted)",
        even_portrait,
        "BROKEN",
        "stride 2 does not divide 63: a turn keeps other pixels",
        IMAGES,
        layers=True,
    ),
    Case(
        "transformer, turned points (planted)",
        turned_fullerene,
        "BROKEN",
        "nothing in it knows what a turn is; this is by how much it misses",
        ("ase",),
    ),
    Case(
        "transformer, reordered points",
        relabelled_fullerene,
        "EXACT",
        "without positional encoding, attention does not see the order",
        ("ase",),
    ),
    Case(
        "graph network, relabelled nodes",
        karate_club,
        "EXACT",
        "members of the karate club have no order",
        ("torch_geometric",),
    ),
)
