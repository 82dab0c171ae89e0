"""A bucket as output of runs."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from stemcli.remote_path import UrlPath


@pytest.fixture
def bucket(s3_client: Any) -> UrlPath:
    """An empty bucket."""
    name = f"runs-{uuid4().hex}"
    s3_client.create_bucket(Bucket=name)
    return UrlPath(f"s3://{name}")
