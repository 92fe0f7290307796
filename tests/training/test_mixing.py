"""Rendered images beside labeled ones: the look and the texts that are nearest to these."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from exprocr.cli import group
from exprocr.core.config.schema import PRESETS, Preset, SynthConfig
from exprocr.core.data.dataset import Sample
from exprocr.core.model.artifact import ModelFile
from exprocr.errors import FontError
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import FILES_STREAM, Renderer
from exprocr.synth.texts import ListedTexts
from exprocr.training.mixing import distances, frechet, mix_in, texts_like
from exprocr.training.run import RunData
from tests.support.handwriting import drawn_digits, write_digits
from tests.support.pictures import matplotlib_fonts

LABELS = ("5+7=12", "12-4=8", "3*6=18", "40+2=?", "9-8=1", "7*11=77")
OTHERS = ("contest", "captcha", "print", "display")
FONTS = SynthConfig(fonts=(str(matplotlib_fonts()),), system_fonts=False)


def labeled(folder: Path, look: str, labels: Sequence[str], synth: SynthConfig) -> list[Sample]:
    """Write 32 images of a look with labels, as `train` reads them, and return them."""
    folder.mkdir()
    characters = "".join(sorted(set().union(*labels)))
    fonts = find_fonts([Path(synth.fonts[0])], characters, system=False, partial=True).usable
    renderer = Renderer(fonts, SynthConfig(looks=(look,), digits=synth.digits), ListedTexts(labels))
    samples = []
    for number in range(32):
        text, image = renderer.sample(7, FILES_STREAM, number)
        image.save(folder / f"{number}.png")
        samples.append(Sample(folder / f"{number}.png", text, "here"))
    lines = "".join(f"{sample.text}\n" for sample in samples)
    (folder / "labels.txt").write_text(lines, encoding="utf-8")
    return samples


@pytest.fixture(scope="module")
def bundled() -> ModelFile:
    return ModelFile.load()


@pytest.mark.parametrize(
    "look",
    [
        "screen",
        "hand",
        *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS),
    ],
)
def test_the_nearest_look_is_the_one_that_the_images_have(
    tmp_path: Path, bundled: ModelFile, look: str
) -> None:
    write_digits(tmp_path / "digits", *drawn_digits(200))
    synth = SynthConfig(fonts=FONTS.fonts, system_fonts=False, digits=str(tmp_path / "digits"))
    samples = labeled(tmp_path / "data", look, LABELS, synth)
    data = RunData(train=samples)
    settings, remark = mix_in(Preset(synth=synth), data, bundled, knows_all=True)
    assert settings.synth.looks == (look,)
    assert f"in the look {look}, the nearest" in remark


def test_a_look_that_cannot_be_drawn_is_left_out(tmp_path: Path, bundled: ModelFile) -> None:
    samples = labeled(tmp_path / "data", "screen", LABELS, FONTS)
    assert set(distances(samples, FONTS, bundled, ("hand", "screen"), skip=True)) == {"screen"}
    with pytest.raises(FontError, match="handwriting"):
        distances(samples, FONTS, bundled, ("hand",))
    lines = [Sample(sample.path, "\u4e2d\u56fd", "here") for sample in samples]
    assert not distances(lines, SynthConfig(system_fonts=False), bundled, ("screen",), skip=True)
    with pytest.raises(FontError):  # named fonts must be usable
        distances(lines, FONTS, bundled, ("screen",), skip=True)


@pytest.mark.parametrize(
    ("labels", "settings"),
    [
        (["(1+2)*3", "4-5-6"], {"texts_like": "level1"}),
        (["12", "3456"], {"grammar": "digits", "max_length": 4}),
        (["12.5", "7"], {"grammar": "number", "max_length": 4}),
        (["12+340", "7*8-9"], {"texts_like": "sums"}),
        (["5+7=?", "2*8="], {"texts_like": "captcha"}),
        (["12+3=", "5-2="], {"texts_like": "captcha"}),
        (["3\u00d74", "12\u00d75"], {"texts_like": "captcha"}),
        (["12+3=15", "40-16=24"], {"texts_like": "worksheet"}),
        (["3\u00d74=12", "\ufffd\ufffd"], {"texts_like": "worksheet"}),
        (["123456", "\ufffd"], {"grammar": "digits", "max_length": 5}),
        (["0.7\u00f710=0.07", "14\u00f73=4\u20262", "2<3"], {"texts_like": "worksheet"}),
        (["AB-12", "X"], {}),
        (
            [f"AB-{number:05}" for number in range(150)],
            {"grammar": "regex:[AB]{2}-[0-9]{5}", "max_length": 8},
        ),
    ],
)
def test_texts_are_like_the_labels(labels: list[str], settings: dict[str, object]) -> None:
    assert texts_like(labels, max_length=5) == settings


def test_what_a_model_must_not_learn_is_not_rendered(tmp_path: Path, bundled: ModelFile) -> None:
    data = RunData(train=labeled(tmp_path / "data", "print", ("12", "3456"), FONTS))
    settings, _ = mix_in(Preset(synth=FONTS), data, bundled, knows_all=False)
    assert settings.synth.grammar == "digits"
    named = Preset(synth=replace(FONTS, grammar="regex:[A-C]{2}"))
    settings, remark = mix_in(named, data, bundled, knows_all=False)
    assert settings.training.synth_mix == 0
    assert remark.startswith("nothing is rendered: the texts regex:[A-C]{2} have 'ABC'")


def test_what_does_not_fit_the_network_is_not_rendered(tmp_path: Path, bundled: ModelFile) -> None:
    data = RunData(train=labeled(tmp_path / "data", "print", LABELS, FONTS))
    reference = replace(PRESETS["reference"], synth=FONTS)
    settings, remark = mix_in(reference, data, bundled, knows_all=True)
    assert settings.training.synth_mix == 0
    assert remark.startswith("nothing is rendered: synth.width: expected images wide enough for")


def test_frechet_distance_against_its_general_form() -> None:
    """Of Gaussians N(m, A) and N(n, B): |m - n|^2 + tr(A + B - 2 (A B)^(1/2))."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(1, 2, (500, 3)), rng.normal([2, 1, 0], [1, 2, 3], (400, 3))
    unit = np.concatenate([one, other]).std(axis=0)
    means = [sample.mean(axis=0) / unit for sample in (one, other)]
    a, b = (np.diag((sample / unit).var(axis=0)) for sample in (one, other))
    values, vectors = np.linalg.eig(a @ b)
    root = vectors @ np.diag(np.sqrt(values)) @ np.linalg.inv(vectors)
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(a + b - 2 * root)
    assert frechet(one, other, {"": other}) == pytest.approx(np.sqrt(expected / 3))
    assert frechet(one, one, {"": other}) == 0


def train(*arguments: object) -> Result:
    fonts = ("--fonts", FONTS.fonts[0], "--no-system-fonts", "--workers", 0, "--threads", 1)
    return CliRunner().invoke(group, ["train", *map(str, (*arguments, *fonts))])


def test_the_command_says_what_it_chose_and_keeps_it(tmp_path: Path) -> None:
    labeled(tmp_path / "data", "print", ("123", "45.6", "7"), FONTS)
    (tmp_path / "tiny.toml").write_text("[training]\nbatch_size = 4\n", encoding="utf-8")
    options = ("--synth-mix", "auto", "--steps", 2, "--config", tmp_path / "tiny.toml")
    result = train(tmp_path / "data", *options, "--output", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert "50% rendered images, in the look print, the nearest" in result.stderr
    assert "their texts: number" in result.stderr
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text(encoding="utf-8"))
    assert config["training"]["synth_mix"] == 0.5
    assert config["synth"]["looks"] == ["print"]
    assert (config["synth"]["grammar"], config["synth"]["max_length"]) == ("number", 4)
    assert ModelFile.load(tmp_path / "run").grammar == "number"
    # Of looks that are named, the nearest; other texts, and none at all.
    result = train(
        tmp_path / "data", *options, "--look", "screen", "--texts-like", "sums",
        "--output", tmp_path / "named",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "50% rendered images, in the look screen; their texts: sums" in result.stderr
    labeled(tmp_path / "words", "print", ("AB", "C-D"), FONTS)
    result = train(tmp_path / "words", *options, "--output", tmp_path / "plain")
    assert result.exit_code == 0, result.stderr
    assert "nothing is rendered: no texts that exprocr knows are like the labels" in result.stderr
    config = tomllib.loads((tmp_path / "plain" / "config.toml").read_text(encoding="utf-8"))
    assert config["training"]["synth_mix"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--synth-mix", "auto"), "give DATA, or --synth-mix 1"),
        (("--synth-mix", "much"), "expected 0 to 1 or auto, found 'much'"),
        (("--synth-mix", "1.5"), "expected 0 to 1 or auto, found '1.5'"),
    ],
)
def test_wrong_shares(options: tuple[str, ...], message: str) -> None:
    result = train(*options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
