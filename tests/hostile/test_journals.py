"""Output folders from strangers: no file of the user changes, and there is one error message."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stemcli.batch.journal import NAME
from stemcli.batch.records import Content
from tests.hostile.child import stem
from tests.hostile.journals import BATCH, HIDDEN, JOURNALS, READ, add, database
from tests.hostile.table import Row, attack, params, song


@pytest.mark.parametrize("row", params(JOURNALS))
def test_a_malicious_journal_changes_nothing(row: Row, tmp_path: Path) -> None:
    attack(row, tmp_path)


@pytest.mark.parametrize("row", params([row for row in JOURNALS if row.kind in READ]))
def test_a_malicious_journal_in_the_input_folder_changes_nothing(row: Row, tmp_path: Path) -> None:
    """There it is only read, to find out which files are stems."""
    row = replace(row, command="batch out --output made", says="cannot be used .* Move it away")
    attack(row, tmp_path)


def test_an_output_folder_can_be_a_link(tmp_path: Path) -> None:
    """Also after a run was killed when its stems only needed renaming."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    song(tmp_path)
    temporary = tmp_path / "disk" / HIDDEN
    temporary.write_text("stem")
    content = Content.of(temporary)
    with database(tmp_path) as connection:
        add(connection, b"thesis.wav", HIDDEN.encode(), content)
    ended = stem(tmp_path, *BATCH.split())
    assert ended.code == 0, ended
    assert (tmp_path / "disk/thesis.wav").read_text() == "stem"
    assert (tmp_path / "disk/a/vocals.wav").is_file()
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / NAME).is_file()
