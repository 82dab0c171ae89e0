"""Write the tables in docs/catalogue.md from the catalogue of public models.

::

    python docs/models/public_table.py

The tables stand between two comments; the rest of the page is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

from model_zoo.catalogue.public import DATASETS, PublicModel, presets, public_models

PAGE = Path(__file__).parents[1] / "catalogue.md"
BEGIN = "<!-- begin of the table that docs/models/public_table.py writes -->\n"
END = "<!-- end of the table -->\n"

LETTERS = dict(zip(DATASETS, ascii_lowercase, strict=False))
"""Letters of the data of scores, in the order of their rank; the page explains them."""

MOST_STEMS = 8


def main() -> None:
    """Replace the tables on the page."""
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")


def with_table(page: str) -> str:
    """The page with the tables of this catalogue."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def table() -> str:
    """Rows of all models, then those of the presets."""
    return "\n".join([*model_rows(), "", *preset_rows(), ""])


def model_rows() -> Iterator[str]:
    """A Markdown table with a row for each model."""
    yield "| model | gives | SDR in dB | licence | MB |"
    yield "|---|---|---|---|---|"
    for model in public_models().values():
        size = f"{model.size / 1e6:.0f}" if model.size else ""
        variant = f" ({model.variant})" if model.variant else ""
        cells = (f"`{model.name}`{variant}", gives(model), score(model), licence(model), size)
        yield f"| {' | '.join(cells)} |"


def preset_rows() -> Iterator[str]:
    """A Markdown table with a row for each preset."""
    yield "| preset | gives | made of |"
    yield "|---|---|---|"
    for one in presets().values():
        members = ", ".join(f"`{member}`" for member in one.members)
        how = "weights for each stem" if one.weights else f"{one.method} of {one.domain}"
        yield f"| `{one.name}` | {', '.join(one.stems)} | {how}: {members} |"


def gives(model: PublicModel) -> str:
    """The outputs, or their number if there are many."""
    many = len(model.outputs) > MOST_STEMS
    return f"{len(model.outputs)} stems" if many else ", ".join(model.outputs)


def score(model: PublicModel) -> str:
    """A published SDR with its stem and the letter of its data."""
    found = model.sdr()
    return f"{found.stem} {found.value:.1f} {LETTERS[found.dataset]}" if found else ""


def licence(model: PublicModel) -> str:
    """The licence, with a mark if it must be agreed to."""
    return f"{model.licence}*" if model.consent else model.licence


if __name__ == "__main__":
    main()
