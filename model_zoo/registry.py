"""Names of architectures and the classes behind them.

The table holds strings, so that asking for a name imports one architecture and not all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from model_zoo.errors import UnknownNameError
from model_zoo.separator import Separator

ARCHITECTURES: dict[str, str] = {
    "melroformer": "model_zoo.architectures.mel_roformer:MelRoFormer",
    "melrnn": "model_zoo.architectures.mel_rnn:MelRNN",
    "melunet": "model_zoo.architectures.mel_unet:MelUNet",
    "frame_transformer": "model_zoo.architectures.frame_transformer:FrameTransformerSeparator",
    "phase_predictor": "model_zoo.architectures.phase_predictor:PhasePredictorSeparator",
    "vq_frame_transformer": "model_zoo.architectures.frame_quantiser:VQFrameTransformerSeparator",
}


def architecture(name: str) -> type[Separator]:
    """The class behind ``name``.

    Raises:
        UnknownNameError: no architecture has this name.
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError("architecture", name, ARCHITECTURES)
    module, _, attribute = ARCHITECTURES[name].partition(":")
    return getattr(import_module(module), attribute)


def name_of(separator: Separator) -> str:
    """The name under which the class of ``separator`` is registered.

    Raises:
        UnknownNameError: the class is in no row of the table.
    """
    kind = type(separator)
    place = f"{kind.__module__}:{kind.__qualname__}"
    for name, entry in ARCHITECTURES.items():
        if entry == place:
            return name
    raise UnknownNameError("architecture class", place, ARCHITECTURES.values())


def build(name: str, config: Mapping[str, Any]) -> Separator:
    """A network with fresh random weights.

    Args:
        name: a key of :data:`ARCHITECTURES`.
        config: values for the constructor, e.g. from a recipe or a safetensors file.

    Raises:
        UnknownNameError: no architecture has this name.
        ConfigError: ``config`` has unknown or contradictory values, all of them named.
    """
    kind = architecture(name)
    return kind.from_config(kind.Config.from_dict(config))
