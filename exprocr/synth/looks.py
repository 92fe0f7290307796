"""The looks of rendered pictures: a table of ranges for each.

A range is a lowest and a highest value, between which all values are equally likely. A ``share`` is
the share of the pictures that have something. Lengths in px are for pictures 60 px high and scale
with the height. Levels are shares of the range from black to white.

- ``contest``: the images of the 2017 contest. Its ranges are settings, `SynthConfig`.
- ``captcha``: images of the Python package ``captcha``, `Captcha`.
- ``print``: a line of print on paper, photographed or scanned, `Print`.
- ``screen``: small text on a screen, as in simple captchas, `Screen`.
- ``hand``: a printed problem with a handwritten answer, `Hand`.
- ``display``: seven-segment digits, as on meters and scales, `Display`.
"""

from __future__ import annotations

from dataclasses import dataclass

from exprocr.synth.dice import Range


@dataclass(frozen=True, kw_only=True)
class Captcha:
    """Images of version 0.7 of the ``captcha`` package, whose own ranges are fixed."""

    several_fonts_share: float = 0.5
    """Each glyph in one of two to four fonts, as where the package is given a list; the others have
    one font."""

    space_share: float = 0.5
    """Of the characters: with a space before them."""

    width_per_character_px: Range = (22.0, 44.0)
    width_px: Range = (10.0, 60.0)
    """Width of a picture that follows its text, for each character and in addition: the package
    gets it from its user, and squeezes a text that is wider."""

    inverse_share: float = 0.05
    """Light text on a dark ground, as where the package is given colors."""


@dataclass(frozen=True, kw_only=True)
class Typesetting:
    """How a line is set in type; lengths in em."""

    tracking: Range = (-0.02, 0.08)
    """Added between all characters."""

    sign_gap: Range = (0.0, 0.35)
    """Added on both sides of an operator."""

    wide_gap: Range = (0.35, 0.9)
    wide_gap_share: float = 0.1
    """The same, in sparsely set lines."""

    uneven: float = 0.03
    """Each gap is larger or smaller by up to this."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where in the picture the text is, and how large."""

    height: Range = (0.3, 1.0)
    """Height of the text, by the picture's."""

    stretch: Range = (0.85, 1.2)
    """Width of the text, by that in its font's proportions."""

    margin: Range = (0.02, 0.6)
    """Free width on each side, by the picture's height; mostly in the lower half."""

    tilt_deg: float = 3.0
    perspective: float = 0.05
    """Greatest change of scale from the text's center to its edge."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """How bright the ground is from place to place, and what the picture suffers."""

    ground: Range = (0.45, 1.0)
    """Level of the ground, the paper or the glass."""

    gradient: Range = (0.0, 0.3)
    gradient_share: float = 0.5
    """One side is darker, by this share."""

    clouds: Range = (0.0, 0.1)
    clouds_share: float = 0.5
    """Uneven light, by this share."""

    shadow: Range = (0.1, 0.45)
    shadow_share: float = 0.15
    """One part is darker, beyond a soft edge, by this share."""

    contrast: Range = (0.55, 0.97)
    low_contrast: Range = (0.16, 0.45)
    low_contrast_share: float = 0.12
    """Difference between ink and ground, by the ground's level."""

    noise: Range = (0.0, 0.08)
    noise_share: float = 0.5
    """Standard deviation, by the contrast; of fine or of coarse grain."""

    blur: Range = (0.012, 0.05)
    blur_share: float = 0.5
    """Standard deviation of the blur, by the text's height."""

    resolution_px: Range = (11.0, 28.0)
    resolution_share: float = 0.35
    """Shrunk until the text is this high, and enlarged again. What is blurred keeps its size: both
    together would leave nothing to read."""

    jpeg_quality: Range = (20.0, 85.0)
    jpeg_share: float = 0.3

    inverse_share: float = 0.06
    """Light text on a dark ground."""


@dataclass(frozen=True, kw_only=True)
class Print:
    """A line of print on paper.

    One font, of any size and place; some lines are tilted, in a box, underlined, on ruled paper, or
    with pieces of their neighbors at the edge.
    """

    typesetting: Typesetting = Typesetting()
    placement: Placement = Placement()
    light: Light = Light()

    paper_tint: float = 0.14
    """Greatest loss of a channel, by white paper: yellow, gray, greenish."""

    box_share: float = 0.08
    """A box around the line or a part of it."""

    underline_share: float = 0.06
    ruled_share: float = 0.08
    """Lines across, as on ruled paper."""

    rule_px: Range = (0.8, 2.2)
    """Thickness of all these."""

    neighbor_share: float = 0.15
    """Pieces of a line above or below, at the picture's edge."""

    worn_share: float = 0.2
    """The ink is uneven."""


@dataclass(frozen=True, kw_only=True)
class Hand:
    """A printed problem and a handwritten answer, as in `Print`; or all digits handwritten.

    The answer is what follows the last ``=``. It has ink of its own, and its size, place and slant
    are those of a hand: it can touch the ``=`` or its box.
    """

    printed: Print = Print(
        placement=Placement(height=(0.45, 1.0), margin=(0.02, 0.45)),
        light=Light(contrast=(0.45, 0.95)),
        box_share=0.0,
        neighbor_share=0.2,
    )

    digit_height: Range = (0.8, 1.9)
    """Height of a written digit, by that of a printed one."""

    digit_width: Range = (0.75, 1.25)
    """Width of a written digit, by its own proportions."""

    slant: Range = (-0.1, 0.35)
    """How far the upper end is to the right, by the height."""

    stroke: Range = (0.06, 0.14)
    """Thickness of the pen, by the digit's height."""

    drop: Range = (-0.35, 0.3)
    """How far the answer is below the line's middle, by a printed digit's height."""

    uneven: float = 0.12
    """Each written digit is higher or lower, larger or smaller by up to this share."""

    gap: Range = (-0.15, 0.9)
    """From the ``=`` to the answer, by a printed digit's height."""

    digit_gap: Range = (-0.05, 0.35)
    """Between written digits, likewise."""

    box_share: float = 0.12
    """A box, a line or brackets of dots for the answer, which is not always kept inside."""

    neighbor_share: float = 0.12
    neighbor_depth: Range = (-0.1, 0.4)
    """What is written above or below reaches into the line, by a printed digit's height."""

    cut_share: float = 0.1
    cut: Range = (0.02, 0.2)
    """Where the answer is higher or lower than the print, its ends do not count when the line is
    placed in the picture, likewise."""

    strength: Range = (0.3, 0.95)
    """Opacity of the ink: pencil is pale."""

    inks: tuple[tuple[int, int, int], ...] = (
        (40, 40, 46),
        (70, 70, 74),
        (100, 100, 102),
        (20, 25, 40),
        (30, 50, 140),
        (60, 70, 160),
        (20, 30, 90),
        (150, 40, 50),
        (40, 90, 60),
    )
    """Pencil, black, blue, red and green, RGB."""


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Small anti-aliased text, as in the simple captchas of web sites.

    It is drawn at its small size, and then the picture is enlarged, so that pixels are visible.
    """

    size_px: Range = (12.0, 30.0)
    """Size of the small text, px per em."""

    height_by_size: Range = (1.05, 2.0)
    """Height of the small picture, by the text's size."""

    margin_em: Range = (0.1, 1.2)
    """Free width on each side."""

    gap_em: Range = (-0.12, 0.35)
    """Added between all characters of a picture."""

    uneven_em: Range = (0.0, 0.6)
    uneven_share: float = 0.6
    """Each gap is larger or smaller by up to a value of the picture."""

    drop_em: float = 0.18
    """Each character is higher or lower by up to this, in half of the pictures."""

    rotation_deg: float = 12.0
    rotation_share: float = 0.3
    """Each character is rotated."""

    color_share: float = 0.75
    """Text in color; the others have gray text."""

    several_colors_share: float = 0.25
    """Each character has its own color."""

    ground: Range = (0.75, 1.0)
    """Level of the ground; white in half of the pictures."""

    contrast: Range = (0.25, 1.0)
    """Difference between text and ground in gray, by the ground's level."""

    noisy_contrast: Range = (0.5, 1.0)
    """The same, where there are speckles, grain or lines, or several colors."""

    speckles: Range = (0.0, 0.04)
    speckles_share: float = 0.3
    """Dots of other colors, by the number of pixels. A text with a point has none: nobody could
    tell which of the dots it is."""

    grain: Range = (0.01, 0.06)
    grain_share: float = 0.25
    """Standard deviation of noise in the ground."""

    lines: Range = (1.0, 3.0)
    lines_share: float = 0.25
    """Lines across, of one pixel; none where the text has a point, which they would hide."""

    jpeg_quality: Range = (45.0, 92.0)
    jpeg_share: float = 0.5
    inverse_share: float = 0.12


@dataclass(frozen=True, kw_only=True)
class Display:
    """Seven-segment digits on a display of liquid crystal, or of light-emitting diodes.

    Digits, point and minus have segments; other characters are in a plain font.
    """

    placement: Placement = Placement(
        height=(0.4, 0.95),
        stretch=(0.9, 2.0),
        margin=(0.05, 0.7),
        tilt_deg=3.0,
        perspective=0.08,
    )

    light: Light = Light(
        ground=(0.25, 0.95),
        gradient=(0.0, 0.5),
        clouds=(0.0, 0.15),
        clouds_share=0.6,
        shadow=(0.1, 0.5),
        shadow_share=0.25,
        contrast=(0.4, 0.95),
        low_contrast=(0.2, 0.4),
        low_contrast_share=0.2,
        noise=(0.0, 0.14),
        blur=(0.015, 0.06),
        blur_share=0.75,
        resolution_px=(14.0, 28.0),
        resolution_share=0.5,
        jpeg_share=0.4,
        inverse_share=0.0,
    )

    typeface_share: float = 0.3
    """In a seven-segment typeface, where there is one."""

    aspect: Range = (0.45, 0.62)
    """Width of a digit, by its height."""

    thickness: Range = (0.07, 0.17)
    """Thickness of a segment, by a digit's height."""

    slant: Range = (0.0, 0.2)
    upright_share: float = 0.4
    """How far the upper end is to the right, by the height."""

    gap: Range = (0.006, 0.09)
    """Between segments, by a digit's height."""

    square_share: float = 0.35
    """Square ends of the segments; the others have points."""

    spacing: Range = (0.12, 0.5)
    """Between digits, by a digit's height."""

    small_share: float = 0.3
    """Digits after the point are smaller."""

    unlit: Range = (0.04, 0.22)
    unlit_share: float = 0.35
    """Segments that are off are faint, by those that are on."""

    led_share: float = 0.25
    """Light on dark."""

    glare: Range = (0.15, 0.7)
    glare_share: float = 0.3
    """A bright spot or band, by the way to white."""

    bezel_share: float = 0.35
    """Edges of the display's window."""

    unit_share: float = 0.3
    """A unit beside the digits, small; it is no part of the text."""

    grounds: tuple[tuple[int, int, int], ...] = (
        (170, 180, 160),
        (150, 165, 140),
        (200, 205, 200),
        (120, 125, 118),
        (70, 235, 110),
        (60, 200, 90),
        (20, 250, 40),
        (225, 228, 235),
        (245, 160, 60),
        (90, 150, 230),
        (90, 235, 205),
        (215, 190, 110),
    )
    """Colors of a lit or unlit liquid crystal, RGB."""

    lights: tuple[tuple[int, int, int], ...] = (
        (255, 50, 40),
        (60, 255, 90),
        (255, 170, 50),
        (90, 170, 255),
        (235, 240, 255),
    )
    """Colors of diodes, RGB."""


CAPTCHA = Captcha()
PRINT = Print()
SCREEN = Screen()
HAND = Hand()
DISPLAY = Display()

DRAWN_AS: dict[str, tuple[str, ...]] = {
    "-": ("\N{MINUS SIGN}", "\N{MINUS SIGN}", "\N{EN DASH}", "-"),
    "*": ("*", "\N{ASTERISK OPERATOR}"),
    "…": ("…", "……", "\N{MIDLINE HORIZONTAL ELLIPSIS}", "\N{MIDLINE HORIZONTAL ELLIPSIS}" * 2),
}
"""What print has in the place of a character; what a font lacks is left out."""
