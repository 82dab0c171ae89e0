"""Songs that the user names one by one: files, URLs, and ``-`` for standard input."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from model_zoo.errors import StemError, UsageError
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import check_writable
from stemcli.engine.checks import check_request
from stemcli.engine.options import Options
from stemcli.engine.tag_fields import used_tag_fields
from stemcli.fetch import STDIN_NAME, copy_stdin, fetch, input_limit
from stemcli.printable import is_web, portable, shown_url
from stemcli.remote_path import absolute, as_path, refuse_password
from stemcli.streams import STANDARD_STREAM
from stemcli.web import encoded_url, url_name

Busy = Callable[[str], AbstractContextManager[object]]


@contextmanager
def named_songs(
    names: Sequence[str], options: Options, busy: Busy = nullcontext
) -> Iterator[list[LibrarySong]]:
    """The songs called ``names``; temporary copies are removed at the end.

    Standard input is read at once. A song at a URL of http or https is downloaded when it is
    separated, or at once if its stems are named after its tags, or if its URL has no file name.
    Options are checked before anything is read or downloaded.

    Args:
        names: as the user typed them.
        options: of the separation.
        busy: shows a sentence while something is read or downloaded at once.

    Raises:
        UsageError: standard input is named beside other songs or is a terminal, or a URL is
            malformed or has a password.
        StemError: standard input cannot be read, or the options are invalid.
    """
    texts = list(dict.fromkeys(names))
    if STANDARD_STREAM in texts and len(texts) > 1:
        raise UsageError(
            "- reads one song from standard input, so no other song can be named. Separate the "
            "others with a command of their own"
        )
    if not any(text == STANDARD_STREAM or is_web(text) for text in texts):
        yield _with_labels([*map(_file, texts)])
        return
    for text in filter(is_web, texts):
        refuse_password(text)
        encoded_url(text)
    input_limit()
    check_request(options)
    if options.output != STANDARD_STREAM:
        check_writable(as_path(options.output))
    with TemporaryDirectory(prefix="stem-", ignore_cleanup_errors=True) as root:
        folders = [Path(root) / str(number) for number in range(len(texts))]
        is_needed = bool(used_tag_fields(options.filename))
        locate = partial(_located, is_needed=is_needed, busy=busy)
        yield _with_labels([*map(locate, texts, folders)])


def _located(text: str, folder: Path, *, is_needed: bool, busy: Busy) -> LibrarySong:
    """A song, whose temporary copy is or will be in ``folder``.

    Args:
        text: as the user named the song.
        folder: does not exist yet.
        is_needed: whether the file is needed at once.
        busy: see :func:`named_songs`.
    """
    if text == STANDARD_STREAM:
        folder.mkdir()
        with busy("Reading the song on standard input"):
            copy_stdin(sys.stdin.buffer, folder / STDIN_NAME)
        return LibrarySong(folder / STDIN_NAME, origin=STDIN_NAME)
    if not is_web(text):
        return _file(text)
    folder.mkdir()
    name = url_name(text)
    song = LibrarySong(folder / (name or "download"), url=text, origin=shown_url(text))
    suggested = ""
    if is_needed or not name:
        try:
            with busy(f"Downloading {song.shown}"):
                suggested = fetch(text, song.path)
        except StemError as error:  # reported with the song, which does not stop the others
            song = replace(song, error=error)
    if name:
        return song
    host = portable((urlsplit(text).hostname or "").replace(".", "_"))
    named = song.path.with_name(suggested or host)
    path = song.path.replace(named) if song.path.exists() else named
    return replace(song, path=path, label="" if suggested else song.origin)


def _file(text: str) -> LibrarySong:
    """A local file, or a URL that is no web address."""
    path = as_path(text)
    # libsndfile takes "-", to which Path shortens "./-", for standard input.
    return LibrarySong(absolute(path) if str(path) == STANDARD_STREAM else path)


def _with_labels(songs: list[LibrarySong]) -> list[LibrarySong]:
    """Call songs with the same file name by their whole path or URL."""
    counts = Counter(song.name for song in songs)
    return [replace(song, label=song.shown) if counts[song.name] > 1 else song for song in songs]
