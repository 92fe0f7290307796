"""The command line's frame: help, exit codes, the error boundary, shared options."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from exprocr import __version__, cli
from exprocr.choices import DECODERS
from exprocr.cli import options
from exprocr.errors import DataError, ExprocrError

HEAVY = (
    *("torch", "onnxruntime", "onnx", "safetensors", "numpy", "PIL"),
    *("matplotlib", "jinja2", "rich", "tqdm"),
)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Return a function that puts a body behind the command ``try``."""

    def install(body: Callable[[], object]) -> None:
        monkeypatch.setattr(
            cli.LazyGroup,
            "get_command",
            lambda self, ctx, name: click.Command(name, callback=body),
        )

    return install


def raising(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


def python(*args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, *args], text=True, timeout=60, **{"capture_output": True, **kwargs}
    )


@pytest.mark.parametrize("args", [["--help"], ["-h"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys; from exprocr.cli import run; code = run(sys.argv[1:]); "
        f"print(code, [m for m in {HEAVY} if m in sys.modules])"
    )
    done = python("-c", code, *args)
    assert "Usage: exprocr" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "0 []"


def test_help_lists_every_command_with_its_own_first_line() -> None:
    result = CliRunner().invoke(cli.group, ["--help"])
    assert result.exit_code == 0
    for name, (_, _, help_) in cli.COMMANDS.items():
        assert f"  {name}" in result.stdout
        assert help_ in result.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_commands_exist(name: str) -> None:
    command = cli.group.get_command(click.Context(cli.group), name)
    assert command is not None
    assert command.name == name
    assert "Example" in (command.epilog or "")


def test_version() -> None:
    result = CliRunner().invoke(cli.group, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"exprocr, version {__version__}\n")


@pytest.mark.parametrize("args", [[], ["nonsense"], ["--nonsense"], ["predict"], ["synth"]])
def test_usage_errors_exit_2(args: list[str]) -> None:
    result = CliRunner().invoke(cli.group, args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: exprocr")


@pytest.mark.parametrize(
    ("error", "exit_code", "line"),
    [
        (DataError("x.csv: expected\na column"), 1, "exprocr: x.csv: expected\\na column\n"),
        (PermissionError(errno.EACCES, "Permission denied", "f"), 1, "exprocr: f: Permission de"),
        (OSError(errno.ENOSPC, "No space left"), 1, "exprocr: standard output: No space left\n"),
        (OSError("odd"), 1, "exprocr: odd\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
        (KeyError("k"), 1, "exprocr: this is a bug in exprocr: KeyError: 'k' (-v shows where)\n"),
        (KeyboardInterrupt(), 130, "\nexprocr: interrupted\n"),
        (click.Abort(), 130, "exprocr: interrupted\n"),
    ],
)
def test_boundary(
    command: Callable[[Callable[[], object]], None],
    error: BaseException,
    exit_code: int,
    line: str,
) -> None:
    command(raising(error))
    result = CliRunner().invoke(cli.group, ["try"])
    assert result.exit_code == exit_code
    assert line in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("error", [ExprocrError("bad"), ZeroDivisionError("bad")])
def test_verbose_shows_the_traceback(
    command: Callable[[Callable[[], object]], None], error: Exception
) -> None:
    command(raising(error))
    result = CliRunner().invoke(cli.group, ["-v", "try"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("exprocr: ")


def test_a_command_chooses_its_exit_code(
    command: Callable[[Callable[[], object]], None],
) -> None:
    command(lambda: click.get_current_context().exit(3))
    assert cli.run(["try"]) == 3
    command(lambda: None)
    assert cli.run(["try"]) == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_stdout(unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = python(
            "-m",
            "exprocr",
            "--help",
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert done.stderr == "exprocr: standard output: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_broken_pipe_is_quiet(unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        done = python(
            "-m",
            "exprocr",
            "--help",
            capture_output=False,
            stdout=pipe,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_shell_completion() -> None:
    env = os.environ | {
        "_EXPROCR_COMPLETE": "bash_complete",
        "COMP_WORDS": "exprocr pre",
        "COMP_CWORD": "1",
    }
    done = python("-m", "exprocr", env=env)
    assert done.stdout.splitlines() == ["plain,predict"]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("num_best", "by_value"), [(1, False), (2, False), (1, True), (2, True)])
def test_decoder_options_are_refused_as_the_core_refuses_them(
    decoder: str, num_best: int, by_value: bool
) -> None:
    from exprocr.core.decode.decoder import Decoder
    from exprocr.core.text.charset import Charset
    from exprocr.core.text.grammar.grammars import load_grammar
    from exprocr.errors import ConfigError

    def refused(function: Callable[[], object], error: type[Exception]) -> bool:
        try:
            function()
        except error:
            return True
        return False

    grammar = load_grammar("none", Charset("01"))
    assert refused(
        lambda: options.check_decoder(decoder, num_best=num_best, by_value=by_value),
        click.UsageError,
    ) == refused(
        lambda: Decoder(grammar, method=decoder, num_best=num_best, by_value=by_value), ConfigError
    )


def test_quiet_and_verbose_sessions(capsys: pytest.CaptureFixture[str]) -> None:
    options.Session().note("remark")
    options.Session(quiet=True).note("hidden")
    options.Session().detail("hidden")
    options.Session(verbose=1).detail("detail")
    options.Session(quiet=True).problem("a\tb")
    captured = capsys.readouterr()
    assert captured.err == "remark\ndetail\nexprocr: a\\tb\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("given", "spin_count"),
    [({}, "300"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_wait_asleep_unless_the_user_says_otherwise(
    given: dict[str, str], spin_count: str
) -> None:
    """It is set before PyTorch is loaded, which reads it once."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    code = (
        "import os, sys, exprocr.cli; "
        "print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [spin_count, "False"]
