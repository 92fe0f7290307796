"""Output for people: tables, progress bars, and remarks that several commands write."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from exprocr.core.system.files import atomic_write, make_folder
from exprocr.errors import OutputError
from exprocr.words import MORE_FRAMES, one_line, quantity, quoted

if TYPE_CHECKING:
    from exprocr.cli.options import Session
    from exprocr.core.data.labels import Sample
    from exprocr.core.decode.decoder import Decoder
    from exprocr.core.reading.prediction import Prediction
    from exprocr.core.reading.recognizer import Recognizer
    from exprocr.core.text.grammar.grammars import Grammar


def cell(content: object) -> Text:
    """Return a table cell of plain text, without markup and control characters; it folds."""
    # Bytes of file names that are no text are lone surrogates here, which no terminal can show.
    shown = one_line(str(content)).encode("utf-8", "backslashreplace").decode()
    return Text(shown, overflow="fold")


def new_table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """Return an empty table.

    Args:
        columns: Headers; add rows with ``table.add_row(cell(...), ...)``.
        right: Headers of the columns of numbers, which are aligned to the right.
        title: A line above the table.
    """
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold")
    return table


def summary_table(rows: Sequence[tuple[str, object]], title: str | None = None) -> Table:
    """Return a table of names and values, as a command prints it at its end."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for name, content in rows:
        table.add_row(cell(name), cell(content))
    return table


def print_table(table: Table, stream: TextIO | None = None, *, fold_first: bool = False) -> None:
    """Print a table.

    Args:
        table: What to print.
        stream: Where to print; stdout if None.
        fold_first: On a narrow terminal fold only the first column, if the others leave it room.
    """
    console = Console(file=stream or sys.stdout, highlight=False, emoji=False)
    if fold_first:
        _keep_others_whole(table, console)
    console.print(table)


def _keep_others_whole(table: Table, console: Console) -> None:
    """Let only the first column of a table fold, if the others leave room for its header."""
    first, *others = table.columns
    unlimited = console.options.update(max_width=1_000_000)
    wide = table.padding
    for padding in (wide, 0):
        table.padding = padding
        first.width = Measurement.get(console, unlimited, first.header).maximum
        needed = Measurement.get(console, unlimited, table).maximum
        first.width = None
        if needed <= console.width:
            for column in others:
                column.no_wrap = True
            return
    table.padding = wide


def prepare_output(file: Path) -> None:
    """Make the folder that a file goes to.

    Raises:
        OutputError: The file cannot be written there.
    """
    if file.is_dir():
        raise OutputError(f"{file}: expected the name of a file, found a folder")
    make_folder(file.parent)


def write_json(file: Path, facts: Mapping[str, Any]) -> None:
    """Write facts as one JSON object.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def warn_of_excluded(session: Session, grammar: Grammar, samples: Sequence[Sample]) -> None:
    """Warn of labels that a grammar does not accept."""
    outside = [sample for sample in samples if not grammar.accepts(sample.text)]
    if outside:
        session.report(
            f"warning: grammar {grammar} excludes {len(outside):,} of "
            f"{quantity(len(samples), 'label')}, which can only be read wrong; the first is "
            f"{quoted(outside[0].text)} in {outside[0].where}"
        )


def note_remark(session: Session, recognizer: Recognizer) -> None:
    """Write the recognizer's remark on how it computes, if it has one."""
    if recognizer.remark:
        session.note(recognizer.remark)


def note_frames(session: Session, prediction: Prediction) -> None:
    """Write that a picture's file has more than what is read, if it has."""
    if prediction.more_frames:
        session.note(f"{prediction.path}: {MORE_FRAMES}")


def note_unproven(session: Session, decoder: Decoder, number: int) -> None:
    """Write how many readings are not proven to be the most probable, where that was wanted."""
    if remark := decoder.unproven_remark(number):
        session.note(remark)


def progress(
    session: Session, total: int | None, *, description: str, unit: str = "img"
) -> tqdm[Any]:
    """Return a tqdm bar on stderr, which is shown only on a terminal, and not if quiet.

    Use it in a ``with`` block and call ``update(n)``.
    """
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        file=sys.stderr,
        disable=True if session.quiet or session.is_silent else None,
        dynamic_ncols=True,
        leave=False,
    )
