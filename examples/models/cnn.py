"""A convolutional network with escnn: steerable under quarter turns, as far as the pixel grid allows."""

from __future__ import annotations

from escnn import gspaces
from escnn import nn as enn
from torch import Tensor, nn


class RotationCNN(nn.Module):
    """Maps of features of an RGB image [batch, 3, size, size], downsampled twice by convolutions with stride 2.

    A convolution with stride 2 keeps the pixels 0, 2, 4, …. On an odd size these are symmetric about the centre of the
    image; on an even size the last column is never a centre, and after a quarter turn others are kept.
    """

    def __init__(self) -> None:
        super().__init__()
        turns = gspaces.rot2dOnR2(4)
        self.in_type = enn.FieldType(turns, 3 * [turns.trivial_repr])
        hidden = enn.FieldType(turns, 8 * [turns.regular_repr])
        self.out_type = enn.FieldType(turns, 2 * [turns.irrep(1)])  # two channels of plane vectors
        self.body = enn.SequentialModule(
            enn.R2Conv(self.in_type, hidden, kernel_size=5, padding=2),
            enn.ReLU(hidden),
            enn.R2Conv(hidden, hidden, kernel_size=3, padding=1, stride=2),
            enn.ReLU(hidden),
            enn.R2Conv(hidden, hidden, kernel_size=3, padding=1, stride=2),
            enn.ReLU(hidden),
            enn.R2Conv(hidden, self.out_type, kernel_size=3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.body(enn.GeometricTensor(image, self.in_type)).tensor
