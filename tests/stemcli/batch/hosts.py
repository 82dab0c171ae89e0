"""Hosts that can be disconnected: network namespaces, each linked to the first by a veth pair.

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
FAST_HEALTH_CHECKS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
"""Ray declares a host dead after some seconds instead of most of a minute."""


class Hosts:
    """A Ray cluster of virtual hosts. Host 1 is the head, where the program runs.

    Args:
        folder: for Ray's files; socket paths must be short.
        cores: number of cores that Ray sees on each host.
    """

    def __init__(self, folder: Path, cores: int = 1) -> None:
        self._folder, self._cores = folder, cores
        self._names: list[str] = []
        token = folder / "token"
        token.write_text("a" * 64)
        self._settings = {
            **FAST_HEALTH_CHECKS,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ADDRESS": f"10.77.0.1:{PORT}",
        }

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the processes on every host."""
        return os.environ | self._settings

    def add(
        self, python: str = sys.executable, path: str = "", private: Sequence[Path] = ()
    ) -> int:
        """Start a new host with Ray on it and return its number.

        Args:
            python: the interpreter that runs Ray there.
            path: PYTHONPATH there, if it differs from this process.
            private: folders that are a separate, empty disk there.
        """
        number = len(self._names) + 1
        name = f"stem{os.getpid()}h{number}"
        _ip("netns", "add", name)
        self._names.append(name)
        self._ip_in(number, "link", "set", "lo", "up")
        if number == 1:
            self._add_address("10.77.0.1")
        else:
            self._join(number)
        address = "10.77.0.1" if number == 1 else f"10.77.{number}.2"
        head = ("--head", "--port", str(PORT), "--include-dashboard", "false")
        role = head if number == 1 else ("--address", f"10.77.0.1:{PORT}")
        args = ("--node-ip-address", address, "--num-cpus", str(self._cores))
        temporary = ("--temp-dir", str(self._folder / f"h{number}")) if number == 1 else ()
        ray = [python, "-m", "ray.scripts.scripts", "start", *role, *args, *temporary]
        # Inside a network namespace, ip gives every command its own mount namespace.
        mounts = "".join(f"mount -t tmpfs tmpfs '{folder}' && " for folder in private)
        extra_env = {"PYTHONPATH": path} if path else {}
        self._run(number, ["sh", "-c", f'{mounts}exec "$@"', "sh", *ray], extra_env)
        return number

    def cut(self, number: int) -> None:
        """Disconnect host ``number`` from the network."""
        self._ip_in(number, "link", "set", "up1", "down")

    def kill(self, number: int) -> None:
        """Kill all processes on host ``number``."""
        pids = ["ip", "netns", "pids", self._names[number - 1]]
        processes = subprocess.run(pids, capture_output=True, text=True, check=True)
        for process in processes.stdout.split():
            subprocess.run(["kill", "-9", process], check=False)

    def run(self, number: int, args: Sequence[str]) -> None:
        """Run Python on a host and wait until it ends."""
        self._run(number, [sys.executable, *args], {})

    def command(self, number: int, args: Sequence[str]) -> list[str]:
        """The command that starts Python on a host."""
        return self._command(number, [sys.executable, *args])

    def close(self) -> None:
        """Kill all processes on the hosts, and remove the hosts."""
        for number, name in enumerate(self._names, start=1):
            self.kill(number)
            _ip("netns", "del", name)

    def _add_address(self, address: str) -> None:
        """Give the head its address, on a veth pair that is connected to nothing else."""
        ends = ("link", "add", "own", "type", "veth", "peer", "name", "nowhere")
        self._ip_in(1, *ends)
        self._ip_in(1, "addr", "add", f"{address}/32", "dev", "own")
        for end in ("own", "nowhere"):
            self._ip_in(1, "link", "set", end, "up")

    def _command(self, number: int, args: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self._names[number - 1], *args]

    def _run(self, number: int, args: Sequence[str], extra_env: Mapping[str, str]) -> None:
        command, env = self._command(number, args), self.environment | extra_env
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _join(self, number: int) -> None:
        """Link a host to the head by a veth pair, with the head as its default route."""
        host, head = self._names[number - 1], self._names[0]
        cable = f"up{number}"
        _ip("link", "add", cable, "netns", head, "type", "veth", "peer", "up1", "netns", host)
        self._ip_in(1, "addr", "add", f"10.77.{number}.1/24", "dev", cable)
        self._ip_in(1, "link", "set", cable, "up")
        self._ip_in(number, "addr", "add", f"10.77.{number}.2/24", "dev", "up1")
        self._ip_in(number, "link", "set", "up1", "up")
        self._ip_in(number, "route", "add", "default", "via", f"10.77.{number}.1")

    def _ip_in(self, number: int, *args: str) -> None:
        _ip("-n", self._names[number - 1], *args)


@contextmanager
def hosts(folder: Path, cores: int = 1) -> Iterator[Hosts]:
    """Hosts that are removed at the end."""
    hosts_ = Hosts(folder, cores)
    try:
        yield hosts_
    finally:
        hosts_.close()


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)
