"""Program that tries to join a Ray cluster and reports the outcome.

Ray retries for minutes where something else listens, in code that no exception reaches; a process
of its own can be ended. It is run as a file, so it imports nothing of this project. It prints
``REACHED`` once the port accepts a connection, and at last one line of JSON: a list of messages,
empty on success, else the error and its causes.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Iterator

REACHED = "reached"


def main(address: str) -> None:
    """Try to join the cluster at ``address``, given as ``HOST:PORT``."""
    try:
        _connect(address)
        print(REACHED, flush=True)
        _join(address)
        messages: list[str] = []
    except Exception as error:
        messages = [*_causes(error)]
    print("\n" + json.dumps(messages), flush=True)


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OverflowError as error:
            raise OSError(str(error)) from None


def _join(address: str) -> None:
    import ray

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    ray.shutdown()


def _causes(error: BaseException | None) -> Iterator[str]:
    while error:
        yield f"{error}" or type(error).__name__
        error = error.__cause__ or error.__context__


if __name__ == "__main__":
    main(sys.argv[1])
