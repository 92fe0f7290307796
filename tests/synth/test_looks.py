"""All looks: reproducible, of the right size, and with all of the text in the picture."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import captcha.image
import numpy as np
import pytest
from captcha.image import ImageCaptcha
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from exprocr.choices import LOOKS
from exprocr.core.config.schema import MAX_WIDTH_PX, ModelConfig, SynthConfig
from exprocr.core.model.geometry import num_frames
from exprocr.errors import FontError
from exprocr.synth import looks
from exprocr.synth.contest.painter import CaptchaPainter
from exprocr.synth.dice import Dice
from exprocr.synth.fonts import FontFile, find_fonts
from exprocr.synth.looks import DISPLAY, HAND, PRINT, SCREEN, Light, Typesetting
from exprocr.synth.paint import light
from exprocr.synth.paint.display import DisplayPainter
from exprocr.synth.paint.handwritten import HandPainter
from exprocr.synth.paint.printed import PrintPainter
from exprocr.synth.paint.screen import ScreenPainter
from exprocr.synth.paint.segments import SEGMENTS
from exprocr.synth.renderer import LETTERS, Renderer, sample_rng
from exprocr.synth.texts import LEVEL1, ListedTexts
from exprocr.synth.typefaces import Typefaces
from exprocr.synth.widths import least_width, natural_width
from tests.benchmarks.captcha_images import SeededSecrets
from tests.support.handwriting import drawn_digits, write_digits
from tests.support.pictures import matplotlib_fonts

SANS = FontFile("DejaVu Sans", "Book", str(matplotlib_fonts() / "DejaVuSans.ttf"))
SERIF = FontFile("DejaVu Serif", "Book", str(matplotlib_fonts() / "DejaVuSerif.ttf"))
FONTS = [SANS, SERIF]


GIVEN = ListedTexts(
    (
        "12+34=?",
        "0.7÷10=0.07",
        "14÷3=4…2",
        "(25-9)\N{MULTIPLICATION SIGN}4=64",
        "AB-1234",
        "9",
    )
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("handwriting") / "digits"
    return str(write_digits(folder, *drawn_digits(50)))


RendererOf = Callable[..., Renderer]


@pytest.fixture
def renderer_of(digits: str) -> RendererOf:
    def make(*names: str, **changes: Any) -> Renderer:
        config = SynthConfig(looks=names, digits=digits, **changes)
        return Renderer(FONTS, config, GIVEN)

    return make


@pytest.mark.parametrize("look", LOOKS)
def test_a_sample_is_a_function_of_seed_stream_and_index(
    look: str, renderer_of: RendererOf
) -> None:
    first = [renderer_of(look).sample(3, 1, index) for index in range(12)]
    one = pickle.loads(pickle.dumps(renderer_of(look)))
    for index in reversed(range(12)):
        text, image = one.sample(3, 1, index)
        assert text == first[index][0]
        assert image.tobytes() == first[index][1].tobytes()
    assert len({image.tobytes() for _, image in first}) == 12


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_are_as_wide_as_asked_for_or_as_the_text_needs(
    look: str, renderer_of: RendererOf
) -> None:
    for index, text in enumerate([*GIVEN.texts, "11111111", "1" * 400]):
        rng = sample_rng(0, 0, index)
        free = renderer_of(look).render(text, rng)
        assert (free.mode, free.height) == ("RGB", 60)
        assert least_width(text, 60) <= free.width <= MAX_WIDTH_PX
        set_ = renderer_of(look, width=150, height=40).render(text, rng)
        assert (set_.mode, set_.size) == ("RGB", (150, 40))
    longer, shorter = (
        np.mean([renderer_of(look).render(text, sample_rng(1, 0, i)).width for i in range(20)])
        for text in ("123+456=579", "1+2=3")
    )
    assert longer > 1.5 * shorter


def test_level_1_in_the_contests_look_has_the_contests_size(digits: str) -> None:
    mixed = Renderer(FONTS, SynthConfig(looks=("contest", "print"), digits=digits))
    assert {Renderer(FONTS).sample(0, 0, i)[1].size for i in range(5)} == {(180, 60)}
    sizes = Counter(mixed.sample(0, 0, i)[1].size for i in range(60))
    assert 15 < sizes[180, 60] < 45
    assert len(sizes) > 10


@pytest.mark.parametrize("text", ["7", "12+34", "11111", "1223334444", "5" * 60])
@pytest.mark.parametrize("height", [60, 90])
def test_the_least_width_has_a_frame_for_each_character_and_each_repetition(
    text: str, height: int
) -> None:
    width = natural_width(0, text, height)
    scaled = round(width * 60 / height)
    needed = len(text) + sum(a == b for a, b in pairwise(text))
    assert num_frames(ModelConfig(), scaled) >= needed
    assert width in (20, -(-needed * 4 * height // 60))


def test_shares_of_looks(renderer_of: RendererOf, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()

    def count(painter: Any, *_: Any) -> Image.Image:
        counts[type(painter).__name__] += 1
        return Image.new("RGB", (20, 60))

    for painter in (PrintPainter, ScreenPainter, DisplayPainter):
        monkeypatch.setattr(painter, "paint", count)
    renderer = renderer_of("print:3", "screen", "display:0.5")
    for index in range(3000):
        renderer.sample(0, 0, index)
    shares = {name: number / 3000 for name, number in counts.items()}
    expected = {"PrintPainter": 3, "ScreenPainter": 1, "DisplayPainter": 0.5}
    assert shares == pytest.approx({k: v / 4.5 for k, v in expected.items()}, abs=0.035)


def test_looks_with_texts_of_their_own(
    renderer_of: RendererOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: Counter[tuple[str, str]] = Counter()
    written: set[str] = set()

    def count(painter: Any, text: str, *_: Any) -> Image.Image:
        written.update(text)
        kind = "given" if text in GIVEN.texts else "letters" if text.isalpha() else "captcha"
        drawn[type(painter).__name__, kind] += 1
        return Image.new("RGB", (20, 60))

    for painter in (PrintPainter, ScreenPainter):
        monkeypatch.setattr(painter, "paint", count)
    renderer = renderer_of("print/captcha:3", "print:1", "screen/unknown:2")
    texts = {renderer.sample(0, 0, index)[0] for index in range(3000)}
    shares = {kind: number / 3000 for kind, number in drawn.items()}
    expected = {
        ("PrintPainter", "captcha"): 3 / 6,
        ("PrintPainter", "given"): 1 / 6,
        ("ScreenPainter", "letters"): 2 / 6,
    }
    assert shares == pytest.approx(expected, abs=0.04)
    # A letter is no part of a text, but all of them are drawn.
    assert not any(c.isalpha() for text in texts - set(GIVEN.texts) for c in text)
    assert set(LETTERS) < written
    assert {"\ufffd" * num for num in range(2, 11)} < texts


# What is in a picture without noise, blur and all else that hides it.

CLEAN = Light(
    ground=(1.0, 1.0),
    gradient_share=0,
    clouds_share=0,
    shadow_share=0,
    contrast=(1.0, 1.0),
    low_contrast_share=0,
    noise_share=0,
    blur_share=0,
    resolution_share=0,
    jpeg_share=0,
    inverse_share=0,
)
APART = Typesetting(tracking=(0.15, 0.25), sign_gap=(0.0, 0.3), wide_gap_share=0)
BARE: dict[str, Any] = {
    "box_share": 0,
    "underline_share": 0,
    "ruled_share": 0,
    "neighbor_share": 0,
    "worn_share": 0,
}
CLEAN_PRINT = replace(
    PRINT,
    typesetting=APART,
    placement=replace(PRINT.placement, height=(0.5, 1.0)),
    light=CLEAN,
    paper_tint=0,
    **BARE,
)
CLEAN_SCREEN = replace(
    SCREEN,
    size_px=(22, 30),
    gap_em=(0.2, 0.3),
    uneven_share=0,
    several_colors_share=0,
    ground=(1.0, 1.0),
    contrast=(0.9, 1.0),
    color_share=0,
    speckles_share=0,
    grain_share=0,
    lines_share=0,
    jpeg_share=0,
    inverse_share=0,
)
CLEAN_HAND = replace(
    HAND,
    printed=replace(CLEAN_PRINT, placement=replace(HAND.printed.placement, height=(0.7, 1.0))),
    gap=(0.3, 0.6),
    digit_gap=(0.2, 0.4),
    stroke=(0.1, 0.12),
    slant=(0.0, 0.0),
    box_share=0,
    neighbor_share=0,
    cut_share=0,
    strength=(1.0, 1.0),
    inks=((0, 0, 0),),
)
CLEAN_DISPLAY = replace(
    DISPLAY,
    placement=replace(DISPLAY.placement, height=(0.8, 0.95), stretch=(1.4, 2.0)),
    light=CLEAN,
    thickness=(0.09, 0.1),
    gap=(0.05, 0.06),
    slant=(0.0, 0.1),
    spacing=(0.4, 0.5),
    unlit_share=0,
    led_share=0,
    glare_share=0,
    bezel_share=0,
    unit_share=0,
    small_share=0,
    square_share=0,
    grounds=((255, 255, 255),),
)


def ink_of(image: Image.Image, share: float = 0.5) -> NDArray[np.bool_]:
    gray = np.asarray(image.convert("L"), dtype=float)
    return np.asarray(gray < 255 - share * (255 - gray.min()))


def num_parts(ink: NDArray[np.bool_]) -> int:
    """Return the number of separate pieces of ink, also those that touch at a corner only once."""
    image = Image.fromarray(np.pad(ink, 1)).convert("L")
    number = 0
    while (box := image.point(lambda level: 255 * (level == 255)).getbbox()) is not None:
        row = np.asarray(image)[box[1]]
        ImageDraw.floodfill(image, (int(np.flatnonzero(row == 255)[0]), box[1]), 128)
        number += 1
    return number


def parts_of_text(text: str) -> int:
    """Return the number of separate pieces of ink of a text in Pillow's own drawing."""
    font = ImageFont.truetype(SANS.path, 60)
    return sum(num_parts(np.asarray(font_image(character, font)) > 127) for character in text)


def font_image(character: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    image = Image.new("L", (100, 100))
    ImageDraw.Draw(image).text((20, 10), character, 255, font)
    return image


TEXT = "12+34=?"
TYPEFACES = Typefaces([SANS], GIVEN.characters)


def check_parts(pictures: list[Image.Image], expected: int, least_right: float) -> None:
    """Check that most pictures have the pieces of ink of the text, and none touches an edge."""
    numbers = []
    for picture in pictures:
        ink = ink_of(picture)
        edges = (ink[0], ink[-1], ink[:, 0], ink[:, -1])
        assert not any(edge.any() for edge in edges)
        numbers.append(num_parts(ink))
    assert np.mean([number == expected for number in numbers]) >= least_right, Counter(numbers)


@pytest.mark.parametrize("text", [TEXT, "0.7÷10=0.07", "AB-1234"])
def test_every_character_of_print_is_there(text: str) -> None:
    painter = PrintPainter(TYPEFACES, 90, CLEAN_PRINT)
    pictures = [painter.paint(text, None, sample_rng(0, 0, i)) for i in range(24)]
    check_parts(pictures, parts_of_text(text), 0.95)


def test_every_character_on_a_screen_is_there() -> None:
    painter = ScreenPainter(TYPEFACES, 90, CLEAN_SCREEN)
    pictures = [painter.paint(TEXT, None, sample_rng(0, 0, i)) for i in range(40)]
    check_parts(pictures, parts_of_text(TEXT), 0.85)  # two lines of an = are near at 22 px


@pytest.mark.parametrize(("text", "is_clean"), [("9.7+8=17.7", True), ("97+8=105", False)])
def test_dots_and_lines_do_not_hide_a_point(text: str, is_clean: bool) -> None:
    noisy = replace(CLEAN_SCREEN, speckles_share=1, lines_share=1, speckles=(0.03, 0.04))
    for index in range(5):
        bare, disturbed = (
            ScreenPainter(TYPEFACES, 60, ranges).paint(text, None, sample_rng(5, 6, index))
            for ranges in (CLEAN_SCREEN, noisy)
        )
        assert (ink_of(bare).sum() == ink_of(disturbed).sum()) == is_clean


def test_blurred_print_and_handwriting_keep_their_size(digits: str) -> None:
    dice = Dice(np.random.default_rng(7))
    coarse = replace(CLEAN, resolution_share=1, resolution_px=(11.0, 11.0))
    image = ImageOps.invert(font_image("8", ImageFont.truetype(SANS.path, 40)))
    assert light.degraded(image, coarse, 40, dice, keep_size=True) == image
    assert light.degraded(image, coarse, 40, dice) != image
    sheets = [
        replace(CLEAN_PRINT, light=replace(CLEAN, blur_share=1, resolution_share=share))
        for share in (0, 1)
    ]
    config = SynthConfig(looks=("hand",), digits=digits)
    for blurred, both in (
        [PrintPainter(TYPEFACES, 60, sheet) for sheet in sheets],
        [HandPainter(TYPEFACES, config, replace(CLEAN_HAND, printed=s)) for s in sheets],
    ):
        for index in range(5):
            pictures = [p.paint("12+34=46", None, sample_rng(5, 6, index)) for p in (blurred, both)]
            assert pictures[0] == pictures[1]


def test_print_and_answer_are_there(digits: str) -> None:
    config = SynthConfig(looks=("hand",), digits=digits, height=90)
    painter = HandPainter(TYPEFACES, config, CLEAN_HAND)
    pictures = [painter.paint("12+34=462", None, sample_rng(0, 0, i)) for i in range(40)]
    check_parts(pictures, parts_of_text("12+34=462"), 0.85)


@pytest.mark.parametrize("text", ["12345", "67890", "-8-"])
def test_digits_of_a_display_have_their_segments(text: str) -> None:
    painter = DisplayPainter(TYPEFACES, 120, CLEAN_DISPLAY)
    pictures = [painter.paint(text, None, sample_rng(0, 0, i)) for i in range(15)]
    # 6, 7 and 9 have two forms each.
    ways = [{len(lit) for lit in SEGMENTS[c]} for c in text]
    least, most = sum(map(min, ways)), sum(map(max, ways))
    numbers = [num_parts(ink_of(picture, 0.3)) for picture in pictures]
    assert np.mean([least <= number <= most for number in numbers]) > 0.85, Counter(numbers)


def test_the_segments_are_those_of_every_display() -> None:
    # As data sheets print them, with a tail on 6 and 9.
    sheet = [
        "abcdef",
        "bc",
        "abdeg",
        "abcdg",
        "bcfg",
        "acdfg",
        "acdefg",
        "abc",
        "abcdefg",
        "abcdfg",
    ]
    assert [SEGMENTS[str(digit)][0] for digit in range(10)] == sheet


def test_only_the_answer_is_written_by_hand(digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SynthConfig(looks=("hand",), digits=digits)
    kept = replace(looks.HAND, neighbor_share=0.0)  # else the real ranges: all is drawn
    painter = HandPainter(TYPEFACES, config, kept)
    written: list[int] = []

    def note(_: Any, digit: int, *rest: Any) -> Image.Image:
        written.append(digit)
        return Image.new("L", (10, 20), 255)

    monkeypatch.setattr("exprocr.synth.paint.digits.Digits.write", note)
    for text, expected in (
        ("12+34=46", [4, 6]),
        ("7=7=19", [1, 9]),
        ("14÷3=4…2", [4, 2]),
        ("12+34=?", []),
        ("AB-1234", [1, 2, 3, 4]),
        ("9", [9]),
    ):
        written.clear()
        painter.paint(text, None, sample_rng(0, 0, 0))
        assert written == expected, text
    assert painter.ranges is kept


@pytest.mark.parametrize(
    ("changes", "reaches"),
    [
        ({}, False),
        ({"cut_share": 1.0, "cut": (0.3, 0.3)}, True),
        ({"neighbor_share": 1.0, "neighbor_depth": (0.3, 0.3)}, True),
    ],
)
def test_handwriting_reaches_beyond_the_picture_only_where_it_may(
    digits: str, changes: dict[str, Any], reaches: bool
) -> None:
    tall = replace(CLEAN_HAND, digit_height=(1.6, 1.6), **changes)
    painter = HandPainter(TYPEFACES, SynthConfig(looks=("hand",), digits=digits), tall)
    inks = [ink_of(painter.paint("12+34=46", None, sample_rng(2, 2, i))) for i in range(40)]
    for row in (0, -1):
        num_at_the_edge = sum(bool(ink[row].any()) for ink in inks)
        assert num_at_the_edge >= 12 if reaches else not num_at_the_edge


def test_of_what_a_neighbor_wrote_no_digit_is_whole(digits: str) -> None:
    near = replace(CLEAN_HAND, neighbor_share=1.0, neighbor_depth=(-0.1, -0.1))
    painter = HandPainter(TYPEFACES, SynthConfig(looks=("hand",), digits=digits), near)
    num_cut = 0
    for index in range(40):
        ink = ink_of(painter.paint("12+34=", None, sample_rng(2, 3, index)))
        image = Image.fromarray(ink).convert("L")
        for y in (0, image.height - 1):
            for x in np.flatnonzero(ink[y]).tolist():  # of a digit that the edge cuts
                ImageDraw.floodfill(image, (x, y), 0)
                num_cut += 1
        assert num_parts(np.asarray(image) > 0) <= parts_of_text("12+34=")
    assert num_cut


def test_digits_beyond_the_range_are_never_drawn(tmp_path: Path) -> None:
    images, labels = drawn_digits(40)
    images[20:] = 0
    images[20:, 4:24, 4:24] = 255  # blocks
    folder = str(write_digits(tmp_path / "digits", images, labels))

    def coverage(first: int, last: int) -> list[float]:
        config = SynthConfig(looks=("hand",), digits=folder, digit_range=(first, last))
        painter = HandPainter(TYPEFACES, config, CLEAN_HAND)
        pictures = [painter.paint("88", 200, sample_rng(0, 0, i)) for i in range(30)]
        boxes = [Image.fromarray(ink_of(picture)).getbbox() for picture in pictures]
        inks = [
            ink_of(p)[b[1] : b[3], b[0] : b[2]] for p, b in zip(pictures, boxes, strict=True) if b
        ]
        return [float(ink.mean()) for ink in inks]

    assert max(coverage(0, 19)) < 0.6 < np.mean(coverage(20, 39))


def test_handwriting_needs_digits_or_a_typeface() -> None:
    with pytest.raises(FontError, match="a folder of handwritten digits for the look hand"):
        HandPainter(TYPEFACES, SynthConfig(looks=("hand",)))
    hand = replace(SERIF, family="Patrick Hand")
    painter = HandPainter(Typefaces([SANS, hand], TEXT), SynthConfig(looks=("hand",)))
    assert painter.hands == [hand]
    assert painter.paint("1+2=34", None, sample_rng(0, 0, 0)).height == 60


def test_a_seven_segment_typeface_is_used_where_there_is_one() -> None:
    dseg = replace(SERIF, family="DSEG7 Classic", lacks="+")
    typefaces = Typefaces([SANS, dseg], "0123456789+")
    ranges = replace(CLEAN_DISPLAY, typeface_share=1)
    picture = DisplayPainter(typefaces, 90, ranges).paint("1+8", None, sample_rng(0, 0, 0))
    assert num_parts(ink_of(picture)) == 3  # an 8 of segments has seven
    assert DisplayPainter(TYPEFACES, 60).segment_fonts == []


# The captcha package.

(DROID,) = find_fonts([Path(captcha.image.DATA_DIR)], LEVEL1.characters, system=False).usable


def figures(image: Image.Image) -> list[float]:
    """Return measurements of a picture: ink, extent, contrast, unevenness."""
    gray = np.asarray(image.convert("L"), dtype=float)
    deviation = np.median(gray) - gray
    ink = deviation > 0.3 * deviation.max()
    columns = np.flatnonzero(ink.sum(axis=0) >= 12)  # more than dots and the curve have
    return [
        ink.mean(),
        np.ptp(columns) if columns.size else 0,
        deviation.max(),
        deviation.mean(),
        np.abs(np.diff(gray, axis=0)).mean(),
        np.abs(np.diff(gray, axis=1)).mean(),
    ]


def test_captchas_are_like_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captcha.image, "secrets", SeededSecrets(0))
    artist = ImageCaptcha(300, 60)
    theirs = [figures(artist.generate_image("7+3")) for _ in range(300)]
    ranges = replace(looks.CAPTCHA, several_fonts_share=0, inverse_share=0)
    typefaces = Typefaces([DROID], LEVEL1.characters)
    painter = CaptchaPainter(typefaces, SynthConfig(), ranges)
    ours = [figures(painter.paint("7+3", 300, sample_rng(0, 0, i))) for i in range(300)]
    apart = np.abs(np.mean(ours, axis=0) / np.mean(theirs, axis=0) - 1)
    assert np.all(apart < 0.07), apart
    none = CaptchaPainter(typefaces, SynthConfig(), replace(ranges, space_share=0))
    other = [figures(none.paint("7+3", 300, sample_rng(0, 0, i))) for i in range(300)]
    assert abs(np.mean(other, axis=0)[1] / np.mean(theirs, axis=0)[1] - 1) > 0.1  # narrower


def test_the_curve_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from exprocr.synth.contest import painter

    def points(draw: Callable[[Image.Image], object]) -> NDArray[np.float64]:
        total = np.zeros((60, 200))
        for _ in range(1500):
            image = Image.new("RGB", (200, 60))
            draw(image)
            total += np.asarray(image)[..., 0] > 0
        return np.array([total.sum(), *total.reshape(6, 10, 10, 20).sum(axis=(1, 3)).ravel()])

    monkeypatch.setattr(captcha.image, "secrets", SeededSecrets(0))
    rng = np.random.default_rng(0)
    theirs = points(lambda image: ImageCaptcha.create_noise_curve(image, (255, 0, 0)))
    ours = points(lambda image: painter._draw_curve(image, rng))
    assert ours[0] == pytest.approx(theirs[0], rel=0.03)
    assert np.abs(ours - theirs)[1:].sum() < 0.08 * theirs[0]


def test_captchas_have_several_fonts_in_some(monkeypatch: pytest.MonkeyPatch) -> None:
    fonts: list[int] = []
    painter = CaptchaPainter(Typefaces(FONTS, "1"), SynthConfig())

    def note(text: str, look: Any, *_: Any) -> Image.Image:
        assert len(text) == len(look.fonts)
        fonts.append(len({font for c, font in zip(text, look.fonts, strict=True) if c != " "}))
        return Image.new("RGB", (20, 60))

    monkeypatch.setattr(painter, "draw", note)
    for index in range(400):
        painter.paint("11111111", None, sample_rng(0, 0, index))
    # Half with two to four fonts; of two families, these are alike in a half, quarter or eighth.
    expected = 0.5 * (1 - (1 / 2 + 1 / 4 + 1 / 8) / 3)
    assert np.mean(np.array(fonts) == 2) == pytest.approx(expected, abs=0.08)


def test_light_text_on_a_dark_ground_in_all_looks_but_the_contests(
    renderer_of: RendererOf,
) -> None:
    for look in LOOKS:
        num_light, renderer = 0, renderer_of(look)
        for index in range(100):
            image = renderer.sample(5, 0, index)[1]
            gray = np.asarray(image.convert("L"), dtype=float)
            low, middle, high = np.quantile(gray, (0.02, 0.5, 0.98))
            num_light += high - middle > 2 * (middle - low)
        assert (num_light > 0) == (look != "contest"), (look, num_light)


def test_inverting_is_the_last_of_a_captcha() -> None:
    typefaces = Typefaces([DROID], "7")
    dark, light = (
        CaptchaPainter(typefaces, SynthConfig(), replace(looks.CAPTCHA, inverse_share=share))
        for share in (0, 1)
    )
    one, other = (p.paint("7", 60, sample_rng(0, 0, 0)) for p in (dark, light))
    assert ImageChops.invert(one).tobytes() == other.tobytes()
