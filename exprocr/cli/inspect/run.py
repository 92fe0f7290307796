"""``exprocr inspect``: look at all images, print what was found, and write it to files."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from click.exceptions import Exit

from exprocr.cli.options import BELOW_BAR, Session
from exprocr.cli.output import (
    cell,
    new_table,
    print_table,
    progress,
    summary_table,
    write_json,
)
from exprocr.core.config.label_map import LabelMap
from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.data.dataset import DataSet, TablePaths
from exprocr.core.data.inspection.findings import KINDS, Finding
from exprocr.core.data.inspection.inspect import Inspection, inspect
from exprocr.core.image.preprocess import padded_width, scaled_width
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.geometry import num_frames
from exprocr.core.runs.val_table import load_labeled
from exprocr.core.system.processes import usable_processors
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.samples import Tile, draw_samples, load_shrunk
from exprocr.words import format_share, quantity

NUM_SHOWN = 5
"""Findings of a kind that are printed."""

NUM_CHARACTERS = 50
"""Characters that are printed, the most frequent ones."""

MAX_WORKERS = 4
"""Most processes that read images."""


def run(
    session: Session,
    data: str,
    *,
    images: str | None,
    allow_outside: bool,
    map: tuple[str, ...],
    layout: str | None,
    label_pattern: str | None,
    model: str | None,
    sheet: str | None,
    limit: int,
    json_file: str | None,
    strict: bool,
) -> None:
    """Inspect a data set.

    Args:
        session: How much is printed.
        data: The data set.
        images: The folder that a table's paths start from.
        allow_outside: Whether they may lead out of it.
        map: Replacements in the labels.
        layout: Name of the data set's layout; None recognizes it.
        label_pattern: Pattern of labels in the names of files.
        model: The model whose frames a label must fit into; None is the bundled one.
        sheet: File for a sheet of samples.
        limit: Most samples on it.
        json_file: File for all findings.
        strict: Whether what is to be mended gives the exit code 3.

    Raises:
        Exit: There is something to mend, and ``strict`` is set.
    """
    paths = TablePaths(images=None if images is None else Path(images), allow_outside=allow_outside)
    network = ModelFile.load(model)

    def frames(size: tuple[int, int]) -> int:
        width = padded_width(scaled_width(size, network.preprocess), network.preprocess)
        return num_frames(network.model, width)

    choice = LayoutChoice(name=layout, label_pattern=label_pattern)
    found = load_labeled(Path(data), paths, LabelMap(map), choice)
    session.note(f"{data}: {found.layout}")
    number = sum(len(part) for part in found.parts.values())
    with progress(session, 2 * number, description="inspecting") as bar:
        workers = min(MAX_WORKERS, usable_processors())
        inspection = inspect(found, frames, workers=workers, progress=bar.update)
    # Each of these is tried even if another fails, the last one first: the files are written
    # before the tables are printed, as nobody may be there to read those.
    with ExitStack() as outputs:
        outputs.callback(_print, inspection)
        if json_file is not None:
            outputs.callback(_write_json, Path(json_file), found, inspection)
        if sheet is not None:
            outputs.callback(_draw_sheet, Path(sheet), data, inspection, limit)
    if strict and inspection.num_defects:
        session.report(f"exprocr: {quantity(inspection.num_defects, 'finding')} to mend")
        raise Exit(BELOW_BAR)


def _print(inspection: Inspection) -> None:
    print_table(summary_table(_summary(inspection), title="Data set"))
    table = new_table("character", "times", "share", right=["times", "share"], title="\nCharacters")
    counts = inspection.characters
    for character, number in counts.most_common(NUM_CHARACTERS):
        share = format_share(number / counts.total())
        table.add_row(cell(character), cell(f"{number:,}"), cell(share))
    print_table(table)
    table = new_table("characters", "labels", right=["characters", "labels"], title="\nLabels")
    for length, number in sorted(inspection.lengths.items()):
        table.add_row(cell(f"{length:,}"), cell(f"{number:,}"))
    print_table(table)
    for is_defect, title in ((True, "To mend"), (False, "Worth a look")):
        findings = [f for f in inspection.findings if f.is_defect == is_defect]
        if findings:
            _print_findings(title, findings)


def _summary(inspection: Inspection) -> list[tuple[str, object]]:
    parts = ", ".join(f"{part}: {number:,}" for part, number in inspection.parts.items())
    number = len(inspection.looked)
    rows: list[tuple[str, object]] = [("labels", f"{number:,} ({parts})")]
    if num_unreadable := number - len(inspection.seen):
        rows.append(("unreadable", f"{num_unreadable:,}"))
    if sizes := inspection.sizes:
        (width, height), times = sizes.most_common(1)[0]
        rows.append(("size", f"{width} x {height} px: {format_share(times / sizes.total())}"))
    if len(sizes) > 1:
        for axis, name in enumerate(("width", "height")):
            sides = sorted(Counter(size[axis] for size in sizes.elements()).elements())
            middle = sides[len(sides) // 2]
            rows.append((name, f"{sides[0]:,} to {sides[-1]:,} px, median {middle:,}"))
    lengths = sorted(inspection.lengths.elements())
    rows.append(
        (
            "label length",
            f"{lengths[0]} to {quantity(lengths[-1], 'character')}, median "
            f"{lengths[len(lengths) // 2]}",
        )
    )
    rows.append(("characters", "".join(sorted(inspection.characters))))
    grammar = f"{inspection.all_fit.grammar} fits all labels"
    nearly = inspection.nearly_all_fit
    if nearly.grammar != inspection.all_fit.grammar:
        grammar += f", {nearly.grammar} {nearly.share:.1%}"
    rows.append(("grammar", grammar))
    rows.append(("to mend", quantity(inspection.num_defects, "finding")))
    num_odd = len(inspection.findings) - inspection.num_defects
    rows.append(("worth a look", quantity(num_odd, "finding")))
    return rows


def _print_findings(title: str, findings: list[Finding]) -> None:
    """Print the first findings of each kind, and how many there are."""
    print_table(summary_table([], title=f"\n{title}"))
    for kind, number in Counter(finding.kind for finding in findings).items():
        table = new_table(f"{KINDS[kind].title}: {number:,}")
        for finding in [f for f in findings if f.kind == kind][:NUM_SHOWN]:
            table.add_row(cell(finding.message))
        if number > NUM_SHOWN:
            table.add_row(cell(f"and {number - NUM_SHOWN:,} more; --json FILE has all"))
        print_table(table)


def _write_json(path: Path, data: DataSet, inspection: Inspection) -> None:
    """Write all counts and findings as one JSON object."""
    sizes = inspection.sizes.most_common()
    facts: dict[str, Any] = {
        "data": str(data.root),
        "layout": data.layout,
        "num_labels": len(inspection.looked),
        "num_unreadable": len(inspection.looked) - len(inspection.seen),
        "parts": inspection.parts,
        "sizes": [{"width": w, "height": h, "count": count} for (w, h), count in sizes],
        "characters": dict(inspection.characters.most_common()),
        "label_lengths": {
            str(length): count for length, count in sorted(inspection.lengths.items())
        },
        "grammar": inspection.all_fit.grammar,
        "nearly_all_grammar": inspection.nearly_all_fit.grammar,
        "nearly_all_share": inspection.nearly_all_fit.share,
        "num_to_mend": inspection.num_defects,
        "findings": [
            {
                "kind": finding.kind,
                "to_mend": finding.is_defect,
                "message": finding.message,
                "paths": finding.paths,
            }
            for finding in inspection.findings
        ],
    }
    write_json(path, facts)


def _draw_sheet(path: Path, name: str, inspection: Inspection, limit: int) -> None:
    """Draw the samples with findings, and then others, evenly chosen from the data set."""
    odd: dict[str, str] = {}  # those of the most serious kinds first
    for finding in inspection.findings:
        for place in finding.paths:
            odd.setdefault(place, KINDS[finding.kind].title)
    samples = [one.sample for one, _ in inspection.seen]
    by_path = {str(sample.path): sample for sample in samples}
    with_findings = [by_path[place] for place in odd if place in by_path]
    others = [sample for sample in samples if str(sample.path) not in odd]
    # Half of the sheet is for the others, to compare with.
    chosen = with_findings[: max(limit - len(others), -(-limit // 2))]
    room = min(limit - len(chosen), len(others))
    chosen += [others[i * len(others) // room] for i in range(room)]
    tiles = []
    for sample in chosen:
        picture = load_shrunk(sample.source)
        remark = odd.get(str(sample.path), "")
        tiles.append(Tile(picture, sample.path.name, sample.text, remark=remark))
    about = (
        f"{quantity(len(tiles), 'image')} of {len(inspection.looked):,}; "
        f"those with a finding, {len(with_findings):,} in all, come first and have a thick frame."
    )
    save_picture(draw_samples(tiles, f"Samples: {name}", about), path)
