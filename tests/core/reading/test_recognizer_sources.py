"""The recognizer's sources: unreadable pictures, single paths, and very many pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from exprocr import Prediction
from exprocr.core.reading import recognizer as module
from exprocr.errors import ImageError
from tests.support.pictures import with_a_mark
from tests.support.scripted import scripted_recognizer


def test_unreadable_pictures_keep_their_place_and_others_are_read(tmp_path: Path) -> None:
    good = with_a_mark(180, 60)
    good.save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    names = ["bad.png", "good.png", "none.png", "good.png", "bad.png"]
    recognizer = scripted_recognizer(("1+2", 0.9), ("3*4", 0.9))
    results = list(recognizer.stream(tmp_path / name for name in names))
    kinds = [type(result) for result in results]
    assert kinds == [ImageError, Prediction, ImageError, Prediction, ImageError]
    for name, result in zip(names, results, strict=True):
        if isinstance(result, Prediction):
            assert result.path == str(tmp_path / name)
        else:
            assert str(result).startswith(f"{tmp_path / name}: ")
    assert [r.text for r in results if isinstance(r, Prediction)] == ["1+2", "3*4"]


def test_characters_are_placed_in_their_own_picture_beside_unreadable_ones() -> None:
    sizes = [(180, 60), (90, 30), (60, 60), (360, 120), (20, 20)]
    pictures: list[Image.Image | bytes] = [with_a_mark(*size) for size in sizes]
    for place in (3, 1, 0):
        pictures.insert(place, b"no picture")
    readings = [("1+2", 0.9)] * len(sizes)
    results = list(scripted_recognizer(*readings).stream(pictures))
    predictions = [result for result in results if isinstance(result, Prediction)]
    for (_, height), prediction in zip(sizes, predictions, strict=True):
        # The frames lie at 8, 20 and 32 px of 60 rows.
        marks = [x * height // 60 for x in (8, 20, 32)]
        assert [character.x for character in prediction.characters] == marks
        assert {character.box[3] for character in prediction.characters} == {height}


def test_predict_raises_the_first_error(tmp_path: Path) -> None:
    recognizer = scripted_recognizer(("1+2", 0.9))
    sources: list[Image.Image | Path] = [with_a_mark(180, 60)]
    sources += [tmp_path / "first.png", tmp_path / "second.png"]
    with pytest.raises(ImageError, match=r"first\.png: expected a picture, found no such file"):
        recognizer.predict(sources)


def test_only_unreadable_pictures() -> None:
    assert [type(r) for r in scripted_recognizer().stream([b"", b"x"])] == [ImageError] * 2


@pytest.mark.parametrize("source", ["0.png", b"0", Path("0.png")])
def test_one_picture_is_no_list(source: str | bytes | Path) -> None:
    with pytest.raises(TypeError, match=r"expected a list .* found one \w+; pass \[source\]"):
        scripted_recognizer().predict(source)  # type: ignore[arg-type]


def test_stream_takes_pictures_chunk_by_chunk() -> None:
    pulled = 0

    def sources() -> Iterator[Image.Image]:
        nonlocal pulled
        for _ in range(10_000):
            pulled += 1
            yield with_a_mark(3, 1)

    recognizer = scripted_recognizer(*[("1", 0.9)] * 1000)
    results = recognizer.stream(sources())
    assert pulled == 0
    for number in range(1, 700):
        next(results)
        assert pulled == -(-number // module.CHUNK_SIZE) * module.CHUNK_SIZE
