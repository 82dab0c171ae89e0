"""A bucket as output of runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from stemcli.remote_path import UrlPath


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[UrlPath]:
    """A bucket of a local S3 server (moto)."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    boto3.client("s3").create_bucket(Bucket="runs")
    yield UrlPath("s3://runs")
    server.stop()
