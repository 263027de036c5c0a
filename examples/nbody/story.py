"""Labels that depend on the frame: the simulator as a function, and the least error that its labels leave to exact models.

``python -m examples.nbody.story`` prints the figures of docs/nbody.md, in about two minutes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups import SO
from examples.nbody.data import Windows, load
from examples.nbody.simulate import DT, LARGEST_FORCE


def advance(positions: Tensor, velocities: Tensor, charges: Tensor, *, clip: str = "norm", steps: int = 1000) -> Tensor:
    """The simulator as a function of the state at a saved frame: positions [batch, n, 3] after ``steps`` of 1e-3.

    This is what a network is to learn; an audit of it says how equivariant the labels are.
    """
    first, second = torch.triu_indices(charges.shape[-1], charges.shape[-1], 1, device=charges.device)
    strength = (charges[:, first] * charges[:, second]).unsqueeze(-1)
    x, v = positions, velocities
    for _ in range(steps):
        apart = x[:, first] - x[:, second]
        pull = strength * apart / apart.square().sum(-1, keepdim=True) ** 1.5
        force = torch.zeros_like(x).index_add(1, first, pull).index_add(1, second, -pull)
        if clip == "component":
            force = force.clamp(-LARGEST_FORCE, LARGEST_FORCE)
        else:
            length = force.square().sum(-1, keepdim=True).sqrt()
            force = force * (LARGEST_FORCE / length).clamp(max=1.0)
        v = v + DT * force
        x = x + DT * v
    return x


def orbit_variance(windows: Windows, clip: str, turns: int = 16, seed: int = 0) -> Tensor:
    """How much the label of each window depends on the frame of reference.

    The variance over rotations R of R⁻¹ f(R x), averaged over particles and components, for each window: an exactly
    equivariant model gives one answer for the whole orbit, so that the mean over windows is the least error that it can have.

    Args:
        windows: of the task.
        clip: of the force, "component" or "norm".
        turns: rotations for each window.
        seed: of the rotations.

    Returns:
        The variance [windows], with the divisor ``turns`` − 1.
    """
    matrices = draw_turns(turns, seed)
    x, v = (torch.einsum("rxy,bny->rbnx", matrices, t.double()).flatten(0, 1) for t in windows.inputs[:2])
    q = windows.charges.double().repeat(turns, 1)
    moved = advance(x, v, q, clip=clip).unflatten(0, (turns, -1))
    back = torch.einsum("ryx,rbny->rbnx", matrices, moved)
    return back.var(0).mean((-1, -2))


def draw_turns(count: int, seed: int) -> Tensor:
    """Rotation matrices [count, 3, 3] from the Haar measure, in float64."""
    rng = np.random.default_rng(seed)
    return torch.tensor(np.stack([SO(3).sample(rng).linear for _ in range(count)]))


def main() -> None:
    """Print the floor of both kinds of labels, from 1000 test windows."""
    for clip in ("component", "norm"):
        variance = orbit_variance(load("test", clip)[:1000], clip)
        error = float(variance.std()) / len(variance) ** 0.5
        share = float((variance > 1e-6).double().mean())
        print(f"{clip} clip: floor {float(variance.mean()):.2g} ± {error:.1g}, {share:.0%} of windows", flush=True)


if __name__ == "__main__":
    main()
