"""``exprocr info``: print a model's card, and write it to files."""

from __future__ import annotations

from pathlib import Path

from exprocr.cli.options import Session
from exprocr.cli.output import print_table, summary_table, write_json
from exprocr.core.model.artifact import ModelFile
from exprocr.core.system.files import atomic_write
from exprocr.report.card import as_json, as_markdown, model_card


def run(session: Session, model: str, *, json_file: str | None, markdown: str | None) -> None:
    """Show a model's card.

    Args:
        session: How much is printed.
        model: The model.
        json_file: File for the card as JSON.
        markdown: File for the card as a Markdown page.
    """
    loaded = ModelFile.load(model)
    session.detail(f"model file {loaded.name}")
    card = model_card(loaded, model)
    if json_file is not None:
        write_json(Path(json_file), as_json(card))
    if markdown is not None:
        page = as_markdown(card, f"Model {model}")
        with atomic_write(Path(markdown)) as temporary:
            temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    for number, (title, facts) in enumerate(card.items()):
        rows = [(fact.name, str(fact)) for fact in facts]
        print_table(summary_table(rows, title="\n" * bool(number) + title))
