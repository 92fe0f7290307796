"""Rewrite the generated parts of docs/reference.md from the program itself.

python docs/generate_reference.py          # rewrite the file
python docs/generate_reference.py --check  # exit with 1 if the file would change

A generated part is between ``<!-- generated: NAME -->`` and ``<!-- end -->``. The rest of the file
is written by hand and stays as it is.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import click

from exprocr import BatchRecognizer, Prediction, Recognizer, errors
from exprocr.cli import COMMANDS, group
from exprocr.core.config.schema import PRESETS, ranges
from exprocr.core.data.inspection.findings import KINDS
from exprocr.core.decode.decoder import Alternative
from exprocr.core.reading.prediction import Character

REFERENCE = Path(__file__).with_name("reference.md")
HELP_WIDTH = 88
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

TOML_TYPES = {
    "bool": "boolean",
    "float | None": "float",
    "int": "integer",
    "int | None": "integer",
    "int | Literal['auto'] | None": "integer or `auto`",
    "str": "string",
    "tuple[int, ...]": "list of integers",
    "tuple[int, int]": "list of 2 integers",
    "tuple[str, ...]": "list of strings",
}
"""Annotation of a setting -> the name of its type in TOML."""


def fenced(text: str, language: str = "text") -> str:
    """Return a fenced block."""
    return f"```{language}\n{text.strip()}\n```\n"


def commands() -> str:
    """Return the help texts of the program and of every command."""
    top = click.Context(
        group, info_name="exprocr", terminal_width=HELP_WIDTH, **group.context_settings
    )
    parts = ["### exprocr\n\n" + fenced(group.get_help(top))]
    for name in COMMANDS:
        command = group.get_command(top, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=top)
        parts.append(f"### exprocr {name}\n\n" + fenced(command.get_help(context)))
    return "\n".join(parts)


def field_docs(cls: type) -> dict[str, tuple[str, str]]:
    """Return the annotation of each field, as it is written, and the docstring below it."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(node, ast.ClassDef)
    docs = {}
    for statement, after in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(after, ast.Expr), f"{cls.__name__}: a field has no docstring"
            text = " ".join(ast.literal_eval(after.value).split())
            annotation = ast.unparse(statement.annotation)
            if choices := re.fullmatch(r"Literal\[(.*)\]", annotation):
                annotation = "one of " + choices[1].replace("'", "`")
            docs[statement.target.id] = (annotation, text)
    return docs


def escaped(text: str) -> str:
    """Return a text with its bars escaped, for a cell of a table."""
    return text.replace("|", "\\|")


def literal(value: Any) -> str:
    """Return a value as it is written in TOML."""
    return "(left out)" if value is None else f"`{json.dumps(value)}`"


def allowed(config: Any, key: str) -> str:
    """Return the range of a setting: ``1 to 4,096``; empty if it has none."""
    if key not in ranges(config):
        return ""
    low, high = (
        f"{limit:,}" if isinstance(limit, int) else f"{limit:g}" for limit in ranges(config)[key]
    )
    each = "each " if isinstance(getattr(config, key), tuple) else ""
    return f"{each}{low} to {high}"


def section(name: str, config: Any, reference: Any) -> list[str]:
    """Return the table of a section of a configuration file, and those of the sections inside."""
    lines = [f"#### [{name}]\n", f"{inspect.getdoc(type(config))}\n"]
    columns = ("key", "type", "range", "default", "reference", "meaning")
    lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    inner = []
    for key, (annotation, text) in field_docs(type(config)).items():
        value, other = getattr(config, key), getattr(reference, key)
        if dataclasses.is_dataclass(value):
            inner += section(f"{name}.{key}", value, other)
            continue
        kind = escaped(TOML_TYPES.get(annotation, annotation))
        changed = literal(other) if other != value else "the same"
        cells = (f"`{key}`", kind, allowed(config, key), literal(value), changed, text)
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", *inner]


def settings() -> str:
    """Return the tables of all settings, with the values of the presets."""
    default, reference = PRESETS["default"], PRESETS["reference"]
    names = [field.name for field in dataclasses.fields(default)]
    tables = [section(n, getattr(default, n), getattr(reference, n)) for n in names]
    others = [
        f"`{name}.{key}` {literal(value)}"
        for name in names
        for key, value in vars(getattr(PRESETS["finetune"], name)).items()
        if value != getattr(getattr(default, name), key)
    ]
    tables.append([f"The preset `finetune` is `default` with {', '.join(others)}.", ""])
    return "\n".join(line for table in tables for line in table)


def findings() -> str:
    """Return the table of what ``exprocr inspect`` finds."""
    rows = [
        f"| `{name}` | {kind.title} | {'yes' if kind.is_defect else 'no'} |"
        for name, kind in KINDS.items()
    ]
    return "\n".join(["| kind | meaning | to mend |", "|---|---|---|", *rows, ""])


def api() -> str:
    """Return the documented methods and fields of the Python interface."""
    parts = []
    methods: list[tuple[str, Any]] = [
        (f"Recognizer.{name}", getattr(Recognizer, name)) for name in ("load", "predict", "stream")
    ]
    methods += [("BatchRecognizer", BatchRecognizer)]
    methods += [("BatchRecognizer.__call__", BatchRecognizer.__call__)]
    for title, method in methods:
        parts.append(f"#### {title}\n")
        # Annotations are strings; their quotes are removed.
        signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(method)))
        parts.append(fenced(f"{title.rpartition('.')[2]}{signature}", "python"))
        parts.append(fenced(inspect.getdoc(method) or ""))
    for record in (Prediction, Alternative, Character):
        parts += [f"#### {record.__name__}\n", "| field | type | meaning |", "|---|---|---|"]
        for name, (kind, text) in field_docs(record).items():
            parts.append(f"| `{name}` | {escaped(kind)} | {text} |")
        parts.append("")
    tree = (inspect.getdoc(errors) or "").partition("::\n\n")[2].partition("\n\n")[0]
    return "\n".join([*parts, "#### Exceptions\n", fenced(textwrap.dedent(tree))])


def generate(text: str) -> str:
    """Return the reference with new generated parts."""
    makers = {"commands": commands, "findings": findings, "settings": settings, "api": api}
    return PART.sub(lambda part: f"{part[1]}\n{makers[part[2]]()}\n{part[3]}", text)


def main() -> int:
    """Rewrite or check the file."""
    old = REFERENCE.read_text(encoding="utf-8")
    new = generate(old)
    if "--check" in sys.argv[1:]:
        if old != new:
            print(f"{REFERENCE}: out of date; run python docs/generate_reference.py")
        return int(old != new)
    REFERENCE.write_text(new, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
