"""Parts of a network that find something wrong with themselves while they learn."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn


class HasAuxiliaryLoss(nn.Module):
    """Base of such a part; it stands before other bases.

    Attributes:
        losses: what the last forward pass in training found, by name; empty before the first, and
            in a copy.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.losses: dict[str, Float[Tensor, ""]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # The graph behind a loss can be neither copied nor pickled.
        return {**self.__dict__, "losses": {}}
