"""A bucket as output of runs."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer

from stemcli.remote_path import UrlPath


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of a local S3 server (moto): one for all tests, because fsspec remembers it."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> UrlPath:
    """An empty bucket."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_address,
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    bucket = f"runs-{uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return UrlPath(f"s3://{bucket}")
