"""JSON lines -> records."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from seal.engine.datasets.fields import Record
from seal.engine.datasets.items import BOM, FEW_BYTES, READ_BYTES, VALUE_BYTES, Item, open_lines, skip
from seal.engine.datasets.sources import Source
from seal.engine.datasets.transcripts import Malformed, kind
from seal.engine.errors import InputError

_OPEN_VALUES = (b",", b"[", b"{")
_OPENS_LIST = re.compile(rb"\s*\[\s*(\{|$)")


def read_lines(source: Source, number: int, start: int, max_bytes: int) -> Iterator[Item]:
    """A record a line (see `files.read_items`)."""
    with open_lines(source.path) as file:
        skip(file, start)
        end = start
        while line := file.readline(max_bytes + 1):
            number += 1
            end += len(line)
            too_long = len(line) > max_bytes
            while too_long and not line.endswith(b"\n") and (more := file.readline(READ_BYTES)):
                end, line = end + len(more), line[:1024] + more
            if end == len(line) and line.startswith(BOM):
                line = line.removeprefix(BOM)
            if number == 1 and _OPENS_LIST.match(line):
                raise InputError(
                    f"{source.path} is one JSON list; a record a line is read: "
                    f"jq -c '.[]' {source.path.name} > {source.stem}.jsonl"
                )
            if too_long:
                reason = f"the line is longer than {max_bytes:,} bytes, too long for two texts of max_chars"
                yield Item(number, end, Malformed("too_long", reason))
            elif len(line) > FEW_BYTES and sum(map(line.count, _OPEN_VALUES)) > max_bytes // VALUE_BYTES:
                reason = f"the line holds more than {max_bytes // VALUE_BYTES:,} values, too many for a pair"
                yield Item(number, end, Malformed("too_long", reason))
            elif line and not line.isspace():
                yield Item(number, end, decode(line))


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        key = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
        raise Malformed("duplicate_key", f"the key {key[:40]!r} stands twice in one object")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_refuse_duplicates)


def decode(line: bytes) -> Record | Malformed:
    """One line of JSON -> a record, or why it is none."""
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except Malformed as malformed:
        return malformed
    except UnicodeDecodeError as error:
        byte = line[error.start]
        return Malformed("invalid_utf8", f"byte 0x{byte:02x} at {error.start} of the line is not UTF-8")
    except RecursionError:
        return Malformed("too_deep", "lists or objects are nested too deep to be read")
    except json.JSONDecodeError as error:
        cut = error.pos + 1 >= len(error.doc.rstrip()) or "Unterminated" in error.msg
        where = "; the line ends inside the record" if cut else ""
        return Malformed("bad_json", f"no JSON: {error.msg} at character {error.pos}{where}")
    except ValueError as error:  # an integer of thousands of digits
        return Malformed("bad_json", f"a number that cannot be read: {error}")
    if not isinstance(value, dict):
        return Malformed("not_an_object", f"the line is {kind(value)}; an object with the texts is needed")
    return value
