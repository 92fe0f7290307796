"""Muon, against PyTorch's own and the singular value decomposition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from exprocr.core.config.schema import TrainingConfig
from exprocr.training.muon import Muon, orthogonal
from exprocr.training.run import RunSpec
from exprocr.training.schedule import make_optimizer
from tests.support.tiny_runs import prepare, tiny_settings

LR, DECAY = 0.01, 0.1


@pytest.mark.parametrize("shape", [(24, 10), (10, 24), (16, 16)])
def test_only_the_singular_values_change(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    values = left.mT @ orthogonal(matrices) @ right.mT
    found = values.diagonal(dim1=1, dim2=2)
    assert found.min() > 0.3  # the smallest are lifted the least
    assert found.max() < 1.3
    torch.testing.assert_close(values, torch.diag_embed(found), rtol=0, atol=1e-4)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
def test_it_is_pytorchs_for_matrices_and_adamw_for_all_else(files: Path, tmp_path: Path) -> None:
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    network = trainer.network
    expected = {name: p.detach().clone().contiguous() for name, p in network.named_parameters()}
    config = TrainingConfig(optimizer="muon", learning_rate=LR, weight_decay=DECAY)
    optimizer = make_optimizer(network, config)
    assert isinstance(optimizer, Muon)
    matrices = {name: _parts(name, p) for name, p in expected.items() if _is_matrix(name, p)}
    others = {name: p for name, p in expected.items() if name not in matrices}
    peers = [
        torch.optim.Muon(
            [part for parts in matrices.values() for part in parts],
            lr=LR,
            weight_decay=DECAY,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW([p for p in others.values() if p.ndim > 1], lr=LR, weight_decay=DECAY),
        torch.optim.AdamW([p for p in others.values() if p.ndim == 1], lr=LR, weight_decay=0),
    ]
    before = {name: p.clone() for name, p in expected.items()}
    for gradients in _gradients(expected):
        for name, parameter in network.named_parameters():
            grad = gradients[name]
            parameter.grad = torch.empty_like(parameter).copy_(grad)
            expected[name].grad = grad
            for part, part_grad in zip(matrices.get(name, ()), _parts(name, grad), strict=False):
                part.grad = part_grad
        optimizer.step()
        for peer in peers:
            peer.step()
    for name, parameter in network.named_parameters():
        change, theirs = parameter.detach() - before[name], expected[name] - before[name]
        # PyTorch's iteration is in bfloat16.
        tolerance = 0.05 if name in matrices else 1e-5
        assert (change - theirs).norm() < tolerance * theirs.norm(), name


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim > 1 and not name.startswith("fc2")


def _parts(name: str, parameter: Tensor) -> list[Tensor]:
    """Return views of the matrices of a parameter: a kernel is one, a GRU's weights are three."""
    return list(parameter.view(len(parameter), -1).chunk(3 if name.startswith("gru") else 1))


def _gradients(like: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        yield {name: torch.empty_like(p).normal_(generator=generator) for name, p in like.items()}
