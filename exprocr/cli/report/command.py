"""``exprocr report``: a page with all that is known of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exprocr.cli.options import Session, compute_options, limit_option, pass_session

REPORT_NAME = "report.html"


@click.command(
    epilog="\b\nExamples:\n  exprocr report runs/a\n  exprocr report runs/a -o report.html",
)
@click.argument("run", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="The page.  [default: report.html in RUN]",
)
@limit_option("Images shown of those read wrong, at most.")
@compute_options
@pass_session
def report(session: Session, /, run: str, output: str | None, limit: int, **compute: Any) -> None:
    """Write one page about RUN, a run directory of `exprocr train`: something to send.

    Its settings, learning curves, what its model reads in its validation images and what it reads
    wrong, the network and its layers, its weights. The page needs no other file and no network.
    """
    from exprocr.cli.output import print_table, summary_table
    from exprocr.core.reading.recognizer import Recognizer
    from exprocr.core.system.files import atomic_write
    from exprocr.errors import DataError
    from exprocr.report.page import render_report
    from exprocr.report.run.context import Run
    from exprocr.report.run.whole import make_report

    path = Path(run)
    if not path.is_dir():
        kind = "another kind of file" if path.exists() else "nothing there"
        raise DataError(f"{run}: expected a run directory, found {kind}")
    recognizer = Recognizer.load(run, engine="torch", **compute)
    target = _target(path, output)
    about = Run(session=session, path=path, recognizer=recognizer, limit=limit)
    page, found = make_report(about)
    content = render_report(page).encode()
    with atomic_write(target) as temporary:
        temporary.write_bytes(content)
    rows: list[tuple[str, object]] = [("run", run)]
    if found:
        counts = found.measurement.counts
        rows += [("images", f"{counts.num_images:,}"), ("exact match", f"{counts.exact_match:.2%}")]
    rows += [("size", f"{len(content) / 1e6:.1f} MB"), ("file", target)]
    print_table(summary_table(rows, title="Report"))


def _target(run: Path, output: str | None) -> Path:
    """Return where the page goes, checked before images are read for minutes.

    Raises:
        OutputError: It cannot be written there.
    """
    from exprocr.core.system.files import make_folder
    from exprocr.errors import OutputError

    target = run / REPORT_NAME if output is None else Path(output)
    if target.is_dir():
        raise OutputError(f"{target}: expected the name of a file, found a folder")
    make_folder(target.parent)
    return target
