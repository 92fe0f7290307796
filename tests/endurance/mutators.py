"""Seeded mutations of files: of any bytes, and of formats whose structure stays sound."""

from __future__ import annotations

import json
import random
import struct
import tomllib
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import onnx
import tomli_w
from google.protobuf.descriptor import FieldDescriptor

Mutator = Callable[[bytes, random.Random], bytes]

MAX_BLOCK = 300
NUMBERS = (
    0,
    1,
    2,
    60,
    100,
    1000,
    4000,
    19999,
    127,
    128,
    255,
    256,
    32767,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
TOKENS = (
    *(b"\0", b"\xff", b"\n", b"\r", b"\t", b'"', b",", b".", b"{", b"}", b"[", b"]", b"-", b"/"),
    *(b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"../../", b"NaN"),
    *(b"1e999", b"9" * 5000, b"[" * 20_000, b"{1,999}", b"(a|b)*", b"[^0]", b"(?:", b"\\d+", b"|"),
    *(b"a" * 200_000, b"\n" * 5000, b"1+" * 3000, b".a" * 300, b"null", b"0.png", b"((((1))))"),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1,
        2,
        3,
        7,
        2**31,
        2**63,
        2**70,
        10**400,
        0.5,
        -0.5,
        1e308,
        1e-308,
        -1e308,
    ),
    *(float("nan"), float("inf"), "", "1", "a" * 100_000, "\0", "\u2028", "\ud800", "/etc/passwd"),
    *("../../x", "none", "auto", [], [1], [-1], [[]], [1, 2], [99999], ["1"] * 5000, {}, {"a": 1}),
)

CELLS = (b"", b"1/0", b"7/2", b"1+1", b"x", b"-5", b"(1+2)*3", b"1" * 900, b"3.png", b"text")
PARTS = (
    *("(", ")", "|", "*", "+", "?", "{2,9}", "{0,999}", "{,3}", "{3,}", "[0-9]", "[^+]", "1", "-"),
    *("\\d", "\\w", "\\", ".", "(?:", "(?=1)", "^", "$", "[", "]", "(1|2)*", "\\1", "é"),
)
"""Of tables, and of patterns."""


def of_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes, wherever they are."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 16))):
        # Some near the beginning, where sizes and offsets are.
        reach = len(data) if rng.random() < 0.7 else min(len(data), 100)
        place = rng.randrange(reach + 1)
        block = data[place : place + rng.randrange(1, MAX_BLOCK)]
        change = rng.choice((0, 0, 0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8))
        if change == 0 and data:
            data[place % len(data)] ^= 1 << rng.randrange(8)
        elif change == 1:
            del data[place:]
        elif change == 2:
            data[place:place] = rng.choice(TOKENS)
        elif change == 3:
            data[place:place] = block * rng.choice((1, 2, 100))
        elif change == 4:
            del data[place : place + len(block)]
            other = rng.randrange(len(data) + 1)
            data[other:other] = block
        elif change == 5:
            order, kind = rng.choice("<>"), rng.choice("BHIQ")
            size = struct.calcsize(kind)
            data[place : place + size] = struct.pack(
                order + kind, rng.choice(NUMBERS) % 2 ** (8 * size)
            )
        elif change == 6:
            del data[place : place + len(block)]
        elif change == 7:
            data[place : place + len(block)] = rng.randbytes(len(block))
        else:
            data[place : place + len(block)] = bytes(len(block))
    return bytes(data)


def of_png(content: bytes, rng: random.Random) -> bytes:
    """Change the data of chunks, or their order; their checksums are right."""
    place, chunks = 8, []
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    for _ in range(rng.randrange(1, 4)):
        number = rng.randrange(len(chunks))
        kind, data = chunks[number]
        if rng.random() < 0.3:
            chunks.insert(rng.randrange(len(chunks)), (kind, data))
        elif kind == b"IDAT" and rng.random() < 0.5:
            with suppress(zlib.error):  # it was changed before
                chunks[number] = kind, zlib.compress(of_bytes(zlib.decompress(data), rng))
        else:
            chunks[number] = kind, of_bytes(data, rng)
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def change_value(value: Any, rng: random.Random) -> Any:
    """Replace a value somewhere inside, add one, or remove one."""
    inner = [key for key in _keys(value) if isinstance(value[key], dict | list) and value[key]]
    if inner and rng.random() < 0.6:
        key = rng.choice(inner)
        value[key] = change_value(value[key], rng)
    elif keys := list(_keys(value)):
        key = rng.choice(keys)
        if rng.random() < 0.15:
            del value[key]
        elif isinstance(value, dict) and rng.random() < 0.1:
            value[rng.choice(("", "a", "\0", str(key) + "s"))] = value[key]
        else:
            value[key] = rng.choice(VALUES)
    else:
        return rng.choice(VALUES)
    return value


def _keys(value: Any) -> Any:
    return value.keys() if isinstance(value, dict) else range(len(value))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def of_json(content: bytes, rng: random.Random) -> bytes:
    """Change values in a document of JSON."""
    return _json(change_value(json.loads(content), rng))


def of_json_lines(content: bytes, rng: random.Random) -> bytes:
    """Change values in lines of JSON."""
    lines = content.splitlines()
    for _ in range(rng.randrange(1, 4)):
        number = rng.randrange(len(lines))
        lines[number] = of_json(lines[number], rng) if lines[number][:1] == b"{" else b"{}"
    return b"\n".join(lines) + b"\n"


def of_toml(content: bytes, rng: random.Random) -> bytes:
    """Change values in a settings file."""
    value = change_value(tomllib.loads(content.decode()), rng)
    try:
        return tomli_w.dumps(value).encode("utf-8", "surrogatepass")
    except (TypeError, AttributeError):  # None, which TOML does not have
        return of_bytes(content, rng)


def of_cells(content: bytes, rng: random.Random) -> bytes:
    """Change cells and rows of a table or a list of labels."""
    lines = content.splitlines()
    separator = next((s for s in (b"\t", b",", b" ") if s in lines[0]), b",")
    for _ in range(rng.randrange(1, 4)):
        number = rng.randrange(len(lines))
        cells = lines[number].split(separator)
        cells[rng.randrange(len(cells))] = rng.choice(rng.choice((TOKENS, CELLS)))
        lines[number : number + rng.randrange(2)] = [separator.join(cells)]
    return b"\n".join(lines) + b"\n"


def of_safetensors(content: bytes, rng: random.Random) -> bytes:
    """Change the header of a file of tensors, or the JSON inside its metadata."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    if rng.random() < 0.6:
        key = rng.choice(list(header["__metadata__"]))
        header["__metadata__"][key] = of_json(header["__metadata__"][key].encode(), rng).decode()
    else:
        header = change_value(header, rng)
    if rng.random() < 0.2:
        data = struct.pack("<f", rng.choice((float("nan"), float("inf"), 1e38))) + data[4:]
    changed = _json(header)
    return len(changed).to_bytes(8, "little") + changed + data


def of_graph(content: bytes, rng: random.Random) -> bytes:
    """Change fields of a graph, or the JSON inside its metadata."""
    model = onnx.ModelProto()
    model.ParseFromString(content)
    if rng.random() < 0.3:
        entry = model.metadata_props[0]
        entry.value = of_json(entry.value.encode(), rng).decode("utf-8", "replace")
    else:
        _change_message(model, rng)
    return bytes(model.SerializeToString())


def _change_message(message: Any, rng: random.Random) -> None:
    """Change one field of a message, or of one inside it."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = rng.choice(fields)
    repeated = not hasattr(value, "ListFields") and hasattr(value, "__delitem__")
    if repeated and rng.random() < 0.2:
        del value[rng.randrange(len(value))]
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        inner = rng.choice(value) if repeated else value
        if repeated and rng.random() < 0.15:
            value.append(inner)
        else:
            _change_message(inner, rng)
    else:
        new: Any = rng.choice(NUMBERS) % 2**31
        if field.type == FieldDescriptor.TYPE_STRING:
            new = rng.choice(("", "a", "Loop", "If", "pictures", "\0", "x" * 10_000, "../a"))
        elif field.type == FieldDescriptor.TYPE_BYTES:
            new = of_bytes(value[0] if repeated else value, rng)
        if repeated:
            value[rng.randrange(len(value))] = new
        else:
            setattr(message, field.name, new)


def of_pattern(content: bytes, rng: random.Random) -> bytes:
    """Put parts of patterns into a pattern."""
    text = content.decode()
    for _ in range(rng.choice((1, 1, 2, 3, 10))):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(PARTS) * rng.choice((1, 1, 1, 50)) + text[place:]
    return text.encode()
