"""What is sent to other machines to look around there.

The code itself travels, so that a machine without this package answers too. So nothing of ours may
be imported here but inside of functions, and beside the version only where that is the same.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata, util
from typing import Any

PATIENCE = 5.0
"""Seconds for a file to be seen on another machine; network file systems may be late."""

Answer = dict[str, Any]
"""``python``, ``ray`` and ``stem`` are versions, the last empty where it is not installed;
``lacking`` are packages that are not installed; ``missing`` are data that are not there, ``blind``
says that the place is another one, and ``refusal`` is why it cannot be written."""

NEEDED = ("fsspec", "numpy", "pyarrow", "scipy", "soundfile", "tensorboard", "torch")
"""Packages without which a worker would end at once."""


def look(ours: str, paths: Sequence[str], place: str, marker: str, own: str) -> Answer:
    """Say what this machine is and sees.

    Args:
        ours: version of the package on the machine that asks; another one ends the look.
        paths: data that should be there.
        place: where the run writes.
        marker: name of a file that lies in it.
        own: name of a file that this machine may write in it and removes again.
    """
    import ray

    answer: Answer = {
        "python": platform.python_version(),
        "ray": ray.__version__,
        "stem": _version(),
        "lacking": [name for name in NEEDED if util.find_spec(name) is None],
        "missing": [],
        "blind": False,
        "refusal": "",
    }
    if answer["stem"].rpartition("+")[2] == ours.rpartition("+")[2]:
        answer["missing"] = [path for path in paths if not os.path.exists(path)]
        in_place = _look_at_url if "://" in place else _look_at_folder
        answer["blind"], answer["refusal"] = in_place(place, marker, own)
    return answer


def _version() -> str:
    spec = util.find_spec("stemcli")
    if spec is None or not spec.origin:
        return ""
    try:
        from stemcli.version import version

        return version()
    except ImportError:
        pass
    try:
        return metadata.version("stemcli")
    except metadata.PackageNotFoundError:
        return "of a source folder"


def _look_at_folder(place: str, marker: str, own: str) -> tuple[bool, str]:
    end = time.monotonic() + PATIENCE
    while not os.path.exists(os.path.join(place, marker)):
        if time.monotonic() > end:
            return True, ""
        time.sleep(0.2)
    path = os.path.join(place, own)
    try:
        with open(path, "x") as file:
            file.write(platform.node())
        os.unlink(path)
    except OSError as error:
        return False, error.strerror or type(error).__name__
    return False, ""


def _look_at_url(place: str, marker: str, own: str) -> tuple[bool, str]:
    import tempfile
    from pathlib import Path

    from model_zoo.errors import StemError
    from stemcli.batch.url_path import UrlPath

    folder = UrlPath(place)
    try:
        if not (folder / marker).exists():
            return True, ""
        with tempfile.NamedTemporaryFile() as file:
            (folder / own).store(Path(file.name))
        (folder / own).unlink()
    except (StemError, OSError) as error:
        return False, str(error)
    return False, ""
