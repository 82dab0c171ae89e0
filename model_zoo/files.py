"""Files that are either complete or absent, and the user's folders."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import platformdirs

from model_zoo.errors import OutputError

SUFFIX = ".safetensors"
"""Suffix of weights files."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a full disk, an exhausted quota, or a file larger than allowed."""

LONG_PATH = 220
"""Characters of a path above which its length is a reason for Windows to find no file.

Unless long paths are enabled, Windows takes 247 characters for a folder and 259 for a file
(https://learn.microsoft.com/windows/win32/fileio/maximum-file-path-limitation); the name of a
temporary file is up to 39 characters longer than that of the file.
"""

SETTINGS_VARIABLE = "STEM_CONFIG"
"""Environment variable that names the file of the user's settings."""

CACHE_VARIABLE = "STEM_CACHE"
"""Environment variable that names the folder of the cache."""

SETTINGS_NAME = "config.toml"
"""Name of that file in the configuration folder."""

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between attempts to replace a file that another program on Windows has open for a moment,
such as a virus scanner."""

_PORTS = (f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³")
WINDOWS_NAMES = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", *_PORTS})
"""Names that Windows reserves for devices, with any extension
(https://learn.microsoft.com/windows/win32/fileio/naming-a-file, "Naming Conventions")."""

CLOSE_PROGRAM = "Close the program that has it open"
"""Advice for :func:`is_in_use`."""

TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{32}\.part")
"""Names of files that :func:`staged` has not renamed yet."""


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that is renamed to ``path`` on success.

    The file gets the permissions of a new file; safetensors would leave it readable by its owner
    only.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        replace_file(temporary, path)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path} ({error.strerror or error}). {_advice(path, error)}"
        ) from error
    finally:
        _remove(temporary)


def replace_file(source: Path, target: Path) -> None:
    """Rename a file, replacing any file; on Windows, wait a moment for other programs."""
    for pause in PAUSES if os.name == "nt" else ():
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    source.replace(target)


def is_in_use(error: OSError) -> bool:
    """Whether another program may have the file open, which Windows reports as this error."""
    return os.name == "nt" and isinstance(error, PermissionError)


def is_too_long(path: Path, error: OSError) -> bool:
    """Whether ``path`` cannot be written because of its length."""
    if os.name == "nt" and error.errno == errno.ENOENT:
        return len(str(path.absolute())) >= LONG_PATH
    return error.errno == errno.ENAMETOOLONG


def remove_unfinished(folder: Path, is_ours: Container[str]) -> None:
    """Remove temporary files of :func:`staged` that a killed process left in ``folder``.

    No other process may be writing into the folder.

    Args:
        folder: the folder, without its subfolders.
        is_ours: names of files whose temporary files may be removed.
    """
    for path in folder.iterdir():
        found = TEMPORARY.fullmatch(path.name)
        if found and found["name"] in is_ours and path.is_file() and not path.is_symlink():
            _remove(path)


def _advice(path: Path, error: OSError) -> str:
    if is_too_long(path, error):
        return "Shorten the name, or choose a folder with a shorter path"
    if error.errno in NO_ROOM:
        return "Free some space there, or choose a folder on another disk"
    if is_in_use(error):
        return f"{CLOSE_PROGRAM}, or choose a writable folder"
    return "Choose a writable folder"


def sha256(path: Path) -> str:
    """SHA-256 of a file, in lower-case hexadecimal."""
    import hashlib  # loads OpenSSL, which --help does not need

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The folder could not be created or entered, so nothing is left in it.
        return


def is_reserved_on_windows(name: str) -> bool:
    """Whether Windows reserves a file name, such as ``aux.wav``, for a device."""
    return name.partition(".")[0].rstrip().upper() in WINDOWS_NAMES


def is_null_device(path: Path) -> bool:
    """Whether ``path`` is ``/dev/null``, or on Windows ``NUL`` or ``NUL:`` in any case."""
    name = str(path)
    return name == os.devnull or (
        os.name == "nt" and name.upper().removesuffix(":") in ("NUL", r"\\.\NUL")
    )


def has_home() -> bool:
    """Whether the user has a home folder."""
    return os.path.isabs(os.path.expanduser("~"))


def data_folder() -> Path:
    """The platform's data folder for this program; without a home, one in the temporary folder.

    Raises:
        OutputError: see :func:`temporary_home`.
    """
    return _platform_folder(platformdirs.user_data_path, Path(".local", "share", "stem"))


def cache_home() -> Path:
    """Folder of the cache: STEM_CACHE, or the platform's cache folder.

    Raises:
        OutputError: see :func:`temporary_home`.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(os.path.expanduser(named))
    return _platform_folder(platformdirs.user_cache_path, Path(".cache", "stem"))


def settings_file() -> Path:
    """File of the user's settings: STEM_CONFIG, or one in the platform's configuration folder.

    Raises:
        OutputError: see :func:`temporary_home`.
    """
    named = os.environ.get(SETTINGS_VARIABLE)
    if named:
        return Path(os.path.expanduser(named))
    folder = _platform_folder(platformdirs.user_config_path, Path(".config", "stem"))
    return folder / SETTINGS_NAME


def _platform_folder(find: Callable[..., Path], below_home: Path) -> Path:
    try:
        folder = find("stem", False)
    except RuntimeError:  # without a home, newer versions raise and older ones keep the "~"
        folder = Path()
    return folder if folder.is_absolute() else temporary_home() / below_home


def temporary_home() -> Path:
    """A private folder of this user in the temporary folder; created if needed.

    Raises:
        OutputError: there is no temporary folder, or the folder belongs to another user.
    """
    number = os.getuid() if hasattr(os, "getuid") else "user"  # not on Windows
    try:
        folder = Path(tempfile.gettempdir()) / f"stem-home-{number}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise OutputError(
            f"There is no home folder, and none can be created ({error.strerror or error}). "
            "Set HOME or TMPDIR to a writable folder"
        ) from error
    # Another user may have created a folder of that name with files in it.
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or not is_private):
        raise OutputError(f"{folder} belongs to another user. Set HOME to a folder of your own")
    return folder
