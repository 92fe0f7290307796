"""``exprocr report``: make the page about a run, and write it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from exprocr.cli.options import Session
from exprocr.cli.output import prepare_output, print_table, progress, summary_table
from exprocr.core.data.dataset import TablePaths
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.runs.layout import REPORT_NAME, check_run_dir
from exprocr.core.system.files import atomic_write
from exprocr.report.page import render_report
from exprocr.report.run.context import Run
from exprocr.report.run.whole import make_report


def run(
    session: Session,
    run_dir: str,
    *,
    output: str | None,
    limit: int,
    allow_outside: bool,
    **compute: Any,
) -> None:
    """Write a page about a run.

    Args:
        session: How much is printed.
        run_dir: The run directory.
        output: File for the page; None is one in the run directory.
        limit: Images shown of those read wrong, at most.
        allow_outside: Whether paths may lead elsewhere in a ``val.csv`` that was changed since the
            run wrote it.
        compute: Device and threads, for `Recognizer.load`.

    Raises:
        DataError: There is no run directory.
        ModelFileError: The run has no usable model.
        OutputError: The page cannot be written.
    """
    path = Path(run_dir)
    check_run_dir(path)
    recognizer = Recognizer.load(run_dir, engine="torch", **compute)
    target = path / REPORT_NAME if output is None else Path(output)
    prepare_output(target)  # before images are read for minutes
    about = Run(
        console=session,
        progress=partial(progress, session, description="reading"),
        path=path,
        recognizer=recognizer,
        limit=limit,
        paths=TablePaths(allow_outside=allow_outside),
    )
    page, found = make_report(about)
    content = render_report(page).encode()
    with atomic_write(target) as temporary:
        temporary.write_bytes(content)
    rows: list[tuple[str, object]] = [("run", run_dir)]
    if found:
        counts = found.measurement.counts
        rows += [("images", f"{counts.num_images:,}"), ("exact match", f"{counts.exact_match:.2%}")]
    rows += [("size", f"{len(content) / 1e6:.1f} MB"), ("file", target)]
    print_table(summary_table(rows, title="Report"))
