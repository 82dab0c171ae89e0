"""The documentation site: built as in CI, then read as files and in a real browser.

Reference: the commands and their options, pyproject.toml, and the pages in docs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest

from stemcli.cli.app import stem
from tests.browser import Page, browser

ROOT = Path(__file__).parents[1]
PHONE = 390  # CSS pixels, the width of a common phone
RESOURCES = {"script": "src", "img": "src", "link": "href", "iframe": "src", "audio": "src"}
"""Elements that load something, and the attributes that say from where."""

OVERFLOWING = """
[...document.querySelectorAll('.md-content *')]
  .filter(e => e.getBoundingClientRect().right > PHONE + 1)
  .filter(e => !e.parentElement.closest('.md-typeset__scrollwrap, pre, nav'))
  .map(e => e.outerHTML.slice(0, 80))
"""
"""Elements that stick out to the right, except in boxes that scroll."""

SEARCH = """
(async () => {
  document.querySelector('[data-md-toggle=search]').click()
  const input = document.querySelector('.md-search__input')
  input.focus()
  input.value = 'WORD'
  input.dispatchEvent(new Event('input', {bubbles: true}))
  input.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}))
  const found = () => [...document.querySelectorAll('.md-search-result__link')].map(e => e.href)
  for (let wait = 0; wait < 200 && found().length == 0; wait++)
    await new Promise(done => setTimeout(done, 100))
  return found()
})()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    words = ["build", "--strict", "-f", "docs/site/mkdocs.yml", "-d", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Elements(HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_every_page_in_docs_is_on_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    names = {path.with_name(path.name.replace("README", "index")) for path in pages}
    assert all((site / path.with_suffix(".html")).exists() for path in names)
    assert (site / "changelog.html").exists()


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    addresses = {
        value
        for path in site.rglob("*.html")
        for tag, attributes in Elements(path).found
        if (value := attributes.get(RESOURCES.get(tag, "")))
        and attributes.get("rel") != "canonical"
    }
    assert len(addresses) > 10
    assert [each for each in addresses if re.match(r"\w+:|//", each)] == []


def options(command: click.Command, prefix: str = "") -> Iterator[str]:
    """The anchors of all options of a command and of its subcommands."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield prefix + max(parameter.opts, key=len)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            if not subcommand.hidden:
                yield f"stem-{command.name}-{name}"
                yield from options(subcommand, name)


@pytest.mark.parametrize("name", stem.list_commands(click.Context(stem)))
def test_every_option_of_every_command_has_an_anchor(name: str, site: Path) -> None:
    command = stem.get_command(click.Context(stem), name)
    assert command is not None
    elements = Elements(site / f"commands/{name}.html").found
    anchors = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert {*options(command)} <= {*anchors}
    assert len(anchors) == len({*anchors})


def test_every_page_shows_the_version(site: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    pages = [*site.rglob("*.html")]
    assert pages
    assert all(f"Stem {version} " in path.read_text("utf-8") for path in pages)


def test_options_have_the_text_of_their_help(site: Path) -> None:
    text = (site / "commands/separate.html").read_text("utf-8")
    entry = re.search(r'<dt id="--overlap">(.*?)</dd>', text, re.S)
    assert entry
    shown = " ".join(re.sub(r"<.*?>", "", entry[1]).split())
    assert shown == (
        "--overlap FRACTION¶ Fraction of a chunk that overlaps the next one; more is smoother"
        " and slower. [default: the model&#x27;s]"
    )


class Silent(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The address of a local server with the site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A page of a browser."""
    with browser(tmp_path / "profile") as opened:
        yield opened


def assert_well(page: Page, address: str) -> None:
    """Nothing went wrong, and nothing was requested from another host."""
    assert page.errors == []
    assert page.requested
    assert [url for url in page.requested if not url.startswith((address, "data:"))] == []


def too_wide(page: Page) -> tuple[bool, list[str]]:
    """Whether a page scrolls sideways on a phone, and the elements that stick out."""
    page.order(
        "Emulation.setDeviceMetricsOverride",
        width=PHONE,
        height=844,
        deviceScaleFactor=1,
        mobile=True,
    )
    width = page.evaluate("document.documentElement.scrollWidth")
    return width > PHONE, page.evaluate(OVERFLOWING.replace("PHONE", str(PHONE)))


@pytest.mark.browser
def test_no_page_is_wider_than_a_phone(page: Page, address: str, site: Path) -> None:
    wide = {}
    for path in sorted(site.rglob("*.html")):
        page.open(address + path.relative_to(site).as_posix())
        wide[path.name] = too_wide(page)
    assert {name: found for name, found in wide.items() if found != (False, [])} == {}
    assert len(wide) > 30
    assert_well(page, address)


@pytest.mark.browser
def test_a_wide_element_is_found(page: Page, address: str) -> None:
    page.open(address)
    page.evaluate(
        "document.querySelector('.md-content p').outerHTML = '<p style=\"width: 500px\">wide</p>'"
    )
    assert too_wide(page)[1] == ['<p style="width: 500px">wide</p>']


@pytest.mark.browser
@pytest.mark.parametrize(
    ("word", "expected"), [("karaoke", "first-steps"), ("--overlap", "commands/separate")]
)
def test_the_search_finds(word: str, expected: str, page: Page, address: str) -> None:
    page.open(address)
    found = page.evaluate(SEARCH.replace("WORD", word))
    assert any(f"{expected}.html" in url for url in found), found
    assert_well(page, address)


@pytest.mark.browser
def test_light_and_dark_can_be_chosen(page: Page, address: str) -> None:
    page.open(address)
    scheme = "document.body.dataset.mdColorScheme"
    before = page.evaluate(scheme)
    page.evaluate(
        "document.querySelector('form[data-md-component=palette] label:not([hidden])').click()"
    )
    assert {before, page.evaluate(scheme)} == {"default", "slate"}
    assert_well(page, address)
