"""A model card: what a model file says of its model, in the order in which people ask.

After Mitchell et al., "Model Cards for Model Reporting", 2019: what the model is, what it reads,
what it was trained on and comes from, and how well it reads. What a file does not say, as files of
older versions do not, is "not recorded".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from exprocr.core.config.schema import ConvModuleConfig
from exprocr.core.model.artifact import FORMAT_VERSION, ModelFile
from exprocr.core.model.geometry import CONV_LAYERS
from exprocr.words import one_line, quantity, shortened

NOT_RECORDED = "not recorded"

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of the names of tensors of batch norms that are no parameters."""


class Fact(NamedTuple):
    """One line of a card."""

    name: str
    """What it is, in words."""

    value: Any
    """The value for programs, as JSON has it; None where it is not recorded."""

    text: str = ""
    """The value for people; empty shows ``value`` as it is."""

    def __str__(self) -> str:
        if self.value is None:
            return self.text or NOT_RECORDED
        return one_line(self.text or shortened(str(self.value), 200))


Card = dict[str, list[Fact]]
"""The facts of a card by the title of their section."""


def model_card(model: ModelFile, name: str) -> Card:
    """Return the card of a model.

    Args:
        model: The model.
        name: What the card calls it.
    """
    facts = model.training
    return {
        "Model": _model(model, name),
        "Network": _network(model),
        "What it reads": _reads(model),
        "What it was trained on": _data(facts),
        "What it comes from": _origin(facts),
        "Training": _training(facts),
        "Measured on validation images": _measured(facts),
        "Versions": [
            Fact(name, _inside(facts, "versions").get(name)) for name in ("exprocr", "torch")
        ],
    }


def as_json(card: Card) -> dict[str, dict[str, Any]]:
    """Return a card for programs: section -> name -> value, null where it is not recorded."""
    return {
        title.lower().replace(" ", "_"): {
            fact.name.lower().replace(" ", "_"): fact.value for fact in facts
        }
        for title, facts in card.items()
    }


def as_markdown(card: Card, title: str) -> str:
    """Return a card as a Markdown page, a table for each section."""
    lines = [f"# {_escaped(title)}", ""]
    for section, facts in card.items():
        lines += [f"## {section}", "", "| | |", "|---|---|"]
        lines += [f"| {_escaped(fact.name)} | {_escaped(str(fact))} |" for fact in facts]
        lines.append("")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|~&" else c for c in one_line(text))


def _inside(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of the facts; empty where a file has none."""
    section = facts.get(name)
    return section if isinstance(section, Mapping) else {}


def _model(model: ModelFile, name: str) -> list[Fact]:
    number = sum(t.size for n, t in model.weights.items() if not n.endswith(_STATISTICS))
    return [
        Fact("name", name),
        Fact("weights digest", model.weights_digest()),
        Fact("parameters", number, f"{number:,}"),
        Fact("license", model.license or None),
        Fact("format version", FORMAT_VERSION),
    ]


def _network(model: ModelFile) -> list[Fact]:
    config, size = model.model, model.preprocess
    facts = [
        Fact(
            "input",
            [size.height, size.width],
            f"{size.height} px high, "
            + (f"{size.width} px wide" if size.width else "as wide as the picture"),
        ),
        Fact("flat field", size.flat_field, "yes" if size.flat_field else "no"),
    ]
    for name in CONV_LAYERS:
        module: ConvModuleConfig = getattr(config, name)
        steps = [
            f"{kernel} x {kernel} to {channels} channels" + (f", stride {stride}" * (stride > 1))
            for kernel, channels, stride in zip(
                module.kernel_sizes, module.channels, module.strides, strict=True
            )
        ]
        rows, columns = module.pool
        pool = f"; max-pool {rows} x {columns}" if module.pool != (1, 1) else ""
        shape = {
            "kernel_sizes": list(module.kernel_sizes),
            "channels": list(module.channels),
            "strides": list(module.strides),
            "pool": list(module.pool),
        }
        facts.append(Fact(name, shape, "; ".join(steps) + pool))
    return [
        *facts,
        Fact("fc1", config.fc1_units, quantity(config.fc1_units, "unit")),
        Fact("gru1", config.gru_units, f"{config.gru_units:,} units a direction"),
        Fact("gru2", config.gru_units, f"{config.gru_units:,} units a direction"),
        Fact("fc2", model.charset.num_classes, f"{model.charset.num_classes:,} classes"),
        Fact("batch norm", config.batch_norm, "yes" if config.batch_norm else "no"),
        Fact("dropout", config.dropout),
    ]


def _reads(model: ModelFile) -> list[Fact]:
    characters, texts = model.charset.characters, model.lexicon
    grammar = model.grammar + (f" ({quantity(len(texts), 'text')})" if texts else "")
    return [
        Fact("characters", characters, f"{shortened(characters)} ({len(characters):,})"),
        Fact("grammar", model.grammar, shortened(grammar, 200)),
        Fact("temperature", model.temperature, f"{model.temperature:.4g}"),
    ]


def _count(name: str, value: object) -> Fact:
    return Fact(name, value, f"{value:,}" if isinstance(value, int) else "")


def _share(name: str, value: object, digits: int = 2) -> Fact:
    return Fact(name, value, f"{value:.{digits}%}" if isinstance(value, int | float) else "")


def _data(facts: Mapping[str, Any]) -> list[Fact]:
    settings = _inside(facts, "settings")
    synth = _inside(settings, "synth")
    none = "none" if settings else NOT_RECORDED
    looks = synth.get("looks")
    texts = synth.get("grammar") or synth.get("texts_like") or None
    if synth and texts is None:
        texts = "lines of a file" if facts.get("texts_digest") else "level1"
    return [
        _count("labeled images", facts.get("train_images")),
        Fact("digest of the data set", facts.get("data_digest"), none),
        _share("share of rendered images", _inside(settings, "training").get("synth_mix"), 0),
        Fact("looks", looks, ", ".join(map(str, looks)) if isinstance(looks, list) else none),
        Fact("rendered texts", texts, none if texts is None else ""),
        Fact("digest of rendered texts", facts.get("texts_digest"), none),
        _count("validation images", facts.get("val_images")),
        Fact("digest of separate validation data", facts.get("val_digest"), none),
    ]


def _origin(facts: Mapping[str, Any]) -> list[Fact]:
    digest = facts.get("init_digest")
    random = "random weights" if digest is None and "settings" in facts else ""
    found = [Fact("digest of the weights it started from", digest, random)]
    others = facts.get("averaged_with")
    if isinstance(others, list):
        found.append(Fact("averaged with", others, shortened(", ".join(map(str, others)), 200)))
    return found


def _training(facts: Mapping[str, Any]) -> list[Fact]:
    step, batch_size = facts.get("step"), facts.get("batch_size")
    seen = None
    if isinstance(step, int) and isinstance(batch_size, int):
        seen = step * batch_size
    settings = _inside(facts, "settings")
    return [
        _count("steps", step),
        _count("batch size", batch_size),
        _count("images seen", seen),
        Fact("seed", facts.get("seed")),
        Fact("precision", facts.get("precision")),
        *(
            Fact(f"{section}.{name}", value)
            for section in ("training", "augment", "synth")
            for name, value in _inside(settings, section).items()
            if name not in ("batch_size", "seed", "precision") and value is not None
        ),
    ]


def _measured(facts: Mapping[str, Any]) -> list[Fact]:
    loss = facts.get("val_loss")
    return [
        _share("exact match", facts.get("val_exact_match")),
        Fact("loss", loss, f"{loss:.4f} nats" if isinstance(loss, int | float) else ""),
        _share("calibration error", facts.get("val_ece")),
    ]
