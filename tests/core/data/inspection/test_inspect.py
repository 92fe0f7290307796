"""Inspecting data sets into which defects were put, one at a time."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from exprocr.core.data.dataset import load_dataset
from exprocr.core.data.inspection.findings import KINDS
from exprocr.core.data.inspection.inspect import Inspection, inspect
from tests.support.drawn_lines import line, write_part

Rows = list[tuple[Image.Image, str]]


def sums(number: int, seed: int = 0) -> Rows:
    """Different level-1 expressions and their pictures."""
    rng = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < number:
        digits = [rng.choice("0123456789") for _ in range(3)]
        first, second = rng.choice("+-*"), rng.choice("+-*")
        texts[f"{digits[0]}{first}{digits[1]}{second}{digits[2]}"] = None
    return [(line(text), text) for text in texts]


def examine(folder: Path, rows: Rows, val: Rows | None = None, *, frames: int = 45) -> Inspection:
    """Write and inspect a data set; with validation images, one of two parts."""
    if val is None:
        write_part(folder, rows)
    else:
        write_part(folder / "train", rows)
        write_part(folder / "val", val)
    return inspect(load_dataset(folder), lambda size: frames * size[0] // 200)


def found(inspection: Inspection) -> dict[str, list[list[str]]]:
    """Return the pictures of each finding by its kind."""
    kinds: dict[str, list[list[str]]] = {}
    for finding in inspection.findings:
        kinds.setdefault(finding.kind, []).append(
            ["/".join(Path(path).parts[-2:]) for path in finding.paths]
        )
    return kinds


def message(inspection: Inspection, kind: str) -> str:
    (text,) = (finding.message for finding in inspection.findings if finding.kind == kind)
    assert "\n" not in text
    return text


def test_nothing_is_wrong_with_a_sound_data_set(tmp_path: Path) -> None:
    rows = sums(60)
    inspection = examine(tmp_path / "data", rows)
    assert inspection.findings == []
    assert inspection.num_defects == 0
    assert inspection.parts == {"all": 60}
    assert inspection.sizes == {(200, 60): 60}
    assert inspection.lengths == {5: 60}
    assert inspection.characters == Counter("".join(text for _, text in rows))
    assert inspection.all_fit.grammar == inspection.nearly_all_fit.grammar == "level1"


def test_the_same_picture_twice(tmp_path: Path) -> None:
    """With its own label, with another one, across the split; in another file format too."""
    rows, val = sums(40), sums(20, seed=1)
    known = {text for _, text in rows}
    val = [(image, text) for image, text in val if text not in known]
    rows += [rows[3], (rows[5][0], "1+1+1")]
    val += [rows[7]]
    inspection = examine(tmp_path / "data", rows, val)
    with_copies = {k: v for k, v in found(inspection).items() if k in ("twice", "other_label")}
    assert with_copies == {
        "twice": [["train/3.png", "train/40.png"]],
        "other_label": [["train/5.png", "train/41.png"]],
    }
    assert found(inspection)["across_split"] == [["train/7.png", f"val/{len(val) - 1}.png"]]
    assert rows[5][1] in message(inspection, "other_label")
    assert "1+1+1" in message(inspection, "other_label")
    assert not any(kind.startswith("near_") for kind in found(inspection))


def test_the_same_pixels_in_another_file(tmp_path: Path) -> None:
    rows = sums(20)
    write_part(tmp_path / "data", rows)
    rows[4][0].save(tmp_path / "data" / "copy.bmp")
    rows[4][0].convert("RGB").save(tmp_path / "data" / "copy.gif")
    with (tmp_path / "data" / "labels.csv").open("a") as file:
        file.write(f"copy.bmp,{rows[4][1]}\ncopy.gif,{rows[4][1]}\n")
    inspection = inspect(load_dataset(tmp_path / "data"), lambda _: 45)
    assert found(inspection) == {"twice": [["data/4.png", "data/copy.bmp", "data/copy.gif"]]}


def test_near_duplicates(tmp_path: Path) -> None:
    rows, val = sums(40), [(line(text), text) for text in ("1-1-1", "2*2*2")]
    smaller = {index: rows[index][0].resize((150, 45)) for index in (2, 4, 6)}
    rows += [(smaller[2], rows[2][1]), (smaller[4], "9*9*9")]
    val += [(smaller[6], rows[6][1])]
    near = found(examine(tmp_path / "data", rows, val))
    assert near["near_twice"] == [["train/2.png", "train/40.png"]]
    assert near["near_other_label"] == [["train/4.png", "train/41.png"]]
    assert near["near_across_split"] == [["train/6.png", "val/2.png"]]


def test_unreadable_pictures_and_missing_ones(tmp_path: Path) -> None:
    write_part(tmp_path / "data", sums(30))
    (tmp_path / "data" / "4.png").write_bytes(b"no picture")
    (tmp_path / "data" / "9.png").unlink()
    inspection = inspect(load_dataset(tmp_path / "data"), lambda _: 45)
    assert found(inspection) == {"loading": [[]], "unreadable": [["data/4.png"]]}
    assert str(tmp_path / "data" / "4.png") in message(inspection, "unreadable")
    assert "9.png" in message(inspection, "loading")
    assert len(inspection.seen) == 28


def test_labels_too_long_for_their_width(tmp_path: Path) -> None:
    """CTC needs a frame for each character, and one more between equal neighbors."""
    rows = [*sums(30), (line("(5+5)*5"), "55+55+5"), (line("1+2+(34"), "1*23+45")]
    inspection = examine(tmp_path / "data", rows, frames=8)
    assert found(inspection)["too_long"] == [["data/30.png"]]  # 7 characters and 2 blanks
    assert "'55+55+5' needs 9 frames, a picture of 200 x 60 px gives 8" in message(
        inspection, "too_long"
    )


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("O+1-7", "0+1-7"),
        ("l*4+2", "1*4+2"),
        ("\uff11+2*3", "1+2*3"),  # full-width
        ("8\u22124+5", "8-4+5"),  # the minus sign of mathematics
        ("(1+2\uff09*S", "(1+2)*5"),
        ("7 + 7 - 1", "7+7-1"),
        ("1+2*", ""),
        ("hello", ""),
    ],
)
def test_a_label_outside_the_grammar_of_the_others(tmp_path: Path, label: str, meant: str) -> None:
    inspection = examine(tmp_path / "data", [*sums(60), (line("3-3+4"), label)])
    assert found(inspection)["outside_grammar"] == [["data/60.png"]]
    text = message(inspection, "outside_grammar")
    assert repr(label) in text
    assert text.endswith(f"; meant is probably {meant!r}") if meant else "probably" not in text
    assert inspection.nearly_all_fit.grammar == "level1"
    assert inspection.nearly_all_fit.share == pytest.approx(60 / 61)
    assert inspection.all_fit.grammar != "level1"


def test_odd_pictures(tmp_path: Path) -> None:
    rows = sums(60)
    rows += [
        (Image.new("L", (200, 60), 240), "1+1+1"),
        (line("2+2+2", paper=20, ink=230), "2+2+2"),
        (line("3+3+3").resize((800, 240)), "3+3+3"),
        (line("4+4+4", size_px=56), "4+4+4"),
        (line("5+5", size_px=28), "5" + "+5" * 20),
    ]
    inspection = examine(tmp_path / "data", rows, frames=90)
    assert ": light on dark, where" in message(inspection, "polarity")
    kinds = found(inspection)
    assert kinds["blank"] == [["data/60.png"]]
    assert kinds["polarity"] == [["data/61.png"]]
    assert kinds["size"] == [["data/62.png"], ["data/62.png"]]  # wide, and high
    assert kinds["ink"] == [["data/63.png"]]
    assert kinds["length"] == [["data/64.png"]]


def test_dark_on_light_among_light_on_dark(tmp_path: Path) -> None:
    rows = [(line(text, paper=20, ink=230), text) for _, text in sums(40)]
    inspection = examine(tmp_path / "data", [*rows, (line("2+2+2"), "2+2+2")])
    assert ": dark on light, where" in message(inspection, "polarity")
    assert found(inspection) == {"polarity": [["data/40.png"]]}


def test_both_polarities_are_not_odd_where_both_are_frequent(tmp_path: Path) -> None:
    rows = [
        (line(text, paper=20, ink=230) if index % 4 else image, text)
        for index, (image, text) in enumerate(sums(40))
    ]
    assert examine(tmp_path / "data", rows).findings == []


def test_characters_seen_once_or_in_validation_only(tmp_path: Path) -> None:
    rows = [(line(f"{n}+{n + 1}"), f"{n}+{n + 1}") for n in range(1, 8)]
    rows += [(line("5-5"), "5-5"), (line("1-1"), "1-1"), (line("9+1"), "9+1")]
    inspection = examine(tmp_path / "data", rows, [(line("3*3"), "3*3")])
    kinds = found(inspection)
    assert kinds["only_in_val"] == [["val/0.png"]]
    assert "'*'" in message(inspection, "only_in_val")
    assert kinds["seen_once"] == [["train/6.png"], ["train/9.png"]]  # 8 and 9


def test_findings_come_in_the_order_of_their_kinds(tmp_path: Path) -> None:
    rows = [*sums(40), (Image.new("L", (200, 60)), "1+1+1"), (line("0-0-0"), "O-0-0")]
    kinds = [finding.kind for finding in examine(tmp_path / "data", rows).findings]
    assert kinds == sorted(kinds, key=list(KINDS).index)
    assert {"blank", "outside_grammar"} < set(kinds)
