"""Layouts of data sets: one module each.

Each module has a function ``find(path)``. It returns what to read at a path, or None if the path
has another layout. Its file's ``read`` returns the samples. A new layout is a new module, and a
line in `exprocr.core.data.layouts.train_val.PART_LAYOUTS`, and its name in `exprocr.choices`.
"""
