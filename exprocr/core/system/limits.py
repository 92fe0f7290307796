"""The limits of what exprocr reads.

A file beyond a limit is refused in one line, before the memory or the time is spent. The limits are
far above what pictures and labels of expressions need. They are chosen so that no picture, model,
graph, pattern or settings file takes more than 2 seconds or 500 MB, whatever it contains.
"""

from __future__ import annotations

MB = 10**6

# Pictures

MAX_PICTURE_BYTES = 100 * MB
"""Largest file of a picture."""

MAX_PICTURE_PIXELS = 20_000_000
"""Most pixels of a picture."""

MAX_REDUCED_PIXELS = 50_000_000
"""Most pixels of a JPEG in one scan, which can be decoded at a reduced size."""

MAX_SLOW_PIXELS = 300_000
"""Most pixels of rare kinds of files that Pillow decodes in Python, such as PPM as text."""

MAX_SCAN_PIXELS = 400_000_000
"""Most pixels times scans of a JPEG; each scan of a progressive JPEG passes over all pixels."""

MAX_TAG_VALUES = 200_000
"""Most values in the tags of a TIFF or of EXIF data; texts and bytes count as one."""

MAX_PICTURE_READS = 2_000
"""Most pieces that a picture's file is read in, plus one for each kilobyte of its size (at most
`MAX_READS_BY_SIZE`); each block of metadata is one to three pieces."""

MAX_READS_BY_SIZE = 60_000

# Models, graphs and settings

MAX_PARAMETERS = 15_000_000
"""Most values of a network."""

MAX_MODEL_BYTES = 70 * MB
"""Largest model file or graph."""

MAX_CHECKPOINT_BYTES = 5 * MAX_MODEL_BYTES
"""Largest checkpoint: a network, the best network, and two moments of each value."""

MAX_HEADER_BYTES = 2 * MB
"""Largest header of a model file or checkpoint: names, shapes and metadata."""

MAX_SETTINGS_BYTES = MB // 10
"""Largest settings file."""

MAX_CHARACTERS = 10_000
"""Most characters of a charset."""

# Labels and data sets

MAX_LABEL_LENGTH = 1_000
"""Longest label, in characters; also the longest expression that has a value."""

MAX_LINE_LENGTH = 100_000
"""Longest line of a label file, in bytes."""

MAX_LABELS = 10_000_000
"""Most rows of a label file."""

MAX_LABEL_FILE_BYTES = 1_000 * MB
"""Largest label file."""

MAX_ARCHIVE_BYTES = 1_000_000 * MB
"""Largest Parquet file or LMDB folder; no more than a small part of it is in memory at a time."""

MAX_FOOTER_BYTES = 16 * MB
"""Largest description of a Parquet file at its end."""

MAX_ROW_GROUP_BYTES = 1_000 * MB
"""Largest column of a row group of a Parquet file, before compression."""

MAX_BATCH_BYTES = 200 * MB
"""Most bytes of a column of a Parquet file that are in memory at a time; a single larger value is
too."""

MAX_DIGITS_BYTES = 100 * MB
"""Largest file of handwritten digits, before and after decompression; MNIST's has 47 MB."""

# Grammars

MAX_PATTERN_LENGTH = 10_000
"""Longest regular expression, in characters."""

MAX_PATTERN_POSITIONS = 4_000
"""Most characters and classes of a regular expression with its repeats written out."""

MAX_PATTERN_STEPS = 1_500_000
"""Most steps of making a regular expression deterministic."""

MAX_STATES = 200_000
"""Most states of a grammar."""

MAX_TRANSITIONS = 10_000_000
"""Largest product of a grammar's states and the model's classes."""

MAX_LEXICON_BYTES = 4 * MB
"""Largest lexicon."""

MAX_LEXICON_NODES = 250_000
"""Most nodes of the tree of a lexicon's texts; equal beginnings share nodes."""

MAX_STORED_LEXICON_BYTES = MB
"""Largest list of a lexicon's texts in a model file, in bytes as they are written there."""

MAX_SAMPLING_ENTRIES = 20_000_000
"""Most arcs of a grammar times lengths of texts that are drawn from it; each takes 8 bytes."""

# Runs

MAX_RECORD_BYTES = 1_000 * MB
"""Largest record of a run: its metrics, or the distributions of its tensors."""
