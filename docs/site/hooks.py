"""Hooks of MkDocs: one page per command, and the files of the repository outside docs.

The pages in ``commands/`` are generated from the Click commands, so they say the same as
``--help``. A command that is added to Stem gets its page with the next build.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from html import escape
from inspect import cleandoc
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from stemcli.cli.app import stem

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
OUTSIDE = {"CHANGELOG.md": "changelog.md", "LICENSE": "LICENSE"}
"""Files outside docs that pages link to, and their paths on the site."""

LONGEST_SUMMARY = 120
"""Characters of a command's one-line description."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the command pages to the navigation and the version to the footer."""
    assert config.nav is not None
    section = next(each for each in config.nav if isinstance(each, dict) and "Commands" in each)
    pages = [{f"stem {name}": f"commands/{name}.md"} for name, _ in subcommands(stem)]
    section["Commands"] = [{"All commands": "commands/index.md"}, *pages]
    config.copyright = f"Stem {VERSION} · MIT licence"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command pages and the files from outside docs."""
    pages = {f"commands/{name}.md": command_page(name, each) for name, each in subcommands(stem)}
    pages["commands/index.md"] = index_page()
    pages |= {site: (ROOT / name).read_text("utf-8") for name, site in OUTSIDE.items()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files outside docs to their copies, and links in those files into docs."""
    if page.file.src_uri in OUTSIDE.values():
        return markdown.replace("](docs/", "](")
    for name, site in OUTSIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)+{re.escape(name)}", f"]({site}", markdown)
    return markdown


def subcommands(group: click.Group) -> list[tuple[str, click.Command]]:
    """The visible commands of a group with their names, in the order of its help."""
    context = click.Context(group)
    named = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    return [(name, each) for name, each in named if each is not None and not each.hidden]


def index_page() -> str:
    """The page that lists all commands and the options of ``stem`` itself."""
    rows = [
        f"| [`{path}`]({page}) | {escape(summary(each))} |"
        for name, command in subcommands(stem)
        for path, each, page in linked(name, command)
    ]
    table = ["| command | what it does |", "|---|---|", *rows]
    parts = ["# Commands", origin("stem --help"), "\n".join(table), *body(context_of(stem, "stem"))]
    return "\n\n".join(parts)


def linked(name: str, command: click.Command) -> Iterator[tuple[str, click.Command, str]]:
    """A command and its subcommands: what to type, the command, and the link to its help."""
    yield f"stem {name}", command, f"{name}.md"
    if isinstance(command, click.Group):
        for inner, each in subcommands(command):
            yield f"stem {name} {inner}", each, f"{name}.md#stem-{name}-{inner}"


def summary(command: click.Command) -> str:
    """The one-line description of a command."""
    return command.get_short_help_str(LONGEST_SUMMARY)


def command_page(name: str, command: click.Command) -> str:
    """The page of a command and its subcommands."""
    context = context_of(command, name, context_of(stem, "stem"))
    parts = [f"# stem {name}", origin(f"stem {name} --help"), *body(context)]
    if isinstance(command, click.Group):
        for inner, each in subcommands(command):
            parts += [f"## stem {name} {inner}", *body(context_of(each, inner, context))]
    return "\n\n".join(parts)


def context_of(
    command: click.Command, name: str, parent: click.Context | None = None
) -> click.Context:
    """The context in which a command shows its help."""
    settings = command.context_settings
    return click.Context(command, parent=parent, info_name=name, **settings)


def origin(command: str) -> str:
    """The line that says where a page comes from."""
    return f"The text of `{command}` in Stem {VERSION}."


def body(context: click.Context) -> Iterator[str]:
    """Usage, description, options and examples of one command, as Markdown and HTML."""
    command = context.command
    yield fenced(command.get_usage(context).removeprefix("Usage: "))
    yield from prose(command.help or "")
    yield definitions(context)
    yield from prose(command.epilog or "")


def prose(text: str) -> Iterator[str]:
    """Paragraphs of a help text; those that Click prints as they are become blocks of code."""
    for paragraph in re.split(r"\n\s*\n", cleandoc(text)):
        if paragraph.startswith("\b\n"):
            title, _, rest = paragraph.removeprefix("\b\n").partition("\n")
            yield f"**{escape(title)}**\n\n{fenced(rest)}"
        elif paragraph:
            yield f"<p>{escape(' '.join(paragraph.split()))}</p>"


def fenced(text: str) -> str:
    """A block of code, without highlighting."""
    lines = text.splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(["```text", *(line[indent:] for line in lines), "```"])


def definitions(context: click.Context) -> str:
    """The options of a command as a list, each with an anchor of its own."""
    prefix = "-".join(context.command_path.split()[2:])
    records = [
        (each, record)
        for each in context.command.get_params(context)
        if (record := each.get_help_record(context)) is not None and record[1]
    ]
    return "\n".join(['<dl class="options">', *(entry(prefix, *each) for each in records), "</dl>"])


def entry(prefix: str, parameter: click.Parameter, record: tuple[str, str]) -> str:
    """One option: its names, its help with the default, and a link to itself."""
    name = max(parameter.opts, key=len).lstrip("-")
    anchor = f"{prefix}--{name}" if prefix else f"--{name}"
    link = f'<a class="headerlink" href="#{anchor}" title="Permanent link">¶</a>'
    names, text = (escape(each) for each in record)
    text = re.sub(r"\[(default: [^\]]*|[^\]]*&lt;=x[^\]]*)\]", r"<small>\g<0></small>", text)
    return f'<dt id="{anchor}"><code>{names}</code>{link}</dt>\n<dd>{text}</dd>'
