"""Rotation of neighbouring features: how a position is written into a query or a key.

Su et al. 2021 (arXiv 2104.09864), equation 34.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rotate_pairs(
    x: Float[Tensor, "*batch token feature"],
    cos: Float[Tensor, "token pair"],
    sin: Float[Tensor, "token pair"],
) -> Float[Tensor, "*batch token feature"]:
    """Turn each pair of features (2i, 2i+1) of each token by its own angle.

    Args:
        x: an even number of features.
        cos: of the angles.
        sin: of the angles.
    """
    even, odd = torch.unflatten(x, -1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2)
