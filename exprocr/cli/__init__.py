"""The command line: the group of commands, and the one place where errors become exit codes.

Exit codes: 0 done, 1 bad input, 2 usage, 3 finished but below a bar the user set, 128 + the number
of the signal that ended the command: 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM.

``cli/NAME/command.py`` holds a command's options. It is imported when the command is called. What
the command does is in ``cli/NAME/run.py``, which is imported when the options are parsed, so that
every ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from exprocr import __version__
from exprocr.cli import signals, streams
from exprocr.cli.options import BAD_INPUT, Session
from exprocr.core.system.ranks import num_processes, rank
from exprocr.errors import ExprocrError
from exprocr.words import one_line

# A thread of PyTorch that waits for the others does so awake, for milliseconds by default: beside
# another busy process it then takes the processor that the others need. The OpenMP library of
# PyTorch (GCC's) reads this when it is loaded. What the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "300")

PROGRAM = "exprocr"
STREAM_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF)
"""Errors of writing to stdout."""

COMMANDS = {
    "synth": ("exprocr.cli.synth.command", "synth", "Render a labeled set of images."),
    "label": ("exprocr.cli.label.command", "label", "Write a page for labeling images."),
    "inspect": (
        "exprocr.cli.inspect.command",
        "inspect",
        "Show what is in a data set, and what is wrong.",
    ),
    "train": ("exprocr.cli.train.command", "train", "Train a model on labeled images."),
    "eval": ("exprocr.cli.eval.command", "eval_command", "Measure a model on labeled images."),
    "predict": ("exprocr.cli.predict.command", "predict", "Read expressions in images."),
    "visualize": (
        "exprocr.cli.visualize.command",
        "visualize",
        "Draw what a model does and how it learned.",
    ),
    "export": ("exprocr.cli.export.command", "export", "Write a model's graph for ONNX Runtime."),
    "info": ("exprocr.cli.info.command", "info", "Show a model's card."),
    "report": ("exprocr.cli.report.command", "report", "Write one page about a run."),
}
"""Name of a command -> its module, the name in the module, and one line of help."""


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a user needs the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands of ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, _, help_) in COMMANDS.items()])

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run as click does; in standalone mode, which click's test runner uses, as `main` does."""
        if standalone_mode:
            sys.exit(run(args))
        return super().main(args, standalone_mode=False, **extra)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  exprocr predict img.png",
)
@click.version_option(__version__, prog_name=PROGRAM)
@click.option(
    "-v", "--verbose", count=True, help="Write more messages; show the traceback of an error."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bars and no remarks.")
@click.pass_context
def group(ctx: click.Context, verbose: int, quiet: bool) -> None:
    """Read pictures of arithmetic expressions: the expression, its value and a confidence."""
    session = ctx.ensure_object(Session)
    session.verbose, session.quiet = verbose, quiet


def main() -> NoReturn:
    """Run the command line of this process and exit: the console script."""
    try:
        signals.catch()
        streams.prepare()
        code = run()
        streams.flush_stdout()  # `run` writes what is left only if the command succeeds
        signals.end_at_once()
    except KeyboardInterrupt:  # before or after `run`
        code = signals.exit_code()
    if num_processes() > 1:
        # Threads of PyTorch's process group run on, also when it is destroyed: DDP keeps it. One
        # that frees a tensor while Python ends aborts the process.
        streams.flush_stdout()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(args: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; no error goes further.

    Args:
        args: The arguments; None takes those of this process.
    """
    session = Session()
    try:
        code = _invoke(args, session)
        sys.stdout.flush()
        return code
    except click.ClickException as error:
        if rank() == 0:  # all processes of a training find the same
            error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _write("interrupted")
        return signals.exit_code()
    except BrokenPipeError:  # the reader has seen enough, as in `exprocr predict ... | head`
        streams.drop_stdout()
    except ExprocrError as error:
        _write(str(error), session)
    except OSError as error:
        place, reason = error.filename, error.strerror or str(error)
        if place is None and error.errno in STREAM_ERRORS:
            place = "standard output"  # the files that are written name themselves
            streams.drop_stdout()
        _write(f"{place}: {reason}" if place else reason, session)
    except Exception as error:  # what is left is no fault of the user's
        advice = "" if session.verbose else " (-v shows where)"
        _write(f"this is a bug in {PROGRAM}: {type(error).__name__}: {error}{advice}", session)
    # An error after a signal comes from ending: a terminal that is gone cannot be written to.
    return signals.exit_code() if signals.was_received() else BAD_INPUT


def _invoke(args: Sequence[str] | None, session: Session) -> int:
    """Run click; return the exit code of the command, of click or of rich."""
    try:
        result = group.main(args, prog_name=PROGRAM, standalone_mode=False, obj=session)
    except SystemExit as stop:  # click and rich stop this way when a pipe breaks
        result = stop.code
    return result if isinstance(result, int) else 0


def _write(message: str, session: Session | None = None) -> None:
    """Write one line to stderr; with ``-v``, the traceback of the current error before it."""
    with suppress(OSError, ValueError):  # nobody reads it
        if session is not None and session.verbose:
            traceback.print_exc()
        who = f"{PROGRAM}: rank {rank()}" if num_processes() > 1 else PROGRAM
        click.echo(f"{who}: {one_line(message)}", err=True)
