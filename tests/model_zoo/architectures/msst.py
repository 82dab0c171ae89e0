"""Networks of Music-Source-Separation-Training (msst 0.1.0), to compare with ours."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

WITHOUT_WINDOW = "ignore:A window was not provided:UserWarning"
"""The STFT of SCNet has no window, of which torch warns."""


def scnet(**options: Any) -> nn.Module:
    """SCNet with the authors' names of options; theirs have the defaults of ours."""
    return import_module("msst.models.scnet.scnet").SCNet(**options)


def scnet_masked(**options: Any) -> nn.Module:
    """SCNet whose output is a mask."""
    return import_module("msst.models.scnet.scnet_masked").SCNet(**options)


def mdx23c(audio: Mapping[str, Any], model: Mapping[str, Any], stems: int) -> nn.Module:
    """MDX23C with the sections of its configuration file."""
    training = {"instruments": [str(number) for number in range(stems)], "target_instrument": None}
    sections = {
        "audio": SimpleNamespace(**audio),
        "model": SimpleNamespace(**model),
        "training": SimpleNamespace(**training),
    }
    net: nn.Module = import_module("msst.models.mdx23c_tfc_tdf_v3").TFC_TDF_net(
        SimpleNamespace(**sections)
    )
    return net


def perturb(network: nn.Module) -> nn.Module:
    """Move every tensor from where it began, so that no gain is 1 and no bias 0.

    Parameters move both ways, so that no level grows from layer to layer; statistics only upwards,
    because variances are among them.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            size = value.std(unbiased=False).clamp_min(0.1)
            value.add_(size * (torch.rand(value.shape, generator=generator) - 0.5))
        for name, value in network.state_dict().items():
            if "running" in name:
                value.add_(torch.rand(value.shape, generator=generator))
    return network.eval()


def relative_error(estimate: Tensor, reference: Tensor) -> float:
    """Norm of the difference over that of the reference."""
    assert estimate.shape == reference.shape
    return float((estimate - reference).norm() / reference.norm())
