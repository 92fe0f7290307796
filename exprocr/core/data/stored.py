"""Pictures inside files of many, by the paths that stand for them in tables."""

from __future__ import annotations

from pathlib import Path

from exprocr.core.data.lmdb_folder import DATA_NAME, IMAGE_KEY, LmdbPicture
from exprocr.core.data.parquet_file import SUFFIX, ParquetPicture
from exprocr.core.image.files import StoredPicture


def stored_at(path: Path) -> StoredPicture | None:
    """Return the picture inside a file that a path leads into; None if it leads into none.

    Args:
        path: ``data.parquet/12`` is row 12, counted from 0, and ``folder/image-000000001`` the
            picture of that key in an LMDB folder.
    """
    parent, name = path.parent, path.name
    if parent.suffix.lower() == SUFFIX and name.isascii() and name.isdigit() and len(name) < 10:
        return ParquetPicture(parent, int(name)) if parent.is_file() else None
    if IMAGE_KEY.fullmatch(name) and (parent / DATA_NAME).is_file():
        return LmdbPicture(parent, name)
    return None
