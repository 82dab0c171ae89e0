"""What others rely on stays as it was: tensors in checkpoints, and the help of every command.

Truth: golden files that :mod:`tests.golden.surface.make_surface` wrote.
"""

from __future__ import annotations

from tests.golden.surface.make_surface import HELP, TENSORS, help_texts, tensor_names


def test_tensors_keep_their_names_and_shapes() -> None:
    """Checkpoints that users trained load by these."""
    assert tensor_names().splitlines() == TENSORS.read_text("utf-8").splitlines()


def test_every_help_reads_as_it_did() -> None:
    assert help_texts().splitlines() == HELP.read_text("utf-8").splitlines()
