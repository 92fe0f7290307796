"""The architecture: who imports whom, which packages are used where, and what is used nowhere."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import exprocr

PACKAGE = Path(exprocr.__file__).parent

FLOORS = (
    ("__main__",),
    ("cli",),
    ("report",),
    ("training", "viz"),
    ("synth",),
    ("",),  # the package itself, which names its public parts
    ("core",),
    ("words", "choices", "errors", "weights"),
)
"""The rooms of the package, the highest first: a room imports from lower floors alone."""

CORE_FLOORS = (
    ("runs",),
    ("evaluation",),
    ("reading",),
    ("decode", "model", "data"),
    ("image", "text"),
    ("config",),
    ("system",),
)
"""The rooms of the shared core, the same way."""

ONLY_IN = {
    "torch": (
        "core.model.network",
        "core.model.padding",
        "core.model.recurrence",
        "core.model.torch_engine",
        "training.",
        "core.model.capture",
        "viz.architecture.anatomy",
        "viz.saliency.attribution",
        "viz.saliency.cost",
        "viz.architecture.profile",
    ),
    "pyarrow": ("core.data.parquet_file",),
    "lmdb": ("core.data.lmdb_folder",),
    "onnx": ("core.model.onnx_graph", "core.model.onnx_check"),
    "onnxruntime": ("core.model.onnx_engine",),
    "matplotlib": ("viz.",),
    "jinja2": ("report.html",),
    "click": ("cli.",),
    "rich": ("cli.",),
    "tqdm": ("cli.",),
    "safetensors": ("core.model.artifact",),
    "tomli_w": ("training.", "core.config.", "cli."),
}
"""Third-party packages that only some modules may import: whole names, or prefixes ending in a
dot."""

IN_FUNCTIONS = {
    # The public names, so that ``import exprocr`` is cheap.
    ("", "exprocr.core.reading.batch"),
    ("", "exprocr.core.reading.prediction"),
    ("", "exprocr.core.reading.recognizer"),
    ("", "exprocr.errors"),
    # A command is imported when it is called.
    ("cli", "import_module"),
    # So is a kind of picture.
    ("cli.visualize.command", "import_module"),
    # Only one of ONNX Runtime and PyTorch runs a network.
    ("core.model.loading", "exprocr.core.model.onnx_engine"),
    ("core.model.loading", "exprocr.core.model.torch_engine"),
    # A user's graph is checked; the one in the package starts without the onnx package.
    ("core.model.loading", "exprocr.core.model.onnx_check"),
    # Neither do these packages: each is for one layout of data sets.
    ("core.data.parquet_file", "pyarrow.parquet"),
    ("core.data.lmdb_folder", "lmdb"),
    # TensorBoard need not be installed.
    ("training.tensorboard", "torch.utils.tensorboard"),
}
"""Imports inside functions: the module, and what it may import there. Beside these, a command's
options import what the command does: ``cli.NAME.command`` may import ``cli.NAME.run``."""


NOWHERE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "torch.save",
                   "numpy.load", "np.load"}  # fmt: skip


def module_name(path: Path) -> str:
    """Return the name below the package: ``core.model``; the package's own is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def trees() -> dict[str, ast.Module]:
    return {module_name(p): ast.parse(p.read_text()) for p in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST, *, at_import: bool = False, for_types: bool = True) -> Iterator[str]:
    """Yield the full names of what is imported: ``exprocr.core.decode``, ``torch.nn``.

    With ``at_import``, only what is imported with the module: not in functions, not for types.
    Without ``for_types``, what is imported for types alone is left out.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif (
            (at_import or not for_types)
            and isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            for other in node.orelse:
                yield from imports(other, at_import=at_import, for_types=for_types)
        else:
            yield from imports(node, at_import=at_import, for_types=for_types)


def own_modules(names: Iterator[str]) -> set[str]:
    """Return which modules of the package names refer to."""
    found = set()
    for name in names:
        # The package itself, for its version, is no part of any room.
        if name.split(".")[0] != "exprocr" or name in ("exprocr", "exprocr.__version__"):
            continue
        inside = name.removeprefix("exprocr").removeprefix(".")
        while inside not in trees():  # a name inside a module
            inside = inside.rpartition(".")[0]
        found.add(inside)
    return found


def floor_of(module: str) -> tuple[int, int]:
    """Return the floor of a module, and inside the core also that of its room; 0 is the highest."""
    room, *inside = module.split(".")
    number = next(i for i, rooms in enumerate(FLOORS) if room in rooms)
    if room != "core" or not inside:
        return number, 0
    return number, next(i for i, rooms in enumerate(CORE_FLOORS) if inside[0] in rooms)


def room_of(module: str) -> str:
    """Return the room of a module: ``viz``, ``core.decode``."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "core" else 1])


def test_there_is_something_to_look_at() -> None:
    assert {"", "__main__", "errors", "core.model.network", "cli.train.command"} <= trees().keys()
    loading = trees()["core.model.loading"]
    assert own_modules(imports(loading)) > {"core.model.artifact", "core.model.torch_engine"}
    assert "core.model.artifact" in own_modules(imports(loading, at_import=True))
    assert "core.model.torch_engine" not in own_modules(imports(loading, at_import=True))
    assert floor_of("core.decode.exact") > floor_of("core.reading.recognizer") > floor_of("viz")


def test_imports_run_one_way() -> None:
    wrong = [
        f"{module} imports {other or 'exprocr'}"
        for module, tree in trees().items()
        for other in sorted(own_modules(imports(tree)))
        if room_of(other) != room_of(module) and floor_of(other) <= floor_of(module)
    ]
    assert wrong == []


def imports_in_functions(tree: ast.Module) -> Iterator[str]:
    """Yield the full names of what is imported when a function is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield "import_module"


def test_modules_import_at_their_top() -> None:
    """All but what keeps something heavy or optional behind one call."""
    used = set()
    for module, tree in trees().items():
        room = module.removesuffix(".command")
        for name in imports_in_functions(tree):
            if module != room and name == f"exprocr.{room}.run.run":
                continue
            found = {(module, name), (module, name.rpartition(".")[0])} & IN_FUNCTIONS
            used |= found
            assert found, f"{module} imports {name} in a function"
    assert used == IN_FUNCTIONS  # and none of them is stale


def test_modules_do_not_import_in_circles() -> None:
    """Neither when they are imported nor by an import inside a function."""
    graph = {
        module: own_modules(imports(tree, for_types=False)) - {module}
        for module, tree in trees().items()
    }
    while leaves := {module for module, others in graph.items() if not others & graph.keys()}:
        for module in leaves:
            del graph[module]
    assert graph == {}  # what is left is in a circle, or imports one


def test_a_room_imports_nothing_private_of_another() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in trees().items()
        for name in imports(tree)
        if name.startswith("exprocr.") and "._" in name and not name.endswith("__")
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ONLY_IN)
def test_packages_are_used_where_they_belong(package: str) -> None:
    users = {
        module
        for module, tree in trees().items()
        if any(name.split(".")[0] == package for name in imports(tree))
    }
    allowed = ONLY_IN[package]
    assert users, f"{package} is used nowhere"
    wrong = [
        module
        for module in users
        if not any(
            f"{module}.".startswith(place) if place.endswith(".") else module == place
            for place in allowed
        )
    ]
    assert wrong == []


def test_nothing_is_pickled_and_no_text_is_executed() -> None:
    wrong = []
    for module, tree in trees().items():
        wrong += [
            f"{module} imports {name}" for name in imports(tree) if NOWHERE & set(name.split("."))
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
                wrong.append(f"{module}, line {node.lineno}: {ast.unparse(node.func)}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                wrong.append(f"{module}, line {node.value.lineno}: allow_pickle")
    assert wrong == []


def test_pictures_are_opened_in_one_place() -> None:
    """So that one list of formats holds: for some others, Pillow starts programs."""
    calls = {
        (module, ast.unparse(node))
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Image.open")
    }
    ((module, call),) = calls
    assert module == "core.image.files"
    assert "formats=FORMATS" in call
    assert not {
        (module, name)
        for module, tree in trees().items()
        for name in imports(tree)
        if name.startswith("PIL.") and name in ("PIL.Image.open", "PIL.ImageFile")
    }


def test_every_error_is_one_of_ours_or_pythons() -> None:
    """``raise Exception`` says nothing that could be caught."""
    wrong = [
        f"{module}, line {node.lineno}"
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and ast.unparse(node.exc).split("(")[0] in ("Exception", "BaseException")
    ]
    assert wrong == []


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_importing_the_package_is_light() -> None:
    code = "import sys; before = set(sys.modules); import exprocr; print(set(sys.modules) - before)"
    loaded = ast.literal_eval(python(code))
    assert {name for name in loaded if name.startswith("exprocr")} == {"exprocr"}
    assert not {name.split(".")[0] for name in loaded} & {"numpy", "torch", "PIL", "click"}


def test_public_names_are_resolved_when_they_are_used() -> None:
    from exprocr.core.reading.batch import BatchRecognizer
    from exprocr.core.reading.prediction import Prediction
    from exprocr.core.reading.recognizer import Recognizer
    from exprocr.errors import ExprocrError

    assert (exprocr.Recognizer, exprocr.Prediction) == (Recognizer, Prediction)
    assert (exprocr.BatchRecognizer, exprocr.ExprocrError) == (BatchRecognizer, ExprocrError)
    assert all(getattr(exprocr, name) for name in exprocr.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Reader'"):
        _ = exprocr.Reader  # type: ignore[attr-defined, unused-ignore]


@pytest.mark.parametrize(
    "room_name",
    [
        "errors",
        "core.reading.recognizer",
        "core.evaluation.calibration",
        "core.data.dataset",
        "synth.writer",
    ],
)
def test_the_core_and_the_renderer_load_no_torch(room_name: str) -> None:
    code = (
        f"import sys, exprocr.{room_name}; "
        "print([n for n in ('torch', 'click', 'rich', 'tqdm', 'matplotlib') if n in sys.modules])"
    )
    assert python(code) == "[]"


def test_decoding_needs_no_torch() -> None:
    code = """
import pkgutil, sys
from importlib import import_module
import numpy as np

names = []
for room in ("exprocr.core.decode", "exprocr.core.text.grammar"):
    names += [name for _, name, _ in pkgutil.iter_modules(import_module(room).__path__, room + ".")]
for name in names:
    import_module(name)

from exprocr.core.text.charset import Charset
from exprocr.core.decode.decoder import Decoder
from exprocr.core.text.grammar.grammars import load_grammar

def read(grammar, **options):
    logits = np.random.default_rng(0).normal(size=(12, 3, 16))
    log_probs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    decoder = Decoder(load_grammar(grammar, Charset("()*+-0123456789")), **options)
    return [reading.alternatives[0].text for reading in decoder(log_probs)]

texts = read("level1"), read("none", method="beam"), read("digits", by_value=True)
texts += (read("regex:[0-9]+"),)
print((len(names), [len(several) for several in texts], "torch" in sys.modules))
"""
    num_modules, num_texts, loaded_torch = ast.literal_eval(python(code))
    assert num_modules > 10
    assert num_texts == [3] * 4
    assert not loaded_torch
