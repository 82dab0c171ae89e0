"""Public models are pulled: consent, files, installation, and what is left in the cache.

Reference: the bytes and statements that the test defines.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.catalogue.cards import (
    Card,
    card_path,
    find,
    is_installed,
    is_known,
    remove,
    zoo_home,
)
from model_zoo.catalogue.download import cached_path
from model_zoo.catalogue.pull import ACCEPTED, needs_consent, pull, statement
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.errors import OutputError, StorageError, UsageError
from tests.model_zoo.catalogue import hub as server
from tests.model_zoo.catalogue.hub import CONTENT, Hub, status, whole
from tests.model_zoo.catalogue.public_models import FakePublic, install_small

SENTENCE = (
    "The weights of net by Ada may not be used commercially (licence: CC BY-NC 4.0, according"
    " to its authors)"
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server, an empty cache and an empty zoo."""
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    with server.serve() as running:
        yield running


@pytest.fixture
def free(hub: Hub) -> FakePublic:
    return FakePublic("net", (hub.file(whole),))


@pytest.fixture
def restricted(free: FakePublic) -> FakePublic:
    return replace(free, licence="CC BY-NC 4.0", consent="non-commercial")


def no_install(model: FakePublic, paths: list[Path]) -> Card:
    pytest.fail("it was installed")


def test_a_model_is_installed_and_its_files_are_removed(free: FakePublic, hub: Hub) -> None:
    reports: list[tuple[str, int, int | None]] = []
    card = pull(free, install=install_small, on_progress=lambda *each: reports.append(each))
    assert card.source == "net.bin of 300,000 bytes"
    assert is_installed(find("net"))
    assert not cached_path(free.files[0]).exists()
    assert {(label, total) for label, _, total in reports} == {("net", len(CONTENT))}
    assert pull(free, install=no_install) == card
    assert hub.sent == len(CONTENT)


def test_files_are_kept_if_asked(free: FakePublic, hub: Hub) -> None:
    pull(free, install=install_small, keep=True)
    assert cached_path(free.files[0]).read_bytes() == CONTENT
    remove("net")
    pull(free, install=install_small)
    assert hub.sent == len(CONTENT)


def test_files_have_the_order_of_the_catalogue(hub: Hub) -> None:
    """The hash decides in which order they are locked, not in which they are given."""
    other = CONTENT[:1000]
    short = RemoteFile(hub.add("/short.bin", server.of(other)), hashlib.sha256(other).hexdigest())
    long = hub.file(whole)
    labels = set()
    for files in ((short, long), (long, short)):
        model = FakePublic("net", files)
        card = pull(model, install=install_small, on_progress=lambda label, *_: labels.add(label))
        names = [part.split()[0] for part in card.source.split(", ") if " of " in part]
        assert [name for name in names if name.endswith(".bin")] == [each.name for each in files]
        remove("net")
    assert labels == {"net 1/2", "net 2/2"}


def test_a_failure_keeps_what_has_arrived(hub: Hub) -> None:
    """A file that is complete is not fetched again after another one failed."""
    gone = hub.add("/gone.bin", status(404))
    model = FakePublic(
        "net", (hub.file(whole), replace(hub.file(whole), url=gone, sha256="0" * 64))
    )
    with pytest.raises(StorageError, match=r"gone\.bin cannot be downloaded"):
        pull(model, install=no_install)
    assert cached_path(model.files[0]).read_bytes() == CONTENT
    assert not is_known("net")


def test_a_second_pull_waits_and_finds_the_model(free: FakePublic, hub: Hub) -> None:
    """Two threads, as two processes would: locks belong to open files."""
    installed = []
    waiting = threading.Event()

    def install(model: FakePublic, paths: list[Path]) -> Card:
        assert waiting.wait(60)
        installed.append(paths)
        return install_small(model, paths)

    first = threading.Thread(target=lambda: pull(free, install=install))
    first.start()
    while not cached_path(free.files[0]).exists():
        first.join(0.02)
    pull(free, install=install, on_progress=lambda *_: waiting.set())
    first.join()
    assert len(installed) == 1
    assert hub.sent == len(CONTENT)


def test_a_zoo_that_cannot_be_written(
    free: FakePublic, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "file"))
    with pytest.raises(
        OutputError, match=r"Your zoo .*file cannot be written \(.*Set STEM_HOME to"
    ):
        pull(free, install=no_install)
    assert hub.requests == []


def test_a_card_without_weights(free: FakePublic, hub: Hub) -> None:
    pull(free, install=install_small)
    card_path("net").with_suffix(".safetensors").unlink()
    with pytest.raises(UsageError, match=r"has a card of net, but no weights\. First run: cards"):
        pull(free, install=no_install)


def test_consent_is_needed_before_anything_is_fetched(restricted: FakePublic, hub: Hub) -> None:
    with pytest.raises(UsageError) as caught:
        pull(restricted, install=no_install)
    assert str(caught.value) == f"{SENTENCE}. To accept that, add accept_licence=True"
    with pytest.raises(UsageError):
        pull(restricted, install=no_install, ask=lambda text: False)
    assert hub.requests == []
    assert needs_consent(restricted)


@pytest.mark.parametrize("is_asked", [False, True])
def test_consent_is_remembered(is_asked: bool, restricted: FakePublic) -> None:
    asked: list[str] = []

    def ask(text: str) -> bool:
        asked.append(text)
        return True

    pull(restricted, install=install_small, accept_licence=not is_asked, ask=ask)
    assert asked == ([SENTENCE] if is_asked else [])
    remove("net")
    pull(restricted, install=install_small)
    assert json.loads((zoo_home() / ACCEPTED).read_text()) == {"net": SENTENCE}


def test_a_licence_that_changed_is_asked_again(restricted: FakePublic) -> None:
    pull(restricted, install=install_small, accept_licence=True)
    assert not needs_consent(replace(restricted, consent="no grant"))
    remove("net")
    assert not needs_consent(restricted)
    assert needs_consent(replace(restricted, consent="no grant"))
    assert not needs_consent(replace(restricted, consent=""))


@pytest.mark.parametrize("text", ["{", "[]", '{"net": 1}', "\udcff"])
def test_a_damaged_memory_asks_again(text: str, restricted: FakePublic) -> None:
    zoo_home().mkdir()
    (zoo_home() / ACCEPTED).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert needs_consent(restricted)
    pull(restricted, install=install_small, accept_licence=True)
    remove("net")
    assert not needs_consent(restricted)


def test_statements() -> None:
    """By hand."""
    model = FakePublic("net", (), "not stated", "", "no grant", "")
    assert statement(model) == (
        "The weights of net come without a licence, so their authors permit nothing"
        " (licence: not stated)"
    )
    assert statement(replace(model, consent="")) == ""
