"""``exprocr info``: the card of a model, printed and in files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.loading import load_model
from exprocr.training.run import RunSpec
from tests.support.tiny_runs import invoke, start, tiny_settings, write_files


def card_of(model: Path | str, folder: Path) -> dict[str, dict[str, object]]:
    result = invoke("info", model, "--json", folder / "card.json")
    assert result.exit_code == 0, result.output
    card: dict[str, dict[str, object]] = json.loads((folder / "card.json").read_text())
    return card


def test_a_model_in_the_package(tmp_path: Path) -> None:
    """Its file is older than what a card can say."""
    card = card_of("contest", tmp_path)
    engine = load_model("contest", engine="torch").engine
    parameters = sum(value.numel() for value in engine.network.parameters())  # type: ignore[attr-defined]
    assert card["model"]["parameters"] == parameters
    assert card["model"]["license"] == "MIT"
    assert card["what_it_reads"]["grammar"] == "level1"
    assert card["versions"] == {"exprocr": None, "torch": None}
    shown = invoke("info", "contest").stdout
    assert "not recorded" in shown
    assert "()*+-0123456789 (15)" in shown


def test_a_run_names_its_data_and_its_origin(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", 24)
    settings = tiny_settings(epochs=1)
    start(RunSpec(settings=settings, data=str(data)), tmp_path / "first")
    first = ModelFile.load(tmp_path / "first")
    spec = RunSpec(settings=settings, data=str(data), init=str(tmp_path / "first"))
    start(spec, tmp_path / "second")
    one, two = (card_of(tmp_path / name, tmp_path) for name in ("first", "second"))
    origin = "digest_of_the_weights_it_started_from"
    assert one["what_it_comes_from"] == {origin: None}
    assert "random weights" in invoke("info", tmp_path / "first").stdout
    assert two["what_it_comes_from"] == {origin: first.weights_digest()}
    trained = one["what_it_was_trained_on"]
    assert (trained["labeled_images"], trained["validation_images"]) == (18, 6)
    assert trained["digest_of_the_data_set"] is not None
    assert trained == two["what_it_was_trained_on"]
    measured = two["measured_on_validation_images"]
    assert (
        measured["exact_match"] == ModelFile.load(tmp_path / "second").training["val_exact_match"]
    )


def test_the_flat_field_correction(tmp_path: Path) -> None:
    """The contest's model was trained without one."""
    contest = ModelFile.load("contest")
    assert not contest.preprocess.flat_field
    corrected = replace(contest, preprocess=replace(contest.preprocess, flat_field=True))
    corrected.save(tmp_path / "on.safetensors")
    for model, is_on in (("contest", False), (tmp_path / "on.safetensors", True)):
        assert card_of(model, tmp_path)["network"]["flat_field"] is is_on
        shown = "yes" if is_on else "no"
        result = invoke("info", model, "--markdown", tmp_path / "card.md")
        assert f"flat field  {shown}\n" in re.sub(" +\n", "\n", result.stdout)
        assert f"| flat field | {shown} |" in (tmp_path / "card.md").read_text()


def test_markdown_shows_what_is_printed(tmp_path: Path) -> None:
    result = invoke("info", "contest", "--markdown", tmp_path / "card.md")
    page = (tmp_path / "card.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and line != "| | |"]
    assert len(rows) > 25
    for row in rows:
        name, value = row.replace("\\", "").strip("| ").split(" | ")
        assert f"{name} " in result.stdout
        assert value in result.stdout
    assert r"()\*+-0123456789" in page


def test_no_model_is_code_1(tmp_path: Path) -> None:
    result = invoke("info", tmp_path / "none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"exprocr: {tmp_path / 'none'}: expected a model file, found none\n"
