"""Downloads files over HTTP and HTTPS with the standard library, as streams.

Proxies are those of the environment (``https_proxy``, ...), certificates those of the system.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    UnknownHandler,
)

from model_zoo.errors import StorageError, UsageError, first_line
from stemcli.printable import cut_name, portable, portable_name, shown_url
from stemcli.process import Closing

TIMEOUT = 30.0
"""Seconds without an answer or data until a download fails."""

BLOCK = 2**16  # bytes

# Only HTTP: a server must not redirect to a file of this machine or to another protocol.
_HANDLERS = (
    ProxyHandler,
    HTTPHandler,
    HTTPSHandler,
    HTTPRedirectHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    UnknownHandler,
)

_NOT_PUBLIC = (401, 402, 403, 407)
_GONE = (404, 410)
_BUSY = (408, 425, 429)


def url_name(url: str) -> str:
    """The file name at the end of a URL, safe on every file system; empty if there is none."""
    return _safe_name(unquote(urlsplit(url).path.rpartition("/")[2]))


def encoded_url(url: str) -> str:
    """The URL in ASCII; what is percent-encoded already stays as it is.

    Raises:
        UsageError: the URL has no host, or an invalid one.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError as error:  # UnicodeError is one too
        raise UsageError(f"{shown_url(url)} is not a valid URL ({first_line(error)})") from error
    if not host:
        raise UsageError(f"{shown_url(url)} is not a valid URL: it names no server")
    host = f"[{host}]" if ":" in host else host
    path, query = (quote(part, safe="/%:@!$&'()*+,;=~?") for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme.lower(), f"{host}:{port}" if port else host, path, query, ""))


class WebFile(Closing):
    """A file on a web server, opened for reading; a context manager.

    Args:
        url: with the scheme http or https.

    Attributes:
        name: file name that the server suggests; empty if it suggests none.
        size: in bytes; None if the server does not state it.

    Raises:
        UsageError: the URL is malformed.
        StorageError: the server cannot be reached or refuses the file.
    """

    def __init__(self, url: str) -> None:
        self._shown = shown_url(url)
        encoded = encoded_url(url)
        with _explain_connection(encoded, self._shown):
            self._response: HTTPResponse = _opener().open(encoded, timeout=TIMEOUT)
        self.size = self._response.length
        self.name = _safe_name(_suggested_name(self._response))

    def close(self) -> None:
        """Close the connection."""
        self._response.close()

    def blocks(self) -> Iterator[bytes]:
        """The content.

        Raises:
            StorageError: the connection broke before the end.
        """
        done = 0
        while block := self._read(done):
            done += len(block)
            yield block
        if self.size is not None and done < self.size:
            raise self._cut_off(done, "the connection was closed")

    def _read(self, done: int) -> bytes:
        try:
            return self._response.read(BLOCK)
        except TimeoutError as error:
            raise self._cut_off(done, f"no data for {TIMEOUT:g} seconds") from error
        except (OSError, HTTPException) as error:
            raise self._cut_off(done, first_line(error)) from error

    def _cut_off(self, done: int, reason: str) -> StorageError:
        of = f" of {self.size:,}" if self.size is not None else ""
        return StorageError(
            f"The download of {self._shown} stopped after {done:,}{of} bytes ({reason}). "
            "Run it again"
        )


def _opener() -> OpenerDirector:
    opener = OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "stem"), ("Accept", "audio/*, video/*, */*")]
    return opener


@contextmanager
def _explain_connection(url: str, shown: str) -> Iterator[None]:
    """Turn errors of urllib into one sentence."""
    host = urlsplit(url).netloc
    try:
        yield
    except HTTPError as error:
        with error:
            raise _refusal(error, shown) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise StorageError(_no_connection(reason, host, shown)) from error


def _refusal(error: HTTPError, shown: str) -> StorageError:
    """The error for an answer other than the file."""
    answer = f"{error.code} {first_line(error.reason)}"
    if error.code in _GONE:
        return StorageError(f"There is no file at {shown} ({answer}). Check the URL")
    if error.code in _NOT_PUBLIC:
        return StorageError(
            f"{shown} is not public ({answer}). Download it after logging in, and use the file"
        )
    if error.code in _BUSY or error.code >= 500:
        return StorageError(f"The server cannot give {shown} now ({answer}). Try again later")
    if 300 <= error.code < 400:
        return StorageError(f"{shown} redirects in a loop ({answer}). Use another URL")
    return StorageError(f"The server refuses {shown} ({answer}). Check the URL")


def _no_connection(reason: object, host: str, shown: str) -> str:
    """Why no server answered, in one sentence."""
    if isinstance(reason, socket.gaierror):
        problem = f"the server {host} was not found. Check the URL and the network"
    elif isinstance(reason, TimeoutError):
        problem = f"{host} did not answer within {TIMEOUT:g} seconds. Try again later"
    elif isinstance(reason, ConnectionRefusedError):
        problem = f"{host} refuses the connection. Check the URL"
    elif isinstance(reason, ssl.SSLError):
        problem = f"no secure connection to {host} ({reason.reason or reason}). Check the URL"
    else:
        problem = f"{first_line(reason)}. Check the URL and the network"
    return f"{shown} cannot be downloaded: {problem}"


def _suggested_name(response: HTTPResponse) -> str:
    """The file name in ``Content-Disposition`` (RFC 6266); many servers send UTF-8 as Latin-1."""
    name = response.headers.get_filename() or ""
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return name


def _safe_name(name: str) -> str:
    """A file name that is valid everywhere, cut so that stems named after it are valid too."""
    return cut_name(portable_name(portable(name)))
