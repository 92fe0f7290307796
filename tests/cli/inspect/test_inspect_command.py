"""``exprocr inspect``: tables, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from exprocr.core.data.inspection.findings import KINDS
from tests.support.drawn_lines import line, write_part
from tests.support.tiny_runs import invoke

SOUND = [f"{a}+{b}-{(a + b) % 10}" for a in range(10) for b in range(10)]


def sound(folder: Path) -> Path:
    return write_part(folder, [(line(text), text) for text in SOUND])


def with_defects(folder: Path) -> Path:
    rows = [(line(text), text) for text in SOUND]
    rows += [(line("0+0-0"), "O+0-0"), (Image.new("L", (200, 60)), "1*1*1")]
    return write_part(folder, rows)


def test_a_sound_data_set(tmp_path: Path) -> None:
    result = invoke("inspect", sound(tmp_path / "data"), "--strict")
    assert result.exit_code == 0, result.output
    assert "level1 fits all labels" in result.stdout
    assert "To mend" not in result.stdout
    shown = [row.split() for row in result.stdout.splitlines()]
    assert ["+", "100", "20.0%"] in shown
    assert ["5", "100"] in shown


def test_strict_is_code_3_if_there_is_something_to_mend(tmp_path: Path) -> None:
    data = with_defects(tmp_path / "data")
    result = invoke("inspect", data, "--json", tmp_path / "a.json")
    assert result.exit_code == 0, result.output
    assert "To mend" in result.stdout
    strict = invoke("inspect", data, "--strict", "--json", tmp_path / "b.json")
    assert strict.exit_code == 3
    assert strict.stdout == result.stdout
    facts = json.loads((tmp_path / "b.json").read_text())
    assert facts == json.loads((tmp_path / "a.json").read_text())
    to_mend = [finding for finding in facts["findings"] if finding["to_mend"]]
    assert f"exprocr: {len(to_mend)} findings to mend" in strict.stderr
    assert facts["num_to_mend"] == len(to_mend)
    by_kind = {finding["kind"]: finding for finding in facts["findings"]}
    assert by_kind["blank"]["paths"] == [str(data / "101.png")]
    assert "'0+0-0'" in by_kind["outside_grammar"]["message"]
    assert by_kind.keys() <= KINDS.keys()


def test_only_a_look_is_no_reason_for_code_3(tmp_path: Path) -> None:
    rows = [(line(text), text) for text in SOUND]
    data = write_part(tmp_path / "data", [*rows, (line("1*1-2"), "1*1-2")])
    result = invoke("inspect", data, "--strict")
    assert result.exit_code == 0, result.output
    assert "Worth a look" in result.stdout


def test_the_counts_in_the_file(tmp_path: Path) -> None:
    invoke("inspect", sound(tmp_path / "data"), "--json", tmp_path / "a.json")
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["num_labels"] == 100
    assert facts["parts"] == {"all": 100}
    assert facts["sizes"] == [{"width": 200, "height": 60, "count": 100}]
    assert facts["label_lengths"] == {"5": 100}
    assert facts["characters"]["-"] == 100
    assert facts["grammar"] == facts["nearly_all_grammar"] == "level1"
    assert facts["findings"] == []


def test_odd_ones_come_first_on_the_sheet(tmp_path: Path) -> None:
    rows = [(line(text), text) for text in SOUND]
    red = Image.new("RGB", (200, 60), (250, 0, 0))
    red.paste((0, 0, 0), (20, 20, 60, 40))
    data = write_part(tmp_path / "data", [*rows, (red, "O+0-0")])
    result = invoke("inspect", data, "--sheet", tmp_path / "sheet.png", "--limit", 4)
    assert result.exit_code == 0, result.output
    sheet = Image.open(tmp_path / "sheet.png").convert("RGB")
    left = sheet.crop((0, 0, sheet.width // 2, sheet.height))
    colors = left.getcolors(left.width * left.height)
    assert colors is not None
    assert {color: count for count, color in colors}[250, 0, 0] > 1_000


def test_half_of_the_sheet_is_left_to_the_others(tmp_path: Path) -> None:
    """Ordinary lines are black on white, and the many blank pictures with a label are red."""
    rows = [(line(text), text) for text in SOUND]
    red = Image.new("RGB", (200, 60), (250, 0, 0))
    data = write_part(tmp_path / "data", rows + [(red, text) for text in SOUND[:40]])
    invoke("inspect", data, "--sheet", tmp_path / "sheet.png", "--limit", 6)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    red_area = int((pixels == (250, 0, 0)).all(axis=2).sum())
    paper_area = int((pixels == 250).all(axis=2).sum())
    assert 0.6 * red_area < paper_area < red_area  # the lines cover some of their paper


def test_labels_are_changed_by_map(tmp_path: Path) -> None:
    data = with_defects(tmp_path / "data")
    invoke("inspect", data, "--map", "O=0", "--json", tmp_path / "a.json")
    facts = json.loads((tmp_path / "a.json").read_text())
    kinds = {finding["kind"] for finding in facts["findings"]}
    assert "blank" in kinds
    assert "outside_grammar" not in kinds


def test_no_data_set_is_code_1(tmp_path: Path) -> None:
    result = invoke("inspect", tmp_path, "--strict")
    assert (result.exit_code, result.stdout) == (1, "")
    (text,) = result.stderr.splitlines()
    assert text.startswith(f"exprocr: {tmp_path}: expected")
