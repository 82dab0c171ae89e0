"""Base of network parts that contribute losses of their own to training."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn


class HasAuxiliaryLoss(nn.Module):
    """Module with losses that are computed in its forward pass; comes before other bases.

    Attributes:
        losses: losses of the last training forward pass, by name; empty before the first, and in
            copies.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.losses: dict[str, Float[Tensor, ""]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # The graph behind a loss can be neither copied nor pickled.
        return {**self.__dict__, "losses": {}}
