"""Several processes that train one network, started as ``torchrun`` does it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from exprocr.core.runs.layout import CHECKPOINT_NAME, METRICS_NAME
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import SETTINGS, check_same, write_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun is not for Windows")

TIMEOUT_S = 300


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def begin(num: int, *args: object) -> list[subprocess.Popen[str]]:
    """Start processes that train together."""
    port = free_port()
    started = []
    for rank in range(num):
        environment = os.environ | {
            "RANK": str(rank),
            "WORLD_SIZE": str(num),
            "LOCAL_WORLD_SIZE": str(num),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        command = [sys.executable, "-m", "exprocr", "train", *map(str, args), "--threads", "1"]
        started.append(
            subprocess.Popen(
                command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    return started


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return the exit code and the output of each."""
    found = []
    for process in processes:
        out, err = process.communicate(timeout=TIMEOUT_S)
        found.append((process.returncode, out, err))
    return found


def check_done(found: Sequence[tuple[int, str, str]]) -> None:
    for code, _, err in found:
        assert code == 0, err


def together(num: int, *args: object) -> list[tuple[int, str, str]]:
    return ended(begin(num, *args))


def torchrun(launch: Sequence[object], *args: object) -> subprocess.Popen[str]:
    """Start torchrun, with options of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", *map(str, launch)]
    command += ["-m", "exprocr", "train", *map(str, args), "--threads", "1"]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def places(nodes: int) -> list[list[object]]:
    """Return torchrun's options for each of the machines, which are all this one."""
    if nodes == 1:
        return [[]]
    meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}")
    return [["--nnodes", nodes, "--rdzv-id", "a", *meeting] for _ in range(nodes)]


def workers_of(agent: subprocess.Popen[str], rank: int) -> list[int]:
    """Return the processes of a rank that torchrun has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (folder / "environ").read_bytes().split(b"\0")
            if parent == agent.pid and f"RANK={rank}".encode() in variables:
                found.append(int(folder.name))
    return found


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / METRICS_NAME).read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files") / "data", 37)


def settings(
    folder: Path,
    *,
    steps: int,
    batch_norm: bool,
    dropout: float,
    mix: float,
    optimizer: str = "adamw",
) -> Path:
    """Write settings of a tiny network; rendered pictures have several widths."""
    (folder / "fonts").mkdir(parents=True)
    (folder / "fonts" / "DejaVuSans.ttf").symlink_to(matplotlib_fonts() / "DejaVuSans.ttf")
    fonts = {"system_fonts": False, "fonts": [str(folder / "fonts")]}
    values: dict[str, Any] = {
        "model": SETTINGS["model"] | {"batch_norm": batch_norm, "dropout": dropout},
        "preprocess": SETTINGS["preprocess"],
        "training": SETTINGS["training"]
        | {
            "steps": steps,
            "batch_size": 10,
            "synth_mix": mix,
            "optimizer": optimizer,
            "evaluate_every_steps": min(20, steps // 3),
        },
        "synth": SETTINGS["synth"] | fonts | {"width": "auto", "grammar": "regex:[0-9]{1,3}"},
    }
    (folder / "tiny.toml").write_text(tomli_w.dumps(values))
    return folder / "tiny.toml"


@pytest.mark.parametrize(
    ("batch_norm", "steps", "optimizer"),
    [
        pytest.param(False, 50, "adamw", marks=pytest.mark.slow),
        pytest.param(True, 50, "adamw", marks=pytest.mark.slow),
        pytest.param(False, 50, "muon", marks=pytest.mark.slow),
        (True, 10, "adamw"),
    ],
    ids=["without", "with", "muon", "with-quick"],
)
def test_two_processes_train_as_one(
    files: Path, tmp_path: Path, batch_norm: bool, steps: int, optimizer: str
) -> None:
    config = settings(
        tmp_path / "c",
        steps=steps,
        batch_norm=batch_norm,
        dropout=0.0,
        mix=0.4,
        optimizer=optimizer,
    )
    val = write_files(tmp_path / "val", 5)
    labels = (val / "labels.txt").read_text().splitlines()
    for number in (0, 2, 4):  # the leader's part: with characters that have no loss
        labels[number] = "5=?"
    (val / "labels.txt").write_text("\n".join(labels))
    options = (files, "--val", val, "--config", config)
    for num in (1, 2):
        check_done(together(num, *options, "--output", tmp_path / f"run{num}"))
    for kind, names in (
        ("step", ("loss", "learning_rate")),
        ("evaluation", ("val_loss", "val_exact_match", "train_loss", "train_exact_match")),
    ):
        alone, shared = (records(tmp_path / f"run{num}", kind) for num in (1, 2))
        assert len(alone) == len(shared) > 2
        for name in names:
            expected, found = ([record[name] for record in run] for run in (alone, shared))
            # Batch norm's sums are rounded differently, of losses of twenty nats and more.
            rtol = 2e-5 if batch_norm else 0
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_all_render_what_the_leader_chooses(files: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "c", steps=4, batch_norm=True, dropout=0.0, mix=0.0)
    options = ("--config", config, "--synth-mix", "auto", "--output", tmp_path / "run")
    leader, other = together(2, files, *options)
    assert (leader[0], other) == (0, (0, "", "")), leader[2]
    assert "50% rendered images, in the look" in leader[2]
    assert len(records(tmp_path / "run", "step")) == 4


def test_only_the_leader_writes_and_prints(files: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "c", steps=4, batch_norm=True, dropout=0.2, mix=0.0)
    leader, other = together(2, files, "--config", config, "--output", tmp_path / "run")
    assert (leader[0], other) == (0, (0, "", "")), leader[2]
    assert "validation exact match" in leader[1]


@pytest.mark.slow
def test_only_the_leader_says_what_is_wrong(files: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "c", steps=4, batch_norm=True, dropout=0.2, mix=0.0)
    refused = together(2, files, "--config", config)
    assert [code for code, _, _ in refused] == [2, 2]
    assert "several processes need --output" in refused[0][2]
    assert refused[1][2] == ""


@pytest.mark.slow
def test_a_signal_to_one_stops_all_and_the_command_goes_on(files: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "c", steps=60, batch_norm=True, dropout=0.2, mix=0.4)
    whole = (files, "--config", config, "--output", tmp_path / "whole")
    check_done(together(2, *whole))

    run = tmp_path / "run"
    options = (files, "--config", config, "--output", run)
    processes = begin(2, *options)
    while not (run / METRICS_NAME).exists():  # the first evaluation is there
        assert processes[0].poll() is None, ended(processes)
    processes[1].send_signal(signal.SIGTERM)
    stopped = ended(processes)
    check_done(stopped)
    assert "stopped; go on with" in stopped[0][2]
    assert len(records(run, "step")) < 60
    again = together(2, *options)
    check_done(again)
    assert "has a run, which goes on" in again[0][2]
    check_same(run, tmp_path / "whole")


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others(files: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "c", steps=10_000, batch_norm=True, dropout=0.2, mix=0.0)
    run = tmp_path / "run"
    processes = begin(2, files, "--config", config, "--output", run)
    while not (run / METRICS_NAME).exists():
        assert processes[0].poll() is None, ended(processes)
    processes[1].kill()
    leader, _ = ended(processes)
    assert leader[0] == 1
    assert (
        "exprocr: rank 0: stopped, because another process of the training has ended" in leader[2]
    )
    assert (run / CHECKPOINT_NAME).exists()


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun_starts_again_what_was_killed(files: Path, tmp_path: Path, nodes: int) -> None:
    config = settings(tmp_path / "c", steps=200, batch_norm=True, dropout=0.2, mix=0.0)
    options = (files, "--config", config)
    check_done(together(2, *options, "--output", tmp_path / "whole"))

    run = tmp_path / "run"
    launch = ["--nproc-per-node", 2 // nodes, "--max-restarts", 3, "--monitor-interval", 0.1]
    agents = [torchrun([*launch, *meeting], *options, "--output", run) for meeting in places(nodes)]
    while not (run / METRICS_NAME).exists() or len(records(run, "evaluation")) < 2:
        assert agents[0].poll() is None, ended(agents)
    (worker,) = [worker for agent in agents for worker in workers_of(agent, rank=1)]
    os.kill(worker, signal.SIGKILL)
    found = ended(agents)
    check_done(found)
    assert any("has a run, which goes on" in err for _, _, err in found)
    check_same(run, tmp_path / "whole")


@pytest.mark.slow
def test_two_nodes(files: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "c", steps=12, batch_norm=True, dropout=0.2, mix=0.0)
    options = (files, "--config", config)
    check_done(together(2, *options, "--output", tmp_path / "whole"))
    nodes = [torchrun(launch, *options, "--output", tmp_path / "run") for launch in places(2)]
    check_done(ended(nodes))
    check_same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_an_error_names_the_rank(files: Path, tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", 20)
    config = settings(tmp_path / "c", steps=4, batch_norm=True, dropout=0.2, mix=0.0)
    for number in range(20):
        (data / f"{number}.png").write_bytes(b"")
    options = ("--config", config, "--output", tmp_path / "run")
    (code, _, err), (other_code, _, other_err) = together(2, data, *options)
    assert (code, other_code) == (1, 1)
    assert "exprocr: rank 0: " in err
    assert "exprocr: rank 1: " in other_err
