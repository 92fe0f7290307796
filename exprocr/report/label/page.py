"""The page for labeling: its pictures as data, and the texts around them.

The page's script is `templates/label.js`. It takes the data from a block of JSON, and puts texts
into the page as texts alone. The page's policy allows this one script and this one style, by their
digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Sequence
from typing import Any

from exprocr.core.evaluation.metrics import align
from exprocr.core.reading.prediction import Prediction
from exprocr.core.system.limits import MAX_LABEL_LENGTH
from exprocr.report.html import data_uri, printable, render, source
from exprocr.report.label.candidates import Candidate, CandidateSet
from exprocr.words import format_confidence, quantity

TEMPLATE = "label.html.jinja"

DOUBTFUL = 0.9
"""A character with a lower probability is marked."""


def render_page(found: CandidateSet, model: str | None) -> str:
    """Write the page.

    Args:
        found: The pictures.
        model: A name of the model for ``train --init``; None if training cannot start from it.
    """
    style = source("base.css") + source("label.css")
    script = source("label.js")
    number = sum(candidate.prediction is not None for candidate in found.candidates)
    return render(
        TEMPLATE,
        title=f"{'Check' if found.labels else 'Label'} {quantity(number, 'picture')}",
        found=found,
        differ=quantity(sum(candidate.disagrees for candidate in found.candidates), "label"),
        style=style,
        script=script,
        policy=_policy(style, script),
        data=_json(_data(found)),
        train=_command("train", found.folder, *(["--init", model] if model else [])),
        evaluate=_command("eval", found.folder, *(["--model", model] if model else [])),
        correct=_command("label --labels", found.folder),
    )


def _policy(style: str, script: str) -> str:
    """Return the page's policy: no source but data URIs, one style and one script."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _command(name: str, folder: str, *options: str) -> str:
    return shlex.join(["exprocr", *name.split(), "labels.csv", "--images", folder, *options])


def _json(data: object) -> str:
    """Return JSON that ends no script element, and that any encoding can hold."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _data(found: CandidateSet) -> dict[str, Any]:
    in_path_order = sorted(found.candidates, key=lambda candidate: candidate.path)
    numbers = {candidate.path: number for number, candidate in enumerate(in_path_order)}
    return {
        "digest": found.digest,
        "characters": found.characters,
        "maxLength": MAX_LABEL_LENGTH,
        "labeled": found.labels is not None,
        "pictures": [
            {"number": numbers[candidate.path], **_picture(candidate)}
            for candidate in found.in_order
        ],
    }


def _picture(candidate: Candidate) -> dict[str, Any]:
    """Return what the script needs of a picture."""
    name, prediction = printable(candidate.path), candidate.prediction
    if prediction is None:
        return {"name": name, "problem": printable(candidate.problem)}
    width, height = candidate.size
    data: dict[str, Any] = {
        "name": name,
        "cell": candidate.cell,
        "image": data_uri(candidate.thumbnail),
        "width": width,
        "height": height,
        "text": prediction.text,
        "confidence": float(format_confidence(prediction.confidence)),
        "characters": _characters(prediction, candidate.size),
        "others": [other.text for other in prediction.alternatives if other.text],
    }
    if candidate.label is not None:
        pairs = align(candidate.label, prediction.text)
        data |= {
            "label": candidate.label,
            "labelDiffers": _differing(pairs, 0),
            "textDiffers": _differing(pairs, 1),
        }
    return data


def _characters(prediction: Prediction, size: tuple[int, int]) -> list[list[Any]]:
    """Return the doubtful characters of a reading.

    Args:
        prediction: The reading.
        size: Width and height of the thumbnail, px.

    Returns:
        For each its place in the text, what to say of it, and its left and right side, 0..1.
    """
    width, height = size
    found: list[list[Any]] = []
    for place, character in enumerate(prediction.characters):
        if character.probability >= DOUBTFUL:
            continue
        said = f"{character.text} {character.probability:.0%}"
        if character.alternative:
            said += f", {character.alternative} {character.alternative_probability:.0%}"
        left, _, right, bottom = character.box  # in the picture, which is `bottom` px high
        sides = (min(x * height / bottom / width, 1.0) for x in (left, right))
        found.append([place, said, *(round(side, 4) for side in sides)])
    return found


def _differing(pairs: Sequence[tuple[str, str]], side: int) -> list[int]:
    """Return the places in one of two aligned texts whose characters the other one lacks."""
    present = [pair for pair in pairs if pair[side]]
    return [place for place, pair in enumerate(present) if pair[0] != pair[1]]
