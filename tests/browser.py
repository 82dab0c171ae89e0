"""A real browser, controlled over the Chrome DevTools Protocol through two pipes.

https://chromedevtools.github.io/devtools-protocol/: messages are JSON, terminated by a zero byte,
on file descriptors 3 and 4 of a Chromium started with ``--remote-debugging-pipe``.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # offline, but for local servers
)

TIMEOUT = 60
"""Seconds without a message after which the browser counts as stuck."""

LOADED = "new Promise(done => document.readyState == 'complete' ? done() : (onload = () => done()))"


class Page:
    """One page of a browser, the URLs it has requested, and errors in its console."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders, self._answers = orders, answers
        self._held = b""
        self._number = 0
        self._session: str | None = None
        self.requested: list[str] = []
        self.errors: list[dict[str, Any]] = []

    def open(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        target = self.order("Target.createTarget", url="about:blank")["targetId"]
        result = self.order("Target.attachToTarget", targetId=target, flatten=True)
        self._session = result["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.order(f"{domain}.enable")
        self.order("Page.navigate", url=address)
        self.evaluate(LOADED)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        result = self.order(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def order(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        command = {"id": self._number, "method": method, "params": parameters, **session}
        os.write(self._orders, json.dumps(command).encode() + b"\0")
        while True:
            message = self._next()
            self._note(message.get("method"), message.get("params", {}))
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return message["result"]

    def _note(self, method: str | None, parameters: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])
        is_error = "error" in (parameters.get("type"), parameters.get("entry", {}).get("level"))
        if method == "Runtime.exceptionThrown" or is_error:
            self.errors.append(parameters)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._answers], [], [], TIMEOUT)
            assert ready, f"the browser has said nothing for {TIMEOUT} s"
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser is gone"
            self._held += data
        text, self._held = self._held.split(b"\0", 1)
        return json.loads(text)


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser with an empty profile and without network access."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, f"none of {', '.join(PROGRAMS)} is on PATH: install Chromium"
    read, orders = os.pipe()
    answers, write = os.pipe()
    command = [program, *FLAGS, f"--user-data-dir={profile}"]
    shell = f'exec "$@" 3<&{read} 4>&{write}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", *command], pass_fds=(read, write), stderr=subprocess.DEVNULL
    )
    os.close(read)
    os.close(write)
    try:
        yield Page(orders, answers)
    finally:
        process.kill()
        process.wait()
        os.close(orders)
        os.close(answers)
