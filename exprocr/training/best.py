"""The best network of a run, and the model file and graph that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from exprocr.core.config.schema import PreprocessConfig, TrainingConfig
from exprocr.core.decode.decoder import Decoder
from exprocr.core.evaluation.calibration import Calibration, calibrate
from exprocr.core.evaluation.measure import LabeledImages
from exprocr.core.evaluation.metrics import NO_SCORE
from exprocr.core.model.artifact import MODEL_FILE_NAME, ModelFile, stored_grammar
from exprocr.core.model.loading import GRAPH_SUFFIX
from exprocr.core.model.network import Network
from exprocr.core.model.onnx_export import write_graph
from exprocr.core.model.torch_engine import export_weights, load_weights
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.system.files import output_error
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import Grammar
from exprocr.errors import ModelFileError
from exprocr.training.checkpoint import TrainingState, recorded_score

MAX_CALIBRATION_IMAGES = 10_000
"""Validation images that the temperature is fitted to: it is one number."""


class BestNetwork:
    """Keeps the best network's weights, and writes them to the run's model file.

    Args:
        run_dir: The run.
        charset: The network's characters.
        input_size: Its preprocessing.
        grammar: The grammar that the model file asks for.
        config: How it is trained.
        num_val_images: Images it is validated on.
        facts: What else the model file says of the training.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        charset: Charset,
        input_size: PreprocessConfig,
        grammar: Grammar,
        config: TrainingConfig,
        num_val_images: int,
        facts: Mapping[str, Any],
    ) -> None:
        self.path = run_dir / MODEL_FILE_NAME
        self.graph_path = self.path.with_suffix(GRAPH_SUFFIX)
        self.graph_problem = ""
        self.charset = charset
        self.input_size = input_size
        self.grammar = grammar
        self.config = config
        self.num_val_images = num_val_images
        self.facts = facts
        self.weights: dict[str, NDArray[Any]] = {}
        self.unknown_score = NO_SCORE
        """Score of a better network in the model file that the checkpoint does not know of."""

    def restore(
        self, weights: dict[str, NDArray[Any]], network: Network, state: TrainingState
    ) -> None:
        """Go on from a checkpoint."""
        self.weights = weights
        saved = recorded_score(self.path)
        if saved > state.best_score:  # a time limit may have left it
            self.unknown_score = saved
        elif weights and saved < state.best_score:  # else it may be calibrated already
            self.save(network, state)

    def keep(self, network: Network, state: TrainingState) -> None:
        """Keep a network, and save it."""
        self.weights = export_weights(network)
        self.save(network, state)

    def save(
        self, network: Network, state: TrainingState, calibration: Calibration | None = None
    ) -> None:
        """Write the model file, unless it holds a better network.

        Args:
            network: A network of the same shape.
            state: The run's counters.
            calibration: The best network's; None writes an uncalibrated file.

        Raises:
            OutputError: The place cannot be written.
        """
        score = state.best_score
        if score < self.unknown_score:
            return
        evaluated = score > NO_SCORE
        summary: dict[str, Any] = {
            "step": state.best_step if evaluated else state.step,
            "batch_size": self.config.batch_size,
            "seed": self.config.seed,
            "val_images": self.num_val_images,
            "val_exact_match": state.best_exact_match if evaluated else None,
            "val_loss": state.best_val_loss if evaluated else None,
        }
        if calibration:
            summary["val_ece"] = calibration.reliability.ece()
        summary |= self.facts
        grammar, lexicon = stored_grammar(self.grammar)
        model = ModelFile(
            model=network.config,
            preprocess=self.input_size,
            charset=self.charset,
            grammar=grammar,
            lexicon=lexicon,
            temperature=calibration.temperature if calibration else 1.0,
            weights=self.weights,
            training=summary,
            name=str(self.path),
        )
        # First, so that the model file never stands beside the graph of other weights.
        try:
            self.graph_path.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(self.graph_path, error) from error
        model.save(self.path)
        self._save_graph(model)
        self.unknown_score = NO_SCORE

    def _save_graph(self, model: ModelFile) -> None:
        """Write the graph; without one the model is read with PyTorch, so training goes on."""
        try:
            write_graph(model, self.graph_path)
            self.graph_problem = ""
        except ModelFileError as error:
            self.graph_problem = str(error)

    def calibrate(
        self, recognizer: Recognizer, network: Network, state: TrainingState, images: LabeledImages
    ) -> Calibration | None:
        """Calibrate the best network on the validation images, and save the temperature.

        Args:
            recognizer: Runs ``network``.
            network: The network in training, which lends itself for a while.
            state: The run's counters.
            images: The validation images.

        Returns:
            The calibration; None where there is no evaluated network of this run to calibrate.
        """
        if not NO_SCORE < state.best_score >= self.unknown_score:
            return None
        # Greedy, because a poor network would keep an exact search busy for minutes.
        decoder = Decoder(self.grammar, method="greedy")
        in_training = export_weights(network)
        load_weights(network, self.weights, str(self.path))
        try:
            batches = list(recognizer.log_probs(images.inks[:MAX_CALIBRATION_IMAGES]))
        finally:
            load_weights(network, in_training, str(self.path))
        texts = [images.texts[i] for indices, _ in batches for i in indices]
        calibration = calibrate([log_probs for _, log_probs in batches], texts, decoder)
        if not calibration.reliability.correct:
            return None
        self.save(network, state, calibration)
        return calibration
