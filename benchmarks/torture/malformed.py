"""Malformed records: every one a failure row with its place and reason; rows in = rows out + failures.

Each kind stands in a file of its own, 40 malformed records between 40 good ones, in every packing of lines
that `seal import` reads, or in Parquet. The command runs whole, in this process.
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.torture.campaign import Found
from benchmarks.torture.watched import Job, attempt
from seal.engine.frames.schema import FAILURES, TEXTS, as_stored, scan

NAME = "malformed"
N_ROWS = 40
"""Malformed records of a kind, and good ones between them."""
PACKINGS = ("jsonl", "json", "ndjson", "jsonl.gz", "jsonl.zst")


def transcript(text: str) -> str:
    return f"\n\nHuman: Say it\n\nAssistant: {text}"


def user(text: str = "Say it") -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


GOOD: dict[str, Callable[[int], dict[str, Any]]] = {
    "hh": lambda i: {"chosen": transcript(f"yes {i}"), "rejected": transcript(f"no {i}")},
    "pairs": lambda i: {"prompt": f"Say {i}", "chosen": "yes", "rejected": "no"},
    "messages": lambda i: {"chosen": [user(), said(f"yes {i}")], "rejected": [user(), said("no")]},
    "webgpt": lambda i: {
        "question": {"full_text": f"Say {i}?"}, "answer_0": "yes", "answer_1": "no",
        "score_0": 1, "score_1": -1,
    },
    "summarize": lambda i: {
        "info": {"post": f"Say {i}"}, "summaries": [{"text": "yes"}, {"text": "no"}], "choice": 0,
    },
    "helpsteer3": lambda i: {
        "context": [user(f"Say {i}")], "response1": "yes", "response2": "no", "overall_preference": -1,
    },
}  # fmt: skip

DEEP = "[" * 100_000 + "]" * 100_000


def changed(**columns: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda good: json.dumps({k: v for k, v in (good | columns).items() if v is not ...}).encode()


# kind: (format, good record -> malformed line, code, a word of the reason)
KINDS: dict[str, tuple[str, Callable[[dict[str, Any]], bytes], str, str]] = {
    "no JSON": ("hh", lambda g: b"chosen,rejected", "bad_json", "Expecting value"),
    "cut JSON": ("hh", lambda g: json.dumps(g).encode()[:-20], "bad_json", "ends inside"),
    "JSON with more behind": ("hh", lambda g: json.dumps(g).encode() + b" {}", "bad_json", "Extra data"),
    "a raw control character": (
        "hh", lambda g: json.dumps(g).encode()[:-5] + b'\x07 "}', "bad_json", "Invalid control character",
    ),
    "a mark of byte order inside the file": (
        "hh", lambda g: b"\xef\xbb\xbf" + json.dumps(g).encode(), "bad_json", "no JSON",
    ),
    "single quotes": ("pairs", lambda g: str(g).encode(), "bad_json", "property name"),
    "a list": ("hh", lambda g: b'["yes", "no"]', "not_an_object", "a list"),
    "a number": ("hh", lambda g: b"17", "not_an_object", "a number"),
    "null": ("hh", lambda g: b"null", "not_an_object", "null"),
    "nested too deep": ("hh", lambda g: DEEP.encode(), "too_deep", "nested"),
    "a number of 5000 digits": ("hh", lambda g: b'{"chosen": ' + b"9" * 5000 + b"}", "bad_json", "number"),
    "invalid UTF-8": ("hh", lambda g: json.dumps(g).encode()[:-5] + b'\xff\xfe"}', "invalid_utf8", "0xff"),
    "UTF-16": ("hh", lambda g: json.dumps(g).encode("utf-16-be").replace(b"\n", b""), "bad_json", "no JSON"),
    "a lone surrogate": ("hh", changed(chosen=transcript("\ud83d alone")), "lone_surrogate", "\\ud83d"),
    "a key twice": (
        "hh", lambda g: b'{"chosen": "a", "chosen": "b", "rejected": "c"}', "duplicate_key", "'chosen'",
    ),
    "no chosen": ("hh", changed(chosen=...), "missing_field", "no 'chosen'"),
    "no rejected": ("hh", changed(rejected=...), "missing_field", "no 'rejected'"),
    "no prompt": ("pairs", changed(prompt=...), "missing_field", "no 'prompt'"),
    "an empty object": ("hh", lambda g: b"{}", "missing_field", "here are none"),
    "a column that is no text": ("hh", lambda g: b'{"\\ud800": 1}', "missing_field", "here are \\ud800"),
    "a side that is null": ("hh", changed(chosen=None), "wrong_type", "null"),
    "a side that is a number": ("hh", changed(rejected=3), "wrong_type", "a number"),
    "a side that is a list of numbers": ("messages", changed(chosen=[1, 2]), "bad_message", "a number"),
    "a side that is an object": ("messages", changed(chosen={"a": 1}), "wrong_type", "an object"),
    "an empty side": ("hh", changed(chosen=""), "empty_text", "'chosen' is empty"),
    "a blank side": ("pairs", changed(rejected=" \n\t "), "empty_text", "'rejected' is empty"),
    "an empty prompt": ("pairs", changed(prompt=""), "empty_text", "prompt"),
    "no assistant turn": ("hh", changed(chosen="\n\nHuman: Say it"), "no_assistant_turn", "Assistant:"),
    "no user turn": ("hh", changed(chosen="\n\nAssistant: yes"), "no_user_turn", "Human:"),
    "a Human turn at the end": (
        "hh", changed(chosen=transcript("yes\n\nHuman: why")), "not_assistant_last", "ends with a Human turn",
    ),
    "an absurd length": ("hh", changed(chosen=transcript("y" * 2000)), "too_long", "max_chars"),
    "an absurd line": ("hh", changed(extra="x" * 1_200_000), "too_long", "longer than"),
    "an unknown role": (
        "messages", changed(chosen=[user(), {"role": "tool", "content": "4"}]), "unknown_role", "'tool'",
    ),
    "a message without content": (
        "messages", changed(rejected=[user(), {"role": "assistant"}]), "bad_message", "message 2 of",
    ),
    "a message without role": ("messages", changed(chosen=[{"content": "a"}]), "bad_message", "no role"),
    "content that is no string": (
        "messages", changed(chosen=[user(), said([{"type": "text"}])]), "bad_message", "a list",
    ),
    "no messages": ("messages", changed(chosen=[]), "empty_messages", "'chosen'"),
    "the user speaks last": (
        "messages", changed(chosen=[user(), said("a"), user()]), "not_assistant_last", "last message",
    ),
    "only the assistant speaks": ("messages", changed(chosen=[said("yes")]), "no_user_turn", "user message"),
    "an empty last message": ("messages", changed(chosen=[user(), said("")]), "empty_text", "empty"),
    "no score": ("webgpt", changed(score_1=...), "missing_field", "no 'score_1'"),
    "a score that is NaN": ("webgpt", changed(score_0=float("nan")), "bad_preference", "nan"),
    "an infinite score": ("webgpt", changed(score_0=float("inf")), "bad_preference", "inf"),
    "a score of 400 digits": ("webgpt", changed(score_0=10**400), "bad_preference", "inf"),
    "a choice out of range": ("summarize", changed(choice=2), "bad_preference", "'choice' is 2"),
    "three summaries": ("summarize", changed(summaries=[{"text": "a"}] * 3), "wrong_type", "3 entries"),
    "a preference out of range": ("helpsteer3", changed(overall_preference=-4), "bad_preference", "-3 to 3"),
}  # fmt: skip

# kind -> (the column `chosen` of an `hh` record, as bytes; code, a word of the reason)
PARQUET_KINDS: dict[str, tuple[bytes | None, str, str]] = {
    "null in Parquet": (None, "wrong_type", "null"),
    "no transcript in Parquet": (b"17", "no_assistant_turn", "Assistant:"),
    "an empty text in Parquet": (b"", "empty_text", "'chosen' is empty"),
    "invalid UTF-8 in Parquet": (b"\n\nHuman: a\n\nAssistant: \xff", "invalid_utf8", "not UTF-8"),
    "an absurd length in Parquet": (transcript("y" * 2000).encode(), "too_long", "max_chars"),
}

# kind -> how a good line is changed, with nothing wrong
HARMLESS: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda line: line + b"\r",
    "blank lines": lambda line: line + b"\n  \n",
    "a column more": lambda line: line[:-1] + b', "note": [1, {"a": null}]}',
    "escapes": lambda line: line.replace(b"Say it", rb"\u0053ay\tit \ud83d\ude42 \u0000 \u202e"),
}


def cases(small: bool) -> Sequence[str]:
    """A kind and a packing; small: every kind once."""
    kinds = [*KINDS, *HARMLESS]
    if small:
        lines = [f"{kind}, {PACKINGS[i % len(PACKINGS)]}" for i, kind in enumerate(kinds)]
    else:
        lines = [f"{kind}, {packing}" for kind in kinds for packing in PACKINGS]
    return [*lines, *(f"{kind}, parquet" for kind in PARQUET_KINDS)]


def run(case: str, scratch: Path) -> Found:
    """Import the file of a kind, and hold every one of its rows to what it must be."""
    kind, _, packing = case.rpartition(", ")
    source, expected = _write(kind, packing, scratch)
    out = scratch / "out"
    options = ("--max-chars", "1000", "--part-pairs", "16", "--max-failures", "1")
    words = ("import", str(source), "--out", str(out), *options)
    ended = attempt(Job(words, str(out)))
    assert ended.code == 0, f"exit code {ended.code}: {ended.said}"
    failed = pl.read_parquet(out / "failures.parquet").sort("row_id")
    assert failed.schema == as_stored(FAILURES.empty()).schema
    texts = scan(out, TEXTS).collect()
    assert texts.height % 2 == 0
    assert texts.height // 2 + failed.height == 2 * N_ROWS, f"{texts.height} rows, {failed.height} failures"
    _hold(source, failed, expected)
    assert set(texts["row_id"]) == set(range(2 * N_ROWS)) - set(failed["row_id"])
    return {
        "kind": kind,
        "n_rows": 2 * N_ROWS,
        "n_failures": failed.height,
        "codes": sorted(set(failed["error"])),
    }


def _write(kind: str, packing: str, scratch: Path) -> tuple[Path, dict[int, tuple[int, str, str]]]:
    """The file, and what must fail: row_id -> the number of its line or row, code, a word of the reason."""
    source = scratch / f"data.{packing}"
    if kind in PARQUET_KINDS:
        value, code, word = PARQUET_KINDS[kind]
        _write_parquet(source, value)
        return source, {i: (i, code, word) for i in range(1, 2 * N_ROWS, 2)}
    lines, expected = list[bytes](), dict[int, tuple[int, str, str]]()
    name, malform, code, word = KINDS.get(kind, ("hh", None, "", ""))
    for i in range(2 * N_ROWS):
        good = GOOD[name](i)
        if malform and i % 2:
            lines.append(malform(good))
            expected[i] = (i + 1, code, word)
        else:
            lines.append(json.dumps(good).encode() if malform else HARMLESS[kind](json.dumps(good).encode()))
    pack(source, b"\n".join(lines) + b"\n", source.suffix)
    return source, expected


def pack(source: Path, data: bytes, packing: str) -> None:
    """Write lines as they are, or as `.gz` or `.zst`."""
    if packing == ".gz":
        source.write_bytes(gzip.compress(data, 1))
    elif packing == ".zst":
        with pa.output_stream(str(source), compression="zstd") as stream:
            stream.write(data)
    else:
        source.write_bytes(data)


def _write_parquet(source: Path, value: bytes | None) -> None:
    good = [GOOD["hh"](i) for i in range(2 * N_ROWS)]
    chosen = [value if i % 2 else record["chosen"].encode() for i, record in enumerate(good)]
    # a cast would check the bytes; a damaged file has not been checked by anybody
    unchecked = pa.Array.from_buffers(pa.string(), len(good), pa.array(chosen, pa.binary()).buffers())
    table = pa.table({"chosen": unchecked, "rejected": [record["rejected"] for record in good]})
    pq.write_table(table, source, row_group_size=9)


def _hold(source: Path, failed: pl.DataFrame, expected: Mapping[int, tuple[int, str, str]]) -> None:
    found = {row["row_id"]: row for row in failed.to_dicts()}
    assert found.keys() == expected.keys(), f"failed are {sorted(found)}, not {sorted(expected)}"
    for row_id, (number, code, word) in expected.items():
        row, unit = found[row_id], "row " if source.suffix == ".parquet" else ""
        assert (row["stage"], row["error"]) == ("import", code), f"row {row_id}: {row}, not {code}"
        assert row["preference"] is row["variant"] is None
        assert row["detail"].startswith(f"{source.name}:{unit}{number}: "), f"no place: {row['detail']}"
        assert word in row["detail"], f"{word!r} is not in {row['detail']!r}"
        assert len(row["detail"]) < 400


def summary(rows: Sequence[Found]) -> Mapping[str, Any]:
    """Kinds and rows."""
    kinds, n_failures = {row["kind"] for row in rows if row["n_failures"]}, sum(r["n_failures"] for r in rows)
    n_rows, codes = sum(row["n_rows"] for row in rows), Counter(c for row in rows for c in row["codes"])
    return {
        "promise": "malformed input becomes failure rows with their place and reason",
        "figure": f"{len(kinds)} kinds x {N_ROWS} rows, those of lines in {len(PACKINGS)} kinds of file: of "
        f"{n_rows:,} rows {n_failures:,} failed with the code and place they had to, the rest came out",
        "n_kinds": len(kinds),
        "n_rows": n_rows,
        "n_failures": n_failures,
        "codes": dict(sorted(codes.items())),
        "stages": {},
    }
