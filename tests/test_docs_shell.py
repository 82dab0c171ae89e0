"""Shell commands on the pages: those that can run are run, all others are parsed.

Every ``sh`` block in the README and in docs either runs here, or an HTML comment above it says why
it cannot: ``<!-- not run: needs a cluster -->`` for the whole block, and ``<!-- not run: needs a
GPU: stem train --recipe tfswa_unet -->`` for the lines that begin so. The blocks of a page run one
after the other in one folder that has the files which the page takes for granted.

Three programs are stand-ins. ``pip`` installs nothing, but knows the extras in pyproject.toml.
``stem`` is this checkout's, except that training takes two steps of a small network. S3 is a local
server.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import soundfile
import torch

from model_zoo.errors import StemError
from stemcli.cli.app import stem
from tests.model_zoo.importers.test_msrkit import network

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
KINDS = {
    "needs a cluster",
    "needs a GPU",
    "needs an account",
    "needs another system",
    "needs Docker",
    "needs MUSDB18",
    "needs the network",
    "runs until it is stopped",
}
"""Reasons for which a block may not be run."""

TIMEOUT = 1800
"""Seconds for the commands of one block."""

BLOCK = re.compile(
    r"((?:^<!-- not run: [^\n]* -->\n)*)^```(?:sh|bash|shell|console)\n(.*?)^```", re.M | re.S
)
COMMENT = re.compile(r"<!-- not run: ([^:\n]+?)(?:: (.+?))? -->")

SHORT = [
    *("--set", "schedule.steps=2", "--set", "schedule.warmup=1", "--set", "loop.batch_size=1"),
    *("--set", "data.clip_seconds=1", "--set", "loop.num_workers=0"),
]
SMALL = ["--set", "model.options.hidden_channels=16", "--set", "model.options.num_layers=1"]
SHORTER = {
    "train": [*SHORT, *SMALL],
    "tune": ["--trials", "2", *SHORT],
    "data render": ["--songs", "5", "--seconds", "3"],
    "eval speed": ["--seconds", "10"],
    "models advise": ["--no-measure"],
}
"""Options that are appended to these commands; of repeated ones, the last one counts."""


@dataclass(frozen=True)
class Block:
    """A block of shell commands on a page.

    Attributes:
        page: path of the page in the repository.
        line: line of the page on which the commands begin.
        comments: why it is not run, and the beginnings of the lines for which this holds (all if
            empty).
        commands: its logical lines, without those that only have a comment.
    """

    page: str
    line: int
    comments: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]

    @property
    def runnable(self) -> list[str]:
        """The commands that no comment excludes."""
        excluded = tuple(start for _, start in self.comments)
        return [each for each in self.commands if not each.startswith(excluded or ("\0",))]


def blocks(page: str) -> Iterator[Block]:
    """The shell blocks of a page, in order."""
    text = PAGES[page]
    for match in BLOCK.finditer(text):
        lines = re.sub(r"\\\n\s*", "", match[2]).splitlines()
        commands = tuple(each for each in lines if each.strip() and not each.startswith("#"))
        yield Block(
            page, text[: match.start(2)].count("\n") + 1, (*COMMENT.findall(match[1]),), commands
        )


BLOCKS = [block for page in PAGES for block in blocks(page)]


def stem_calls(command: str) -> Iterator[list[str]]:
    """The arguments of every call of Stem in a logical line, also in quotes and after wrappers."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    call: list[str] | None = None
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            if call is not None:
                yield call
            call = None
        elif call is not None:
            call.append(word)
        elif word == "stem" or word.endswith("/bin/stem"):
            call = []
        elif " stem " in word:
            yield from stem_calls(word)


def parse(args: list[str]) -> None:
    """Parse the arguments of Stem without running it.

    Raises:
        click.UsageError: Stem would refuse them, whatever the files that they name.
    """
    context = click.Context(stem, info_name="stem")
    while isinstance(context.command, click.Group) and args and not args[0].startswith("-"):
        name, *args = args
        command = context.command.get_command(context, name)
        if command is None:
            raise click.UsageError(f"{name} is not a command")
        context = click.Context(command, parent=context, info_name=name)
    values, rest, _ = context.command.make_parser(context).parse_args([*args])
    if rest:
        raise click.UsageError(f"unexpected arguments: {rest}")
    for parameter in context.command.get_params(context):
        check_value(parameter, values.get(str(parameter.name)), context)


def check_value(parameter: click.Parameter, value: Any, context: click.Context) -> None:
    """Check a value as far as that is possible without looking at files."""
    if parameter.required and parameter.value_is_missing(value):
        raise click.MissingParameter(ctx=context, param=parameter)
    plain = (click.Choice, click.types.IntParamType, click.types.FloatParamType)
    if isinstance(parameter.type, plain) and isinstance(value, (str, list)):
        parameter.type_cast_value(context, value)


@pytest.mark.parametrize("page", PAGES)
def test_every_call_of_stem_parses(page: str) -> None:
    calls = [
        call for block in blocks(page) for command in block.commands for call in stem_calls(command)
    ]
    for call in calls:
        try:
            parse(call)
        except click.UsageError as error:
            pytest.fail(f"stem {shlex.join(call)}: {error.format_message()}")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("stem separate song.mp3 --no-such", "No such option"),
        ("A=1 .venv/bin/stem separate", "Missing argument"),
        ("ls && stem separate song.mp3 --format mp5 | cat", "'mp5' is not one of"),
        ("ray exec x.yaml 'A=1 stem train --workers'", "requires an argument"),
        ("ray job submit -- stem data sing songs", "sing"),
        ("stem doctor song.mp3", "unexpected"),
        ("stem separate song.mp3 --shifts many", "'many' is not a whole number"),
    ],
)
def test_wrong_calls_by_hand(command: str, message: str) -> None:
    (call,) = stem_calls(command)
    with pytest.raises((click.UsageError, StemError)) as refused:
        parse(call)
    error = refused.value
    assert message in (
        error.format_message() if isinstance(error, click.UsageError) else str(error)
    )


def test_reasons_are_of_the_known_kinds_and_about_existing_lines() -> None:
    for block in BLOCKS:
        for reason, start in block.comments:
            assert reason in KINDS, f"{block.page}:{block.line}"
            assert any(each.startswith(start) for each in block.commands), f"{block.page}: {start}"
    texts = [re.sub(r"^```html.*?^```", "", text, flags=re.M | re.S) for text in PAGES.values()]
    comments = sum(text.count("<!-- not run:") for text in texts)
    assert comments == sum(len(block.comments) for block in BLOCKS), "a comment without a block"


def test_every_shell_block_is_found() -> None:
    fences = re.compile(r"^[ \t>]*```(?:sh|bash|shell|console)\b", re.M)
    assert len(BLOCKS) == sum(len(fences.findall(text)) for text in PAGES.values()) > 20


STAND_INS = {
    "stem": """#!{python}
import sys
shorter = {shorter}
words = sys.argv[1:]
for command, options in shorter.items():
    if words[: len(command.split())] == command.split() and "--resume" not in words:
        sys.argv += options
from stemcli.cli import main
main()
""",
    "pip": """#!{python}
import re, sys, tomllib
from pathlib import Path
project = tomllib.loads(Path({root!r}, "pyproject.toml").read_text("utf-8"))["project"]
assert sys.argv[1] == "install", sys.argv
for extras in re.findall(r"^\\.\\[(.*)\\]$", "\\n".join(sys.argv), re.M):
    assert {{*extras.split(",")}} <= project["optional-dependencies"].keys(), extras
""",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the commands: stand-ins on the path, and a home folder of their own."""
    home = tmp_path_factory.mktemp("home")
    for name, text in STAND_INS.items():
        program = home / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text.format(python=sys.executable, shorter=SHORTER, root=str(ROOT)))
        program.chmod(0o755)
    path = os.pathsep.join(
        [str(home / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("STEM_", "RAY_"))
    }
    return {**kept, "PATH": path, "HOME": str(home), "SHELL": "/bin/bash", "PYTHONPATH": str(ROOT)}


def shell(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a script; any command that fails fails the test."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def presumed(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A folder with everything that pages take for granted; trained networks are in ``runs``."""
    folder = tmp_path_factory.mktemp("presumed")
    song, rate = soundfile.read(ROOT / "docs/demo/real/song.flac", stop=6 * 44100)
    for name in ("song.mp3", "other.flac", "Music/Loud/first.mp3", "Music/Quiet/second.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, song, rate)
    shutil.copytree(ROOT / "docs/demo/real/stems", folder / "truth/song")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("site"))
    shutil.copytree(ROOT / "tests/golden/spleeter/4stems", folder / "pretrained_models/4stems")
    torch.save(network("melrnn").state_dict(), folder / "Guitar.pth")
    shell(PREPARATION, folder, environment)
    for library in ("vocals", "instrumental"):
        (folder / "vox" / library).mkdir(parents=True)
        for source in folder.glob(f"songs/*/{library.replace('instrumental', 'other')}.wav"):
            shutil.copy(source, folder / "vox" / library / f"{source.parent.name}.wav")
    return folder


PREPARATION = """
ffmpeg -v error -i song.mp3 film.mkv
stem data render songs
stem train --data songs -o runs/mine
stem separate docs/demo/real/song.flac -o estimates
stem eval folder truth estimates -o before
stem eval folder truth estimates -o after
"""

RUNS = {"docs/evaluation.md": "runs/mine", "docs/models.md": "runs/voice"}
"""Runs that a page presumes; other pages make theirs themselves."""


@pytest.fixture
def bucket(s3_client: Any, presumed: Path) -> dict[str, str]:
    """Variables for a server where ``s3://bucket/songs`` holds a song."""
    s3_client.create_bucket(Bucket="bucket")
    s3_client.upload_file(str(presumed / "song.mp3"), "bucket", "songs/song.mp3")
    s3_client.upload_file(str(presumed / "other.flac"), "bucket", "song.flac")
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(b.runnable for b in blocks(page))])
def test_blocks_run(
    page: str, presumed: Path, environment: dict[str, str], bucket: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(presumed, folder, ignore=shutil.ignore_patterns("runs"))
    if page in RUNS:
        shutil.copytree(presumed / "runs/mine", folder / RUNS[page])
    for name, text in re.findall(r"^```yaml\n# (\w+\.yaml): (.*?)^```", PAGES[page], re.M | re.S):
        (folder / name).write_text(f"# {text}")
    places = {"STEM_HOME": str(tmp_path / "zoo"), "STEM_CONFIG": str(tmp_path / "config.toml")}
    variables = environment | bucket | places
    for block in blocks(page):
        if block.runnable:
            shell("\n".join(block.runnable), folder, variables)
