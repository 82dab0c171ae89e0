"""Helpers to write and read texts in a bucket."""

from __future__ import annotations

from stemcli.remote_path import UrlPath


def put(path: UrlPath, text: str) -> UrlPath:
    with path.open("wb") as file:
        file.write(text.encode())
    return path


def get(path: UrlPath) -> str:
    with path.open("rb") as file:
        return bytes(file.read()).decode()
