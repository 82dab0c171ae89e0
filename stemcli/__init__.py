"""Separate songs into stems.

>>> from stemcli import separate
>>> separate("song.mp3", model="melroformer").outputs  # doctest: +SKIP
{'vocals': PosixPath('separated/song/vocals.wav'), ...}

Importing this package loads neither torch nor numpy: the names below are resolved when used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_zoo.errors import (
        AudioError,
        ConfigError,
        DecodeError,
        DeviceError,
        EncodeError,
        FfmpegMissingError,
        MissingExtraError,
        NoModelError,
        NumericalError,
        OutOfMemoryError,
        OutputError,
        StemError,
        StorageError,
        UnknownNameError,
        UsageError,
        WeightsError,
    )
    from stemcli.engine.awaited import (
        separate_async,
    )
    from stemcli.engine.events import (
        DownloadProgress,
        Event,
        ModelLoaded,
        Notice,
        Progress,
        TrackFailed,
        TrackFinished,
        TrackSkipped,
        TrackStarted,
    )
    from stemcli.engine.options import (
        Options,
    )
    from stemcli.engine.separate import (
        separate,
    )
    from stemcli.engine.session import (
        Session,
    )
    from stemcli.engine.song import (
        Result,
    )

    __version__: str

_HOMES = {
    "AudioError": "model_zoo.errors",
    "ConfigError": "model_zoo.errors",
    "DecodeError": "model_zoo.errors",
    "DeviceError": "model_zoo.errors",
    "DownloadProgress": "stemcli.engine.events",
    "EncodeError": "model_zoo.errors",
    "Event": "stemcli.engine.events",
    "FfmpegMissingError": "model_zoo.errors",
    "MissingExtraError": "model_zoo.errors",
    "ModelLoaded": "stemcli.engine.events",
    "NoModelError": "model_zoo.errors",
    "Notice": "stemcli.engine.events",
    "NumericalError": "model_zoo.errors",
    "Options": "stemcli.engine.options",
    "OutOfMemoryError": "model_zoo.errors",
    "OutputError": "model_zoo.errors",
    "Progress": "stemcli.engine.events",
    "Result": "stemcli.engine.song",
    "Session": "stemcli.engine.session",
    "StemError": "model_zoo.errors",
    "StorageError": "model_zoo.errors",
    "TrackFailed": "stemcli.engine.events",
    "TrackFinished": "stemcli.engine.events",
    "TrackSkipped": "stemcli.engine.events",
    "TrackStarted": "stemcli.engine.events",
    "UnknownNameError": "model_zoo.errors",
    "UsageError": "model_zoo.errors",
    "WeightsError": "model_zoo.errors",
    "separate": "stemcli.engine.separate",
    "separate_async": "stemcli.engine.awaited",
}

__all__ = [
    "AudioError",
    "ConfigError",
    "DecodeError",
    "DeviceError",
    "DownloadProgress",
    "EncodeError",
    "Event",
    "FfmpegMissingError",
    "MissingExtraError",
    "ModelLoaded",
    "NoModelError",
    "Notice",
    "NumericalError",
    "Options",
    "OutOfMemoryError",
    "OutputError",
    "Progress",
    "Result",
    "Session",
    "StemError",
    "StorageError",
    "TrackFailed",
    "TrackFinished",
    "TrackSkipped",
    "TrackStarted",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "separate",
    "separate_async",
]


if not TYPE_CHECKING:  # a type checker would take every name for one of these

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from stemcli.version import public_version

            return public_version()
        if name not in _HOMES:
            raise AttributeError(f"module 'stemcli' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
