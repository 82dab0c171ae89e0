"""Settings for all tests: no deadlines, one thread, default signal handlers, real recordings.

The user's own settings of Stem do not apply: STEM_CONFIG names the null device.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

settings.register_profile("stem", deadline=None, max_examples=50)
settings.load_profile("stem")

# Shells start background jobs with these ignored, and child processes would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Tests, and the processes that they start, neither see nor change the settings of the developer.
for _name in [*os.environ]:
    if _name.startswith("STEM_") and not _name.startswith("STEM_TEST_"):
        del os.environ[_name]
os.environ["STEM_CONFIG"] = os.devnull

torch.set_num_threads(1)  # threads only slow down networks as small as those in tests


@pytest.fixture(scope="session")
def real_audio() -> Path:
    """The folder of real recordings in STEM_TEST_AUDIO, for tests marked ``audio``."""
    return Path(os.environ["STEM_TEST_AUDIO"])


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of a local S3 server (moto): one for all tests, because fsspec remembers it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_client(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the local S3 server, which the environment names too and which has no objects."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_address,
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    client = boto3.client("s3")
    for bucket in client.list_buckets()["Buckets"]:
        for item in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            client.delete_object(Bucket=bucket["Name"], Key=item["Key"])
    return client
