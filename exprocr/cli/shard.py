"""A share of the images, for one of many processes or machines that read them together.

The share of an image is computed from its path alone, by a hash that is the same everywhere. So no
image changes its share when others come and go.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Any

import click

MAX_SHARDS = 1_000_000


@dataclass(frozen=True)
class Shard:
    """One of several shares that are about equally large; together they are the whole."""

    number: int
    """Its number, from 1."""

    total: int
    """How many there are."""

    def holds(self, path: str) -> bool:
        """Return whether an image belongs to this share.

        Args:
            path: Its path below the folder that is read.
        """
        # The bytes of the name, which do not depend on the language settings of a machine.
        name = os.fsencode(path.replace(os.sep, "/"))
        digest = hashlib.blake2b(name, digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.total == self.number - 1


class ShardType(click.ParamType):  # type: ignore[type-arg]  # none before click 8.4
    """A share such as ``3/100``."""

    name = "shard"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> Shard:
        """Return the share; all else is a usage error."""
        if isinstance(value, Shard):
            return value
        match = re.fullmatch("([0-9]{1,7})/([0-9]{1,7})", value)
        number, total = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= total <= MAX_SHARDS:
            self.fail(
                f"expected K/N, such as 3/100, with K from 1 to N and N at most {MAX_SHARDS:,}, "
                f"found {value!r}.",
                param,
                ctx,
            )
        return Shard(number, total)
