"""Names and limits that options, settings and help share. Imports nothing."""

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Where PyTorch computes; ``auto`` takes a GPU if there is one."""

ENGINES = ("onnx", "torch")
"""What runs a network: ONNX Runtime or PyTorch."""

DECODERS = ("auto", "greedy", "beam", "exact")
"""How texts are found; `exprocr.core.decode.search` describes them."""

FORMATS = ("table", "tsv", "json", "csv", "contest")
"""How ``exprocr predict`` writes readings; `exprocr.cli.predict.formats` describes them."""

LAYOUTS = ("contest", "beside", "list", "table", "pairs", "names", "parquet", "lmdb")
"""How labeled pictures are stored; `exprocr.core.data.layouts` has a module for each."""

TEXTS_LIKE = ("level1", "captcha", "sums", "worksheet", "readings", "unknown")
"""Distributions of rendered texts; `exprocr.synth.texts` describes them."""

MAX_PROCESSES = 1024
"""Most threads, and most processes, that are asked for."""

MAX_BEAM_WIDTH = 1000
"""Most prefixes that a beam search keeps."""

MAX_NUM_BEST = 1000
"""Most texts that are found in one image."""

AUTO = "auto"
"""The value of an option that leaves the choice to the program."""

LOOKS = ("contest", "captcha", "print", "screen", "hand", "display")
"""Kinds of pictures that are rendered; `exprocr.synth.looks` describes them."""
