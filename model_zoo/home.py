"""Finds the user's data folder, also for users without a home folder, as in containers."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from model_zoo.errors import OutputError


def has_home() -> bool:
    """Whether the system knows a home folder of this user."""
    return os.path.isabs(os.path.expanduser("~"))


def data_folder() -> Path:
    """The platform's folder for data of this program; without a home, a folder in a temporary one.

    Raises:
        OutputError: as :func:`temporary_home`.
    """
    try:
        folder = platformdirs.user_data_path("stem", False)
    except RuntimeError:  # without a home newer versions raise, and older ones leave the "~"
        folder = Path()
    return folder if folder.is_absolute() else temporary_home() / ".local" / "share" / "stem"


def temporary_home() -> Path:
    """A private folder of this user below the temporary folder; made if needed.

    Raises:
        OutputError: there is no temporary folder, or something of another user is in the way.
    """
    number = os.getuid() if hasattr(os, "getuid") else "user"  # not on Windows
    try:
        folder = Path(tempfile.gettempdir()) / f"stem-home-{number}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise OutputError(
            f"There is no home folder, and none can be made ({error.strerror or error}). Set HOME"
            " or TMPDIR to a folder that may be written"
        ) from error
    # Anybody may make a folder of that name first, and put files into it.
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or not is_private):
        raise OutputError(f"{folder} belongs to somebody else. Set HOME to a folder of your own")
    return folder
