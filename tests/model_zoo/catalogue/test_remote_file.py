"""Addresses, sizes and checksums of public files, by hand-written examples."""

from __future__ import annotations

from typing import Any

import pytest

from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.errors import ConfigError

SHA = "ab" * 32


def test_the_name_is_the_last_part_of_the_path() -> None:
    file = RemoteFile(
        "https://host/a%20b/x%2By.ckpt?download=true#part", SHA, mirrors=("http://m/z",)
    )
    assert file.name == "x+y.ckpt"
    assert file.addresses == (file.url, "http://m/z")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "ftp://host/file"}, "not an http or https address"),
        ({"url": "https://host/"}, "not an http or https address"),
        ({"mirrors": ("file:///etc/passwd",)}, "not an http or https address"),
        ({"sha256": SHA.upper()}, "64 hexadecimal digits"),
        ({"size": -1}, "size must not be negative, found -1"),
        ({"largest": -1}, "largest must not be negative, found -1"),
    ],
)
def test_bad_values_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RemoteFile(**{"url": "https://host/file", "sha256": SHA, **changes})
