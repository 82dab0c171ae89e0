"""Published networks of demucs: options here and there, and digests of their tensor layouts.

The digests are those of demucs 4.1.0's networks, which
:mod:`tests.model_zoo.architectures.test_demucs_peer` computes again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

FOUR = ("drums", "bass", "other", "vocals")
SIX = (*FOUR, "guitar", "piano")


@dataclass(frozen=True)
class Published:
    """A published network.

    Attributes:
        architecture: name here.
        digest: of names and shapes of its tensors.
        tensors: their number.
        stems: names of the stems.
        options: other options here that are not the default.
        peer: arguments in demucs 4.1.0 that are not its default.
    """

    architecture: str
    digest: str
    tensors: int
    stems: tuple[str, ...] = FOUR
    options: Mapping[str, Any] = field(default_factory=dict)
    peer: Mapping[str, Any] = field(default_factory=dict)


PUBLISHED = {
    "htdemucs": Published(
        "htdemucs",
        "8c996cf372493c29",
        533,
        peer={"bottom_channels": 512, "dconv_mode": 3, "segment": 7.8},
    ),
    "htdemucs_6s": Published(
        "htdemucs",
        "42d93a7e64ca766c",
        525,
        stems=SIX,
        options={"bottom_channels": None},
        peer={"dconv_mode": 3, "segment": 7.8},
    ),
    "hdemucs_mmi": Published("hdemucs", "2f42ea410e0b1968", 395),
    "mdx_extra": Published(
        "hdemucs", "a99b1c4bcc2c4c1b", 395, options={"output": "magnitude"}, peer={"cac": False}
    ),
}
"""``mdx_extra`` stands for the two of its four networks that estimate magnitudes."""


def digest(network: nn.Module) -> str:
    """The first digits of the SHA-256 of names and shapes of all tensors."""
    tensors = sorted(network.state_dict().items())
    lines = [f"{name} {tuple(tensor.shape)}" for name, tensor in tensors]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
