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
    from stemcli.engine.events import (
        Event,
        ModelLoaded,
        Notice,
        Progress,
        TrackFailed,
        TrackFinished,
        TrackSkipped,
        TrackStarted,
    )
    from stemcli.engine.options import Options
    from stemcli.engine.session import Session, separate
    from stemcli.engine.song import Result

_HOMES = {
    "Event": "stemcli.engine.events",
    "ModelLoaded": "stemcli.engine.events",
    "Notice": "stemcli.engine.events",
    "Options": "stemcli.engine.options",
    "Progress": "stemcli.engine.events",
    "Result": "stemcli.engine.song",
    "Session": "stemcli.engine.session",
    "TrackFailed": "stemcli.engine.events",
    "TrackFinished": "stemcli.engine.events",
    "TrackSkipped": "stemcli.engine.events",
    "TrackStarted": "stemcli.engine.events",
    "separate": "stemcli.engine.session",
}

__all__ = [
    "Event",
    "ModelLoaded",
    "Notice",
    "Options",
    "Progress",
    "Result",
    "Session",
    "TrackFailed",
    "TrackFinished",
    "TrackSkipped",
    "TrackStarted",
    "separate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stemcli' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
