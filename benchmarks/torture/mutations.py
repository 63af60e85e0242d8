"""Ways to change a file: blindly, byte by byte, or knowing how JSON, TOML or safetensors are laid out."""

import json
import random

from benchmarks.torture.fuzz import changed
from seal.engine.files import sealed

_BITES = (
    b"\x00",
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"\x80",
    b"\n",
    b'"',
    b"[" * 2000,
    b"\x1b]0;x\x07",
    b"PAR1",
)
_TOML = (
    "3", "-1", "1e400", "nan", "inf", '""', '"x"', "true", "[]", "[[]]", "{}", "1979-05-27", '"\\u0000"',
    '"../../x"', '"=\\u001b[31m"', "[" * 200 + "]" * 200, "99999999999999999999", '["a", 3]', "{a = {b = 3}}",
    '"' + "x" * 5000 + '"',
)  # fmt: skip


def bitten(data: bytes, draw: random.Random) -> bytes:
    """One to three of: a bit flipped, the end cut, bytes taken out, doubled, replaced or put in."""
    for _ in range(draw.randint(1, 3)):
        if not data:
            break
        at = _place(len(data), draw)
        before, bite, after = data[:at], data[at : at + draw.choice([1, 4, 30, 400])], data[at:]
        kind = draw.choice(["flip", "flip", "flip", "cut", "out", "double", "replace", "in"])
        if kind == "flip":
            data = before + bytes([after[0] ^ 1 << draw.randrange(8)]) + after[1:]
        elif kind == "cut":
            data = before
        elif kind == "double":
            data = before + bite + after
        elif kind == "in":
            data = before + draw.choice(_BITES) + after
        else:
            data = before + (draw.randbytes(len(bite)) if kind == "replace" else b"") + after[len(bite) :]
    return data


def _place(length: int, draw: random.Random) -> int:
    """Anywhere, or near the end, where formats keep what they are about, or the beginning."""
    kind = draw.random()
    if kind < 0.3:
        return max(0, length - 1 - draw.randrange(min(length, 600)))
    return draw.randrange(min(length, 200) if kind < 0.5 else length)


def reshaped(data: bytes, draw: random.Random) -> bytes:
    """JSON, or a line of JSON lines, with values replaced, dropped, renamed or doubled."""
    lines = data.splitlines() if data.count(b"\n{") else [data]
    at = draw.randrange(len(lines))
    lines[at] = _dumped(_changed(json.loads(lines[at]), draw))
    return b"\n".join(lines) + (b"\n" if len(lines) > 1 else b"")


def resealed(data: bytes, draw: random.Random) -> bytes:
    """The same with a record that names its own hash, as a forger would leave it."""
    document = _changed(json.loads(data), draw)
    return sealed(document) if isinstance(document, dict) else _dumped(document)


def _changed(document: object, draw: random.Random) -> object:
    """Changed somewhere below its keys, most often, for else hardly anything is left of it."""
    for _ in range(draw.randint(1, 3)):
        if isinstance(document, dict) and document and draw.random() < 0.85:
            key = draw.choice(list(document))
            document = document | {key: changed(document[key], draw)}
        else:
            document = changed(document, draw)
    return document


def _dumped(document: object) -> bytes:
    return json.dumps(document, indent=2).encode("utf-8", "surrogatepass")


def relaid(data: bytes, draw: random.Random) -> bytes:
    """TOML with values replaced, and lines doubled, dropped or moved."""
    lines = data.decode().splitlines()
    for _ in range(draw.randint(1, 3)):
        at, kind = draw.randrange(len(lines)), draw.random()
        key, equals, _ = lines[at].partition(" = ")
        if kind < 0.6:
            lines[at] = f"{key}{equals}{draw.choice(_TOML)}" if equals else lines[at]
        elif kind < 0.7:
            lines[at] = draw.choice(["", "x", "a.b", '"', key[:-1]]) + lines[at][len(key) :]
        elif kind < 0.8:
            lines.insert(at, lines[at])
        elif kind < 0.9:
            del lines[at : at + draw.randint(1, 3)]
        else:
            lines.insert(draw.randrange(len(lines)), lines.pop(at))
        lines = lines or [""]
    return "\n".join(lines).encode()


def respelled(data: bytes, draw: random.Random) -> bytes:
    """A safetensors file with another header, of the right length or not; now and then bitten instead."""
    if draw.random() < 0.3:
        return bitten(data, draw)
    length = int.from_bytes(data[:8], "little")
    header = _dumped(_changed(json.loads(data[8 : 8 + length]), draw))
    said = (
        len(header) if draw.random() < 0.8 else draw.choice([0, 1, len(header) - 1, 2**31, 2**63, 2**64 - 1])
    )
    return said.to_bytes(8, "little") + header + data[8 + length :]
