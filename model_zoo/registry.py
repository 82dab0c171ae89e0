"""Registry of architectures: name to class.

To add an architecture, write its file and add a row here. The table holds strings, so that one name
imports one architecture, and the list of names imports none, nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from model_zoo.errors import UnknownNameError

if TYPE_CHECKING:
    from model_zoo.separator import Role, Separator

ARCHITECTURES: dict[str, str] = {
    "melroformer": "model_zoo.architectures.melroformer:MelRoFormer",
    "melrnn": "model_zoo.architectures.melrnn:MelRNN",
    "melunet": "model_zoo.architectures.melunet:MelUNet",
    "mel_band_roformer": "model_zoo.architectures.band_split_roformer:MelBandRoFormer",
    "bs_roformer": "model_zoo.architectures.band_split_roformer:BSRoFormer",
    "frame_transformer": "model_zoo.architectures.frame_transformer:FrameTransformerSeparator",
    "phase_predictor": "model_zoo.architectures.frame_transformer:PhasePredictorSeparator",
    "vq_frame_transformer": (
        "model_zoo.architectures.vq_frame_transformer:VQFrameTransformerSeparator"
    ),
    "spectrogram_net_simple": (
        "model_zoo.architectures.spectrogram_separators:SpectrogramNetSimpleSeparator"
    ),
    "spectrogram_net_lstm": (
        "model_zoo.architectures.spectrogram_separators:SpectrogramNetLSTMSeparator"
    ),
    "spectrogram_net_vae": (
        "model_zoo.architectures.spectrogram_separators:SpectrogramNetVAESeparator"
    ),
    "tfswa_unet": "model_zoo.architectures.tfswa_unet:TFSWAUNetSeparator",
    "tfswa_resunet": "model_zoo.architectures.tfswa_resunet:TFSWAResUNetSeparator",
    "multi_scale_tfswa": "model_zoo.architectures.multi_scale_tfswa:MultiScaleTFSWASeparator",
    "open_unmix": "model_zoo.architectures.open_unmix:OpenUnmix",
    "spleeter": "model_zoo.architectures.spleeter:Spleeter",
    "hdemucs": "model_zoo.architectures.hdemucs:HDemucs",
    "htdemucs": "model_zoo.architectures.htdemucs:HTDemucs",
    "scnet": "model_zoo.architectures.scnet:SCNet",
    "mdx23c": "model_zoo.architectures.mdx23c:MDX23C",
    "lightweight_tfswa": "model_zoo.architectures.tfswa_unet:LightweightTFSWASeparator",
}

ROLES: dict[str, Role] = {"phase_predictor": "phase", "vq_frame_transformer": "codes"}
"""Roles of architectures that do not output stems; their classes have them too."""


def role(name: str) -> Role:
    """Role of the networks of an architecture: their kind of output.

    Args:
        name: name of an architecture; unknown ones are taken to output stems.
    """
    return ROLES.get(name, "stems")


def architecture(name: str) -> type[Separator]:
    """Import the class of an architecture.

    Raises:
        UnknownNameError: no architecture has this name.
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError("architecture", name, ARCHITECTURES)
    module, _, attribute = ARCHITECTURES[name].partition(":")
    return getattr(import_module(module), attribute)


def name_of(separator: Separator) -> str:
    """Name under which the class of a separator is registered.

    Raises:
        UnknownNameError: the class is not registered.
    """
    kind = type(separator)
    location = f"{kind.__module__}:{kind.__qualname__}"
    for name, entry in ARCHITECTURES.items():
        if entry == location:
            return name
    raise UnknownNameError("architecture class", location, ARCHITECTURES.values())


def build(name: str, config: Mapping[str, Any]) -> Separator:
    """Build a network with random weights.

    Args:
        name: a key of :data:`ARCHITECTURES`.
        config: options of the architecture, e.g. from a recipe or a safetensors file.

    Raises:
        UnknownNameError: no architecture has this name.
        ConfigError: ``config`` has unknown or contradictory values; the message names all.
    """
    kind = architecture(name)
    return kind.from_config(kind.Config.from_dict(config))
