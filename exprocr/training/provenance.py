"""What a model file says of where its model comes from: data, settings and versions."""

from __future__ import annotations

from typing import Any

import torch

import exprocr
from exprocr.core.config.settings import to_dict
from exprocr.core.text.grammar.grammars import LEXICON
from exprocr.training.run import RunSpec

MAX_ITEMS = 20
"""Items of a list that are recorded."""

MAX_TEXT = 200
"""Characters of a text that are recorded."""

PLACES = ("fonts", "digits", "texts")
"""Settings of [synth] that are places on the machine; they are left out."""


def provenance(spec: RunSpec, num_labeled: int) -> dict[str, Any]:
    """Return the facts, a few kilobytes at most.

    Data and the model that the training starts from are named by digest, because their places mean
    nothing elsewhere.

    Args:
        spec: The run's settings.
        num_labeled: Labeled images that are trained on.
    """
    settings = {"training": to_dict(spec.settings.training)}
    if num_labeled:
        settings["augment"] = to_dict(spec.settings.augment)
    if spec.settings.training.synth_mix:
        synth = to_dict(spec.settings.synth)
        settings["synth"] = {name: synth[name] for name in synth if name not in PLACES}
        if synth["grammar"].startswith(LEXICON):
            settings["synth"]["grammar"] = f"{LEXICON}FILE"
    digests = {
        "data_digest": spec.data_digest,
        "val_digest": spec.val_digest,
        "texts_digest": spec.texts_digest,
        # An old checkpoint has the place alone.
        "init_digest": spec.init_digest or ("unknown" if spec.init else None),
    }
    return {
        "versions": {"exprocr": exprocr.__version__, "torch": torch.__version__},
        "train_images": num_labeled,
        **{name: digest for name, digest in digests.items() if digest is not None},
        "precision": spec.precision,
        "settings": _bounded(settings),
    }


def _bounded(value: Any) -> Any:
    """Return a value with long lists and texts cut."""
    if isinstance(value, dict):
        return {name: _bounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(item) for item in value[:MAX_ITEMS]]
    return value[:MAX_TEXT] if isinstance(value, str) else value
