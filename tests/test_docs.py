"""The documentation: complete, not drifted from the program, its links and commands sound."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from exprocr.cli import COMMANDS, group
from exprocr.core.data.inspection.findings import KINDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
SHELLS = ("sh", "bash", "console")
RUN = "<!-- run -->"
"""On the line before a ``sh`` block: its commands are run by a test."""

_INSTALLS = re.compile(r"^ *(?:python -m pip|git) [^&\n]*(?:&& *|\n|$)", re.MULTILINE)
"""What is left out of such a block, up to the next command."""

_BLOCK = re.compile(
    r"^(?P<marker>[^\n]*)\n(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:img|a)[^>]*?(?:src|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_INLINE = re.compile(r"`(exprocr [^`]+)`")
_OPERATORS = frozenset("();<>|&\n")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the line before, the language and the text of each fenced block."""
    for match in _BLOCK.finditer("\n" + page.read_text(encoding="utf-8")):
        yield match["marker"].strip(), match["language"], match["body"]


def shell_lines(language: str, body: str) -> str:
    """Return what is typed in a block: in a ``console`` block, what stands after ``$``."""
    if language != "console":
        return body
    return "".join(f"{line[2:]}\n" for line in body.splitlines() if line.startswith("$ "))


def exprocr_commands(script: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of exprocr in a shell script."""
    # Newlines end commands, so they are operators here and no white space.
    lexer = shlex.shlex(script.replace("\\\n", " "), posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace = " \t"
    lexer.whitespace_split = True
    arguments: list[str] | None = None
    starts, redirected = True, False
    for token in [*lexer, "\n"]:
        if set(token) <= _OPERATORS:
            redirected = set(token) <= set("<>&") and bool(set(token) & set("<>"))
            if redirected:
                continue
            if arguments is not None:
                yield arguments
            arguments, starts = None, True
        elif redirected:
            redirected = False
        elif arguments is not None:
            arguments.append(token)
        elif starts and token == "exprocr":
            arguments = []
        else:
            starts = starts and re.fullmatch(r"\w+=.*|do|then|if|!|time", token) is not None


def check_command(arguments: list[str]) -> None:
    """Parse a command line as the program would, without running it; a shell's variable is 1."""
    rest = [re.sub(r"\$\w+", "1", argument) for argument in arguments]
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        assert option in {o for p in group.get_params(click.Context(group)) for o in p.opts}
    if not rest:
        return
    context = click.Context(group, info_name="exprocr", **group.context_settings)
    name = rest.pop(0)
    command = group.get_command(context, name)
    assert command is not None, f"there is no command {name}"
    try:
        command.make_context(name, rest, parent=context).close()
    except click.exceptions.Exit:  # --help
        return


def documented_commands(page: Path) -> list[list[str]]:
    commands = [
        arguments
        for _, language, body in blocks(page)
        if language in SHELLS
        for arguments in exprocr_commands(shell_lines(language, body))
    ]
    for match in _INLINE.finditer(page.read_text(encoding="utf-8")):
        if match[1].removeprefix("exprocr ") not in COMMANDS and not re.search(
            r"\.\.\.|COMMAND", match[1]
        ):
            commands += exprocr_commands(match[1].replace("\n", " "))
    return commands


def runnable_script(page: Path) -> str:
    """Return the commands of a page's blocks that are marked to be run, in order."""
    scripts = [
        shell_lines(language, body)
        for marker, language, body in blocks(page)
        if marker == RUN and language in SHELLS
    ]
    return _INSTALLS.sub("", "".join(scripts))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_reference_is_not_drifted() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate_reference.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_reference_check_notices_drift(tmp_path: Path) -> None:
    for name in ("generate_reference.py", "reference.md"):
        shutil.copy(DOCS / name, tmp_path)
    page = tmp_path / "reference.md"
    original = page.read_text(encoding="utf-8")
    page.write_text(original.replace("--min-exact P", "--min-exact Q"), encoding="utf-8")
    command = [sys.executable, str(tmp_path / "generate_reference.py")]
    assert subprocess.run([*command, "--check"], capture_output=True, timeout=60).returncode == 1
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    assert page.read_text(encoding="utf-8") == original


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("page", ["tutorial.md", "how-to.md", "reference.md"])
def test_every_command_is_documented(page: str, command: str) -> None:
    assert f"exprocr {command}" in (DOCS / page).read_text(encoding="utf-8")


def test_every_key_of_evals_json_is_documented(tiny_model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (180, 60), "white").save(tmp_path / "a.png")
    (tmp_path / "d.csv").write_text("image,text\na.png,1+1\n")
    file = tmp_path / "eval.json"
    arguments = ["eval", str(tmp_path / "d.csv"), "--model", str(tiny_model), "--json", str(file)]
    result = CliRunner().invoke(group, [*arguments, "--errors", str(tmp_path / "wrong.csv")])
    assert result.exit_code == 0, result.output
    text = (DOCS / "reference.md").read_text(encoding="utf-8").partition("## Files of eval")[2]
    table = text.partition("\n`--errors")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(json.loads(file.read_text()))
    header = (tmp_path / "wrong.csv").read_text().splitlines()[0]
    columns = re.search(r"with the columns (.*?), in the order", text.replace("\n", " "))
    assert columns is not None
    assert re.findall(r"`(\w+)`", columns[1]) == header.split(",")


def shown_outputs() -> list[tuple[str, str]]:
    """Return the commands whose whole output a page shows, and that output."""
    return [
        (match[1], body)
        for page in PAGES
        for marker, _, body in blocks(page)
        if (match := re.fullmatch("<!-- output: (.*) -->", marker))
    ]


@pytest.mark.parametrize(("command", "output"), shown_outputs(), ids=lambda text: text[:20])
def test_shown_outputs_are_what_is_printed(
    command: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = CliRunner().invoke(group, shlex.split(command))
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.stdout.splitlines()] == output.splitlines()


def test_the_card_of_the_model_in_the_package_is_shown() -> None:
    assert "info bundled" in dict(shown_outputs())


def test_every_key_and_kind_of_inspects_json_is_documented(tmp_path: Path) -> None:
    Image.new("RGB", (180, 60), "white").save(tmp_path / "a.png")
    (tmp_path / "d.csv").write_text("image,text\na.png,1+1\n")
    file = tmp_path / "inspect.json"
    result = CliRunner().invoke(group, ["inspect", str(tmp_path / "d.csv"), "--json", str(file)])
    assert result.exit_code == 0, result.output
    text = (DOCS / "reference.md").read_text(encoding="utf-8").partition("## Files of inspect")[2]
    table, _, kinds = text.partition("\n## ")[0].partition("The kinds are")
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(json.loads(file.read_text()))
    assert re.findall(r"^\| `(\w+)` \|", kinds, re.MULTILINE) == list(KINDS)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_resolve(page: Path) -> None:
    for match in _LINK.finditer(page.read_text(encoding="utf-8")):
        link = match[1] or match[2]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_documented_commands_exist(page: Path) -> None:
    for arguments in documented_commands(page):
        try:
            check_command(arguments)
        except click.ClickException as error:
            pytest.fail(f"{page.name}: exprocr {shlex.join(arguments)}: {error.format_message()}")


def test_commands_are_found_in_scripts() -> None:
    script = (
        "A=1 exprocr synth data/ -n 5 > out.txt 2>&1 && exprocr -q eval data/ \\\n  --json a.json\n"
        "echo exprocr no # exprocr neither\nfor i in 1 2; do exprocr predict 'a b' | sort; done\n"
    )
    assert list(exprocr_commands(script)) == [
        ["synth", "data/", "-n", "5", "2"],
        ["-q", "eval", "data/", "--json", "a.json"],
        ["predict", "a b"],
    ]


def test_installing_is_left_out_of_what_is_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n<!-- run -->\n```sh\ngit clone x\npython -m pip install . && exprocr --help\n"
        "echo git\n```\n\n```sh\nnot marked\n```\n\n<!-- run -->\n```console\n$ ls\na\n```\n"
    )
    assert runnable_script(page) == "exprocr --help\necho git\nls\n"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["synth"], ["eval", "d", "--jsno", "f"], ["train", "--epochs", "x"]]
)
def test_wrong_commands_are_noticed(arguments: list[str]) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        check_command(arguments)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the blocks are for bash")
@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [pytest.param(p, id=page_id(p)) for p in PAGES if runnable_script(p)]
)
def test_marked_blocks_run(page: Path, tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    program = tmp_path / "bin" / "exprocr"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m exprocr "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", runnable_script(page)],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("one_font")
def test_the_guide_without_one_labeled_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commands give a model that reads under its grammar, here after seconds."""
    guide = (DOCS / "how-to.md").read_text(encoding="utf-8")
    section = guide.split("\n## Train without one labeled picture\n")[1].split("\n## ")[0]
    scripts = [match["body"] for match in _BLOCK.finditer(section)]
    train, predict, synth, *_ = (c for script in scripts for c in exprocr_commands(script))
    (tmp_path / "tiny.toml").write_text("[training]\nval_images = 8\n")
    monkeypatch.chdir(tmp_path)
    budget = train.index("10m")
    train[budget : budget + 1] = ["2s", "--config", "tiny.toml"]
    train[train.index("32")] = "4"
    photos = [{"plates/": "photos/", "20": "3"}.get(word, word) for word in synth]
    for command in (train, photos, predict):
        result = CliRunner().invoke(group, command)
        assert result.exit_code == 0, result.stderr
    for line in result.stdout.splitlines():
        assert re.fullmatch("[A-Z]{2}-[0-9]{4}", line.split("\t")[1])
    assert len(result.stdout.splitlines()) == 3
