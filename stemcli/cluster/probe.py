"""A program of its own: join a cluster, leave it again, and say what happened.

Ray asks on and on where something else listens, for minutes and where no exception can reach it.
A process can be ended. It prints the address once that is known, ``REACHED`` when somebody took the
call, and at the end one line of JSON: nothing when all is well, else what went wrong and why, the
first cause last.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Iterator

REACHED = "reached"


def main(address: str) -> None:
    """Knock at ``address``, as RAY_ADDRESS gives it."""
    try:
        found = _resolve(address)
        print(found, flush=True)
        _dial(found)
        print(REACHED, flush=True)
        _join(address)
        told: list[str] = []
    except Exception as error:
        told = [*_causes(error)]
    print("\n" + json.dumps(told), flush=True)


def _resolve(address: str) -> str:
    """What ``auto`` means here; Ray may remember a cluster that is long gone."""
    if ":" in address:
        return address
    from ray._private.services import canonicalize_bootstrap_address_or_die

    return canonicalize_bootstrap_address_or_die(address)


def _dial(address: str) -> None:
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
