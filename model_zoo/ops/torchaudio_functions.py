"""torchaudio's functions of pure PyTorch: ``functional`` and ``transforms``.

Import them from here and nowhere else::


torchaudio ended at 2.11. Its wheel holds a compiled part that is linked to one version of CUDA, so
that ``import torchaudio`` fails beside a torch for CPUs or for another CUDA. Mel filter banks,
resampling and the phase vocoder need none of it: here an empty module stands in its place while the
package is imported. A program that has imported torchaudio before keeps what it has.

torchaudio is imported when one of the two is asked for. Sound files never go through it.
"""

from __future__ import annotations

import sys
from types import ModuleType

from model_zoo.errors import MissingExtraError

OFFERED = ("functional", "transforms")


def __getattr__(name: str) -> ModuleType:
    """A module of torchaudio, imported when it is first asked for (PEP 562).

    Raises:
        AttributeError: ``name`` is none of the two.
        MissingExtraError: torchaudio is not installed.
    """
    if name not in OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module: ModuleType = getattr(_torchaudio(), name)
    return module


def _torchaudio() -> ModuleType:
    if "torchaudio" not in sys.modules:
        sys.modules.setdefault("torchaudio._extension", _no_extension())
    try:
        import torchaudio
    except ModuleNotFoundError as error:
        if error.name != "torchaudio":
            raise
        raise MissingExtraError("torchaudio", "train") from error
    return torchaudio


def _no_extension() -> ModuleType:
    """What torchaudio 2.9 to 2.11 ask of their compiled part, with the answer that it is missing.

    Forced alignment, which is decorated with ``fail_if_no_align``, fails when it is called.
    """
    module = ModuleType("torchaudio._extension", "Stands in for the compiled part.")
    vars(module).update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=lambda call: call)
    return module
