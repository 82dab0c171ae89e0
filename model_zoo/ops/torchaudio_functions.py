"""The functions of torchaudio that are plain torch, without its compiled extension.

The wheel of torchaudio is linked to one version of CUDA, so that ``import torchaudio`` fails beside
any other build of torch. Nothing that is used here needs the extension; an empty module takes its
place before the import.
"""

from __future__ import annotations

import sys
from types import ModuleType

from model_zoo.errors import MissingExtraError

_EXTENSION = "torchaudio._extension"


def _stand_in() -> ModuleType:
    """What the rest of torchaudio asks of its extension."""
    module = ModuleType(_EXTENSION)
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    module.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
    return module


if "torchaudio" not in sys.modules:
    sys.modules[_EXTENSION] = _stand_in()
try:
    from torchaudio import functional
except ImportError as error:
    raise MissingExtraError("torchaudio", "train") from error

__all__ = ["functional"]
