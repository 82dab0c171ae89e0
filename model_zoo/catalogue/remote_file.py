"""A file of public weights: addresses, size and checksum."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from model_zoo.config import Config

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile(Config):
    """A file that can be downloaded and checked.

    Attributes:
        url: address, pinned to a revision where the host has revisions.
        sha256: SHA-256 of the content, in lower-case hexadecimal.
        size: size in bytes; 0 if it is not known.
        mirrors: more addresses of the same content, in the order in which they are tried.
        largest: most bytes that are accepted if the size is not known; 0 for the usual limit.
    """

    url: str
    sha256: str
    size: int = 0
    mirrors: tuple[str, ...] = ()
    largest: int = 0

    @property
    def name(self) -> str:
        """Last part of the address, without its query."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, in the order in which they are tried."""
        return (self.url, *self.mirrors)

    def mistakes(self) -> list[str]:
        """Rules for the fields, and the sentence about each that is broken."""
        wrong = [
            f"{address!r} is not an http or https address of a file"
            for address in self.addresses
            if urlsplit(address).scheme not in {"http", "https"} or not self.name
        ]
        if not SHA256.fullmatch(self.sha256):
            wrong.append("sha256 must be 64 hexadecimal digits")
        sizes = {"size": self.size, "largest": self.largest}
        wrong += [
            f"{key} must not be negative, found {size}" for key, size in sizes.items() if size < 0
        ]
        return wrong
