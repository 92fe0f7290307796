"""Each frame's probabilities, against PyTorch's softmax of the network's logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.torch_engine import to_input
from exprocr.core.reading.recognizer import Recognizer
from exprocr.viz.alignment.frames import frames_of
from exprocr.viz.subject import read_subject


def test_frames_are_the_softmax_of_the_logits(
    image: Path, tiny_model: Path, tmp_path: Path
) -> None:
    warm = tmp_path / "warm.safetensors"
    replace(ModelFile.load(tiny_model), temperature=1.7).save(warm)
    recognizer = Recognizer.load(warm, engine="torch", device="cpu", threads=1)
    subject = read_subject(recognizer, image, "img.png")
    frames = frames_of(subject)
    network = subject.engine.network.eval()
    outputs: list[torch.Tensor] = []
    hook = network.fc2.register_forward_hook(lambda *args: outputs.append(args[-1]))
    with torch.no_grad():
        network(to_input(subject.ink[None], torch.device("cpu")))
    hook.remove()
    expected = torch.softmax(outputs[0][:, 0].double() / 1.7, dim=1)
    np.testing.assert_allclose(frames.probabilities, expected.numpy(), atol=1e-6)
    assert frames.temperature == 1.7
    assert list(frames.classes) == ["blank", *recognizer.charset.characters]
    assert frames.geometry.columns == recognizer.frame_axis
