"""Is a declared layer equivariant under what was declared? Asked on random inputs, before any training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.measure.audit import audit
from equiaudit.measure.precision import cast_inputs
from equiaudit.records import Verdict
from equiaudit.relaxation.site import LinearSite, RelaxationError, title
from equiaudit.representations.image import Image
from equiaudit.symmetry import Symmetry

ROWS = 16
"""Random rows of features."""
COARSE = 1e-3
"""A relative residual that no rounding explains, in single precision."""
PIXELS = 17
"""Height and width of random images: odd, so that a stride of 2 keeps the centre."""


def check_site(name: str, layer: nn.Module, site: LinearSite) -> None:
    """Raise where a layer is not equivariant under the representations of its site.

    Raises:
        RelaxationError: the layer, the representations, and by how much the claim fails.
    """
    if site.convolution is not None and site.fold is None and site.example is None:
        return  # turns of a grid that are no permutation of its pixels: no layer is exact there
    if any(p.is_meta for p in layer.parameters()):
        raise RelaxationError(
            f"{title(name)} is on the meta device and has no values to try its declaration on; give it values first, or "
            "check=False"
        )
    symmetry, inputs, forward = _trial(layer, site)
    try:
        found = audit(layer, inputs, symmetry, forward=forward, derivative="off")
    except Exception as error:  # the layer's own: whatever it raises, it could not be tried
        raise RelaxationError(
            f"{title(name)} could not be tried with random features {list(inputs.shape)}: {type(error).__name__}: {error}; "
            "correct the declaration, let an adapter give example=, or give check=False"
        ) from error
    off = found.error if found.verdict is Verdict.BROKEN else None
    if found.verdict is Verdict.VACUOUS:  # inputs that the group does not move: what comes out must not move either
        off = _moved(layer, site, symmetry, inputs, forward)
    if found.verdict in (Verdict.BROKEN, Verdict.INVALID) or (off or 0.0) > COARSE:
        size = f" (relative error {off:.1e})" if off else ""
        raise RelaxationError(
            f"{title(name)} ({type(layer).__name__}) is not equivariant from {site.rep_in!r} to {site.rep_out!r} under "
            f"{site.group!r}{size}: {found.reason or found.verdict.value}; correct the declaration, or give check=False"
        )


@torch.no_grad()
def _moved(layer: nn.Module, site: LinearSite, symmetry: Symmetry, inputs: Tensor, forward: Any) -> float:
    out = layer(inputs) if forward is None else forward(layer, inputs)
    size = float(out.norm()) or 1.0
    elements = [site.group.sample(0), *(site.group.generator(name) for name in site.group.discrete)]
    return max(float((out - symmetry.act_on_outputs(g, out)).norm()) / size for g in elements)


def _trial(layer: nn.Module, site: LinearSite) -> tuple[Symmetry, Tensor, Any]:
    weights = [p for p in layer.parameters() if p.is_floating_point() or p.is_complex()]
    like = weights[0] if weights else torch.empty(0)
    generator = torch.Generator().manual_seed(0)
    shape: tuple[int, ...]
    forward: Any
    if site.convolution is not None:
        d = len(site.convolution.kernel)
        grid = tuple(range(-d, 0))
        shape = (2, site.dim_in, *(PIXELS,) * d)
        symmetry = Symmetry(site.group, Image(grid, channels=site.rep_in), Image(grid, channels=site.rep_out))
        forward = None
    else:
        shape = (ROWS, site.dim_in)
        symmetry = Symmetry(site.group, site.rep_in, site.rep_out)
        forward = _Flat(site)
    if site.example is not None:
        arguments = site.example(layer, generator)
        features = site.read(arguments[0]).detach()
        flat = len(site.shape_in) > 1 and site.convolution is None
        return symmetry, features.flatten(-len(site.shape_in)) if flat else features, _Example(site, arguments)
    wide = torch.complex128 if like.is_complex() else torch.float64
    inputs = torch.randn(shape, generator=generator, dtype=wide).to(like.device, like.dtype)
    return symmetry, inputs, forward


class _Flat:
    """Call a layer with flattened features."""

    def __init__(self, site: LinearSite) -> None:
        self.site = site

    def __call__(self, layer: nn.Module, x: Tensor) -> Tensor:
        """From [rows, dim_in] to [rows, dim_out]."""
        out = self.site.read(
            self.call(layer, x.unflatten(-1, self.site.shape_in) if len(self.site.shape_in) > 1 else x)
        )
        if self.site.convolution is not None:
            return out
        if len(self.site.shape_out) > 1:
            out = out.flatten(-len(self.site.shape_out))
        if not isinstance(out, Tensor) or out.shape[-1] != self.site.dim_out:
            got = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise RelaxationError(f"it returned {got}, declared are {self.site.dim_out} features")
        return out

    def call(self, layer: nn.Module, x: Tensor) -> Any:
        """The layer on features in their own shape."""
        return layer(x)


class _Example(_Flat):
    """Call a layer with the arguments of an example, whose first one holds the given features."""

    def __init__(self, site: LinearSite, arguments: tuple[Any, ...]) -> None:
        super().__init__(site)
        self.arguments = arguments

    def call(self, layer: nn.Module, x: Tensor) -> Any:
        """The layer on these features and the other arguments."""
        real = torch.float64 if x.dtype in (torch.float64, torch.complex128) else torch.float32
        first, *others = cast_inputs(self.arguments, real)
        first = x if isinstance(first, Tensor) else self.site.write(first, x - self.site.read(first))
        return layer(first, *others)
