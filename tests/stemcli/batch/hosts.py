"""Hosts that can be cut off: network namespaces, each joined to the first by a veth pair.

Needs Linux, root and iproute2.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PORT = 6399
QUICK_TO_MISS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
"""Ray takes a host for dead after some seconds, instead of most of a minute."""


class Hosts:
    """Host 1 is the head of a Ray cluster, where the program runs.

    Args:
        folder: for Ray's files; sockets want a short path.
        cores: of each host, whatever the machine has.
    """

    def __init__(self, folder: Path, cores: int = 1) -> None:
        self._folder, self._cores = folder, cores
        self._names: list[str] = []
        token = folder / "token"
        token.write_text("a" * 64)
        self._settings = {
            **QUICK_TO_MISS,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ADDRESS": f"10.77.0.1:{PORT}",
        }

    @property
    def environment(self) -> dict[str, str]:
        """Of every process on a host."""
        return os.environ | self._settings

    def add(
        self, python: str = sys.executable, path: str = "", private: Sequence[Path] = ()
    ) -> int:
        """A new host, with Ray on it; its number.

        Args:
            python: the program that runs Ray there.
            path: PYTHONPATH there, if it is another than here.
            private: folders that are empty there, each a disk of its own.
        """
        number = len(self._names) + 1
        name = f"stem{os.getpid()}h{number}"
        _ip("netns", "add", name)
        self._names.append(name)
        self._inside(number, "link", "set", "lo", "up")
        if number == 1:
            self._give_address("10.77.0.1")
        else:
            self._join(number)
        own = "10.77.0.1" if number == 1 else f"10.77.{number}.2"
        head = ("--head", "--port", str(PORT), "--include-dashboard", "false")
        part = head if number == 1 else ("--address", f"10.77.0.1:{PORT}")
        words = ("--node-ip-address", own, "--num-cpus", str(self._cores))
        temporary = ("--temp-dir", str(self._folder / f"h{number}")) if number == 1 else ()
        ray = [python, "-m", "ray.scripts.scripts", "start", *part, *words, *temporary]
        # Inside of a network namespace, ip gives every command a mount namespace of its own.
        mounts = "".join(f"mount -t tmpfs tmpfs '{folder}' && " for folder in private)
        other = {"PYTHONPATH": path} if path else {}
        self._run(number, ["sh", "-c", f'{mounts}exec "$@"', "sh", *ray], other)
        return number

    def cut(self, number: int) -> None:
        """Nothing reaches host ``number`` any more, nor comes from it."""
        self._inside(number, "link", "set", "up1", "down")

    def kill(self, number: int) -> None:
        """End whatever runs on host ``number``."""
        pids = ["ip", "netns", "pids", self._names[number - 1]]
        found = subprocess.run(pids, capture_output=True, text=True, check=True)
        for process in found.stdout.split():
            subprocess.run(["kill", "-9", process], check=False)

    def run(self, number: int, words: Sequence[str]) -> None:
        """Run Python on a host to its end."""
        self._run(number, [sys.executable, *words], {})

    def command(self, number: int, words: Sequence[str]) -> list[str]:
        """What starts Python on a host."""
        return self._command(number, [sys.executable, *words])

    def close(self) -> None:
        """End whatever runs on the hosts, and remove them."""
        for number, name in enumerate(self._names, start=1):
            self.kill(number)
            _ip("netns", "del", name)

    def _give_address(self, address: str) -> None:
        """The head's own, on an interface that has no other: a cable that leads nowhere."""
        ends = ("link", "add", "own", "type", "veth", "peer", "name", "nowhere")
        self._inside(1, *ends)
        self._inside(1, "addr", "add", f"{address}/32", "dev", "own")
        for end in ("own", "nowhere"):
            self._inside(1, "link", "set", end, "up")

    def _command(self, number: int, words: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self._names[number - 1], *words]

    def _run(self, number: int, words: Sequence[str], other: Mapping[str, str]) -> None:
        command, env = self._command(number, words), self.environment | other
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _join(self, number: int) -> None:
        """One cable to the head; each side sends all that is not its own to the other."""
        here, there = self._names[number - 1], self._names[0]
        cable = f"up{number}"
        _ip("link", "add", cable, "netns", there, "type", "veth", "peer", "up1", "netns", here)
        self._inside(1, "addr", "add", f"10.77.{number}.1/24", "dev", cable)
        self._inside(1, "link", "set", cable, "up")
        self._inside(number, "addr", "add", f"10.77.{number}.2/24", "dev", "up1")
        self._inside(number, "link", "set", "up1", "up")
        self._inside(number, "route", "add", "default", "via", f"10.77.{number}.1")

    def _inside(self, number: int, *words: str) -> None:
        _ip("-n", self._names[number - 1], *words)


@contextmanager
def hosts(folder: Path, cores: int = 1) -> Iterator[Hosts]:
    """Hosts that are gone at the end."""
    made = Hosts(folder, cores)
    try:
        yield made
    finally:
        made.close()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
