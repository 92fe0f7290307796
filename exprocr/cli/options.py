"""What the commands share: the session, and options that mean the same everywhere.

Every ``--help`` imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from exprocr.choices import (
    DECODERS,
    DEVICES,
    ENGINES,
    LAYOUTS,
    LOOKS,
    MAX_BEAM_WIDTH,
    MAX_PROCESSES,
    TEXTS_LIKE,
)
from exprocr.core.config.label_map import parse_entry
from exprocr.core.config.layout_choice import parse_label_pattern
from exprocr.core.config.schema import TEXT_SOURCES, SynthConfig, parse_looks, ranges
from exprocr.errors import ConfigError
from exprocr.words import one_line

F = TypeVar("F", bound=Callable[..., Any])

MAX_IMAGES_SHOWN = 400
"""Greatest ``--limit``."""

# Exit codes, beside 0 (done), 2 (click's usage error) and those of `exprocr.cli.signals`. Where two
# apply, bad input wins.
BAD_INPUT = 1
BELOW_BAR = 3


class FiniteRange(click.FloatRange):
    """A number within limits. Unlike click's range, it refuses NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; all else is a usage error."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number


@dataclass
class Session:
    """Which messages this run of the program writes; results are not affected."""

    verbose: int = 0
    """How often ``-v`` was given."""

    quiet: bool = False
    """Write no progress bars and no remarks; errors and warnings are still written."""

    is_silent: bool = False
    """Write nothing but the error that ends the command: another process writes the rest."""

    def note(self, message: str) -> None:
        """Write a remark to stderr, unless quiet."""
        if not self.quiet:
            self.report(message)

    def detail(self, message: str) -> None:
        """Write a remark to stderr, only with ``-v``."""
        if self.verbose:
            self.report(message)

    def report(self, message: str) -> None:
        """Write a line to stderr, also if quiet; a progress bar stays whole."""
        if self.is_silent:
            return
        if tqdm := sys.modules.get("tqdm"):  # else there is no bar
            tqdm.tqdm.write(one_line(message), file=sys.stderr)
        else:
            click.echo(one_line(message), err=True)

    def problem(self, message: str) -> None:
        """Write what is wrong with one of many inputs; the command goes on."""
        self.report(f"exprocr: {message}")


pass_session = click.make_pass_decorator(Session, ensure=True)


def compute_options(command: F) -> F:
    """Add ``--device`` and ``--threads``: arguments ``device: str``, ``threads: int | None``."""
    command = click.option(
        "--threads",
        type=click.IntRange(1, MAX_PROCESSES),
        metavar="N",
        help="Processor threads to compute with.  [default: one per processor, at most 4]",
    )(command)
    return click.option(
        "--device",
        type=click.Choice(DEVICES),
        default="auto",
        show_default=True,
        help="Device that PyTorch computes on; auto takes a GPU if there is one.",
    )(command)


def reading_options(command: F) -> F:
    """Add ``--engine``, argument ``engine: str | None``, and `compute_options`."""
    return click.option(
        "--engine",
        type=click.Choice(ENGINES),
        help="What runs the network: ONNX Runtime (on the processor) or PyTorch.  [default: onnx; "
        "torch with --device cuda or mps, or if the model has no graph]",
    )(compute_options(command))


def model_option(command: F) -> F:
    """Add ``--model``: argument ``model: str | None``, as `Recognizer.load` takes it."""
    return click.option(
        "--model",
        type=click.Path(),
        metavar="FILE|RUN",
        help="Model file or run directory; for reading also a graph (.onnx). 'bundled' and "
        "'contest' come with exprocr.  [default: bundled]",
    )(command)


def table_options(command: F) -> F:
    """Add ``--images`` and `outside_option`: arguments ``images: str | None`` and its own."""
    return click.option(
        "--images",
        type=click.Path(),
        metavar="DIR",
        help="Folder that the paths of a table start from.  [default: the table's own]",
    )(outside_option(command))


class Checked(click.ParamType):  # type: ignore[type-arg]  # none before click 8.4
    """A text that a setting takes.

    Args:
        name: What it is.
        check: Raises a `ConfigError` for a text that the setting does not take.
    """

    def __init__(self, name: str, check: Callable[[str], object]) -> None:
        self.name = name
        self.check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it unchanged; what is no such text is a usage error."""
        try:
            self.check(value)
        except ConfigError as error:
            self.fail(str(error).removeprefix(f"{self.name}: "), param, ctx)
        return str(value)


def layout_options(command: F) -> F:
    """Add the options of `LayoutChoice`.

    Arguments ``layout: str | None``, ``label_pattern: str | None``.
    """
    command = click.option(
        "--label-pattern",
        type=Checked("label pattern", parse_label_pattern),
        metavar="PATTERN",
        help="Take the labels from the names of the images: the group 'text' of this regular "
        "expression, such as '(?P<text>[^_]+)_.*', which fits the name without its suffix.",
    )(command)
    return click.option(
        "--layout",
        type=click.Choice(LAYOUTS),
        help="How DATA is stored.  [default: recognized by looking]",
    )(command)


def outside_option(command: F) -> F:
    """Add ``--allow-outside``: argument ``allow_outside: bool``."""
    return click.option(
        "--allow-outside",
        is_flag=True,
        help="Read a table whose paths are absolute or lead out of its folder by '..'.",
    )(command)


def map_option(command: F) -> F:
    """Add ``--map``: argument ``map: tuple[str, ...]``, as `LabelMap` takes them."""
    return click.option(
        "--map",
        type=Checked("map", parse_entry),
        multiple=True,
        metavar="FROM=TO",
        help="Replace FROM by TO in all labels, such as '−=-'; repeatable.",
    )(command)


def texts_options(command: F) -> F:
    """Add the options of what rendered images say, for `texts_settings`.

    Arguments ``grammar: str | None``, ``texts: str | None``, ``texts_like: str | None`` and
    ``max_length: int | None``.
    """
    shortest, longest = ranges(SynthConfig)["max_length"]
    command = click.option(
        "--max-length",
        type=click.IntRange(int(shortest), int(longest)),
        metavar="N",
        help="Most characters of a text of a --grammar with more than 1,000,000 texts.  "
        f"[default: {SynthConfig.max_length}]",
    )(command)
    command = click.option(
        "--texts-like",
        type=click.Choice(TEXTS_LIKE),
        help="Draw texts like those of the 2017 contest, of arithmetic captchas, of sums of two to "
        "five numbers, of worksheets with answers, of what meters show, or unknown characters.  "
        "[default: level1]",
    )(command)
    command = click.option(
        "--texts",
        type=click.Path(),
        metavar="FILE",
        help="Draw the lines of this file; each is a text.",
    )(command)
    return click.option(
        "--grammar",
        metavar="GRAMMAR",
        help="Draw texts of a grammar, which `train` makes the model's: level1, digits, number, "
        "expression, equation, regex:PATTERN or lexicon:FILE (one text per line).",
    )(command)


def texts_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of [synth] that the options of `texts_options` make.

    A source of texts that is given takes the place of another one in a settings file.

    Raises:
        click.UsageError: Two sources are given.
    """
    given = {name: options[name] for name in TEXT_SOURCES if options[name] is not None}
    if len(given) > 1:
        shown = " and ".join("--" + name.replace("_", "-") for name in given)
        raise click.UsageError(f"{shown} both say what to draw; give one of them.")
    changes: dict[str, Any] = dict.fromkeys(TEXT_SOURCES, "") | given if given else {}
    if options["max_length"] is not None:
        changes["max_length"] = options["max_length"]
    return changes


class LooksType(click.ParamType):  # type: ignore[type-arg]  # none before click 8.4
    """Looks with commas between them, such as ``print:0.5,hand``."""

    name = "looks"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the looks of ``value``, each with its share if it has one."""
        looks = value if isinstance(value, tuple) else tuple(map(str.strip, value.split(",")))
        try:
            parse_looks(looks)
        except ConfigError as error:
            self.fail(str(error).removeprefix("synth.looks: "), param, ctx)
        return looks


def look_options(command: F) -> F:
    """Add the options of what rendered images look like, for `look_settings`.

    Arguments ``look: tuple[str, ...] | None`` and ``digits: str | None``.
    """
    command = click.option(
        "--digits",
        type=click.Path(),
        metavar="DIR",
        help="Folder of handwritten digits for the look hand, two files as MNIST publishes them.",
    )(command)
    return click.option(
        "--look",
        type=LooksType(),
        metavar="LOOK[/TEXTS][:SHARE],..",
        help=f"What rendered images look like: {', '.join(LOOKS[:-1])} or {LOOKS[-1]}, or several "
        "with their shares; TEXTS as for --texts-like.  [default: contest]",
    )(command)


def look_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of [synth] that the options of `look_options` make."""
    changes = {"looks": options["look"], "digits": options["digits"]}
    return {name: value for name, value in changes.items() if value is not None}


def check_digits(digits: str | None, config: SynthConfig) -> None:
    """Check that the option ``--digits``, if it is given, is for a look that is drawn.

    Raises:
        click.UsageError: The settings, with the options in them, do not have the look hand.
    """
    if digits is not None and "hand" not in {kind.look for kind in parse_looks(config.looks)}:
        raise click.UsageError("--digits is for the look hand: give --look hand too.")


def limit_option(help_text: str) -> Callable[[F], F]:
    """Return a decorator that adds ``--limit``: argument ``limit: int``, images shown at most."""
    return click.option(
        "--limit",
        type=click.IntRange(min=1, max=MAX_IMAGES_SHOWN),
        metavar="N",
        default=24,
        show_default=True,
        help=help_text,
    )


def decoder_options(command: F) -> F:
    """Add the options of decoding, as `Recognizer.load` takes them.

    Arguments ``grammar: str | None``, ``decoder: str``, ``beam_width: int``, ``by_value: bool``.
    """
    command = click.option(
        "--by-value",
        is_flag=True,
        help="Find the most probable value; all texts that have it count together.",
    )(command)
    command = click.option(
        "--beam-width",
        type=click.IntRange(1, MAX_BEAM_WIDTH),
        metavar="N",
        default=10,
        show_default=True,
        help="Prefixes that beam search keeps.",
    )(command)
    command = click.option(
        "--decoder",
        type=click.Choice(DECODERS),
        default="auto",
        show_default=True,
        help="greedy: the text of the most probable alignment; beam: beam search; exact: the most "
        "probable text, however long it takes; auto: exact, but beam where that takes too long.",
    )(command)
    return click.option(
        "--grammar",
        metavar="GRAMMAR",
        help="Texts that may be read: level1, digits, number, expression, equation, none, "
        "regex:PATTERN or lexicon:FILE (one text per line).  [default: the model's own]",
    )(command)


def check_decoder(decoder: str, *, by_value: bool, num_best: int = 1) -> None:
    """Check that the options of decoding fit together, before anything is loaded.

    Raises:
        click.UsageError: The decoder finds one text, but several texts or values are asked for.
    """
    if decoder == "greedy" and (by_value or num_best > 1):
        option = "--by-value" if by_value else "--n-best"
        raise click.UsageError(
            f"{option} expects --decoder auto, beam or exact, found greedy, which finds one text."
        )
