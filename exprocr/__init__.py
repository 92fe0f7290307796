"""Read pictures of arithmetic expressions.

>>> from exprocr import Recognizer
>>> Recognizer.load().predict(["img.png"])  # doctest: +SKIP
[Prediction(path='img.png', text='(7+5)+4', value=Fraction(16, 1), confidence=0.999, ...)]

The public names are imported on first use, so that ``import exprocr`` is cheap. ONNX Runtime or
PyTorch is imported by the first `Recognizer.load`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["BatchRecognizer", "ExprocrError", "Prediction", "Recognizer", "__version__"]

# ONNX Runtime 1.29 and newer looks for its maker's server and writes a device id into the user's
# cache as soon as it is imported. It reads this variable at that time.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from exprocr.core.reading.batch import BatchRecognizer
    from exprocr.core.reading.prediction import Prediction
    from exprocr.core.reading.recognizer import Recognizer
    from exprocr.errors import ExprocrError


def __getattr__(name: str) -> Any:
    if name == "Recognizer":
        from exprocr.core.reading import recognizer

        return recognizer.Recognizer
    if name == "BatchRecognizer":
        from exprocr.core.reading import batch

        return batch.BatchRecognizer
    if name == "Prediction":
        from exprocr.core.reading import prediction

        return prediction.Prediction
    if name == "ExprocrError":
        from exprocr import errors

        return errors.ExprocrError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
