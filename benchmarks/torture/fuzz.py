"""Records that have the shape of a format, more or less, through `seal import`: none harms, none is lost.

A record is a good one of some format, with values replaced, dropped, doubled or moved, at any depth; columns
of Parquet have odd types as well. Every file must be read to its end within ten seconds, rows in = pairs out
+ failures. A file that no format fits, or of types that hold no texts, is refused by one line instead.
"""

import datetime
import decimal
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.torture.campaign import Found
from benchmarks.torture.malformed import GOOD, PACKINGS, pack, said, transcript, user
from benchmarks.torture.watched import Job, Outcome, civil, watch
from seal.engine.datasets.formats import FORMATS
from seal.engine.frames.folder import StageFolder
from seal.engine.frames.gathered import FAILED, TIES
from seal.engine.frames.schema import TEXTS, scan

NAME = "fuzz"
N_FILES, N_RECORDS = 280, 250
SECONDS, N_BYTES = 10.0, 1 << 30
_FILES_A_CASE = 20

Record = dict[str, Any]

# the formats that `GOOD` lacks
_MORE: dict[str, Callable[[int], Record]] = {
    "rewardbench": lambda i: (
        GOOD["pairs"](i) | {"subset": "chat", "chosen_model": "a", "rejected_model": "b", "id": i}
    ),
    "ultrafeedback": lambda i: (
        GOOD["messages"](i)
        | {"prompt": f"Say {i}", "prompt_id": str(i), "score_chosen": 8.5, "score_rejected": 3}
    ),
    "rewardbench2": lambda i: {
        "prompt": f"Say {i}",
        "chosen": ["yes"],
        "rejected": ["no", "never", "nay"],
        "subset": "Ties",
    },
    "ultrafeedback-completions": lambda i: {
        "instruction": f"Say {i}",
        "source": "flan",
        "completions": [{"response": f"yes {k}", "overall_score": k, "model": "a"} for k in (1, 2, 2, 4)],
    },
    "nectar": lambda i: {
        "prompt": f"\n\nHuman: Say {i}\n\nAssistant: ",
        "answers": [{"answer": f"yes {k}", "rank": k, "model": "a"} for k in (1, 2, 3)],
    },
    "synthetic-instruct": GOOD["pairs"],
    "implicit": lambda i: {"chosen": f"Say it {i} yes", "rejected": f"Say it {i} no"},
}
RECORDS: dict[str, Callable[[int], Record]] = {name: (GOOD | _MORE)[name] for name in FORMATS}

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", " \n", "yes", transcript("fine"), transcript(""), "\n\nAssistant:",
    "\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "\ud83d", "\udc00 tail", "\x00", "\x1b[31m", "\u202e",
    "\ufeff",
    "x" * 5000, "é" * 300, "🙂" * 50, "=1+1", "NaN", "null", "{}", [], [None], [[]], [[[[]]]], {}, {"": {}},
    {"text": "a"}, {"content": "a"}, [user()], [said("a")], [user(), said("a")], [user(), said(None)],
    [{"role": "tool", "content": "a"}], [{"role": ["user"], "content": {}}], [{"text": "a"}, {"text": "b"}],
    [{"text": "a"}] * 3, ["a", "b"], {"post": None, "article": None}, {"post": "a", "title": 3},
    {"full_text": "a"}, {"full_text": [1]},
)  # fmt: skip
_KEYS = (
    "prompt",
    "chosen",
    "rejected",
    "role",
    "content",
    "split",
    "text",
    "",
    "\ud800",
    "messages",
    "a" * 300,
)


def cases(small: bool) -> Sequence[str]:
    """Some files each; small: fewer."""
    n_cases = 1 if small else N_FILES // _FILES_A_CASE
    return [f"files {i * _FILES_A_CASE} to {(i + 1) * _FILES_A_CASE - 1}" for i in range(n_cases)]


def run(case: str, scratch: Path) -> Found:
    """Import these files, one by one, in a child."""
    first, last = (int(word) for word in case.split() if word.isdigit())
    out = str(scratch / "out")
    jobs, numbers, found = (
        list[Job](),
        list[int](),
        {"n_files": 0, "n_records": 0, "n_pairs": 0, "n_refused": 0},
    )
    for at in range(first, last + 1):
        draw, name = random.Random(at), tuple(RECORDS)[at % len(RECORDS)]
        source = scratch / f"fuzz-{at}.{(*PACKINGS, 'parquet')[at % (len(PACKINGS) + 1)]}"
        numbers.append(_write(source, name, draw))
        options = ("--format", name) if at % 3 else ()
        more = ("--max-failures", "1", "--part-pairs", "64", "--meta", "chosen")[: 6 if at % 4 == 0 else 4]
        jobs.append(
            Job(("import", str(source), "--out", str(scratch / f"out-{at}"), *options, *more), f"{out}-{at}")
        )
    calm = scratch / "calm.jsonl"
    calm.write_text("".join(json.dumps(RECORDS["hh"](i)) + "\n" for i in range(N_RECORDS)), encoding="utf-8")
    words = ("import", str(calm), "--out", f"{out}-calm")
    outcomes, undisturbed = watch(
        jobs, scratch, seconds=SECONDS, n_bytes=N_BYTES, calm=Job(words, f"{out}-calm")
    )
    for job, ended, n_records in zip(jobs, outcomes, numbers, strict=True):
        n_read, n_pairs = _held(job, ended, undisturbed.peak)
        assert ended.code or n_read == n_records, f"{job.words}: {n_records} records in, {ended}"
        found["n_files"] += 1
        found["n_records"] += n_records
        found["n_pairs"] += n_pairs
        found["n_refused"] += bool(ended.code)
        Path(job.words[1]).unlink()
    seconds, grown = max(e.seconds for e in outcomes), max(e.peak for e in outcomes) - undisturbed.peak
    return found | {"seconds": round(seconds, 2), "grown_mib": round(grown / 2**20, 1)}


def _held(job: Job, ended: Outcome, base: int) -> tuple[int, int]:
    """Records and pairs of an import that ended as it may."""
    assert civil(ended), f"{job.words}: {ended}"
    assert ended.seconds < SECONDS, f"{job.words}: {ended}"
    assert ended.peak < base + N_BYTES, f"{job.words}: {ended}, undisturbed {base}"
    if ended.code:
        return 0, 0
    out = Path(job.out)
    folder = StageFolder.open(out)
    assert folder is not None
    n_pairs = scan(out, TEXTS).select(pl.len()).collect().item() // 2
    n_ties = pl.read_parquet(out / TIES).height // 2 if (out / TIES).exists() else 0
    n_failures = pl.read_parquet(out / FAILED).height
    assert n_pairs + n_ties + n_failures == folder.commits[-1].last_row_id + 1, f"{job.words}: {ended}"
    return int(folder.counters["n_records"]), n_pairs


def _write(source: Path, name: str, draw: random.Random) -> int:
    """A file of records, some of them as they should be; returns how many."""
    records = [_record(RECORDS[name](i), draw) for i in range(N_RECORDS)]
    if source.suffix == ".parquet":
        return _write_parquet(source, [r for r in records if isinstance(r, dict)], draw)
    lines = [_line(record, draw) for record in records]
    pack(source, b"\n".join(lines) + draw.choice([b"\n", b"", b"\r\n\n"]), source.suffix)
    return sum(bool(line.strip()) for line in lines)


def _record(good: Record, draw: random.Random) -> Any:
    """A good record with up to three changes; now and then something else."""
    record: Any = json.loads(json.dumps(good))
    for _ in range(draw.choice([0, 1, 1, 2, 3])):
        record = changed(record, draw)
    return record if draw.random() < 0.98 else draw.choice(_ODD)


def changed(value: Any, draw: random.Random) -> Any:
    """A value with one change somewhere in it."""
    if draw.random() < 0.35 or not isinstance(value, dict | list) or not value:
        return draw.choice(_ODD)
    if isinstance(value, list):
        at = draw.randrange(len(value))
        kind = draw.random()
        if kind < 0.2:
            return value[:at] + value[at + 1 :]
        if kind < 0.4:
            return [*value, value[at]] if kind < 0.3 else value[::-1]
        return [*value[:at], changed(value[at], draw), *value[at + 1 :]]
    key = draw.choice(list(value))
    kind = draw.random()
    if kind < 0.15:
        return {k: v for k, v in value.items() if k != key}
    if kind < 0.3:
        return {(draw.choice(_KEYS) if k == key else k): v for k, v in value.items()}
    if kind < 0.4:
        return value | {draw.choice(_KEYS): draw.choice(_ODD)}
    return value | {key: changed(value[key], draw)}


def _line(record: Any, draw: random.Random) -> bytes:
    """A record as a line, of which now and then some bytes are changed."""
    line = json.dumps(record, ensure_ascii=draw.random() < 0.7).encode("utf-8", "surrogatepass")
    if draw.random() > 0.1 or len(line) < 4:
        return line
    at, kind = draw.randrange(len(line)), draw.random()
    if kind < 0.3:
        line = line[:at]
    elif kind < 0.6:
        line = line[:at] + draw.randbytes(draw.randint(1, 4)) + line[at + 1 :]
    elif kind < 0.8:
        line = line[:at] + draw.choice([b"[" * 3000, b'"', b"\\u", b"{", b"}", b",", b"9" * 5000]) + line[at:]
    else:
        line = line + line[at:]
    return line.replace(b"\n", b" ")


_TYPES: tuple[tuple[pa.DataType, Any], ...] = (
    (pa.large_string(), "a"), (pa.binary(), b"\xff"), (pa.int8(), 3), (pa.uint64(), 2**64 - 1),
    (pa.float16(), None), (pa.bool_(), True), (pa.null(), None), (pa.date32(), datetime.date(9999, 12, 31)),
    (pa.time64("ns"), None), (pa.decimal128(38, 10), decimal.Decimal("1.5")), (pa.duration("s"), 2**40),
    (pa.list_(pa.int32()), [1, None]), (pa.map_(pa.string(), pa.string()), [("role", "user")]),
    (pa.struct([("text", pa.string())]), {"text": "a"}), (pa.timestamp("ns", tz="UTC"), 5),
    (pa.list_(pa.struct([("role", pa.string()), ("content", pa.int64())])), [{"role": "user", "content": 3}]),
    (pa.dictionary(pa.int32(), pa.string()), "a"), (pa.large_binary(), b""),
    (pa.list_(pa.list_(pa.null())), [[None]]),
)  # fmt: skip


def _write_parquet(source: Path, records: Sequence[Record], draw: random.Random) -> int:
    """Records as columns: of the values that agree in their type, or of a type nobody expects."""
    names = list(dict.fromkeys(name for record in records for name in record))[:20]
    columns = {"n": pa.array(range(len(records)))}
    for name in names:
        kind, one = draw.choice(_TYPES)
        if draw.random() < 0.15:
            columns[_utf8(name)] = pa.array([one if draw.random() < 0.8 else None for _ in records], kind)
        else:
            columns[_utf8(name)] = _column([record.get(name) for record in records])
    pq.write_table(
        pa.table(columns), source, row_group_size=draw.choice([7, 64, 10_000]),
        compression=draw.choice(["snappy", "zstd", "none"]), use_dictionary=draw.random() < 0.5,
        data_page_version=draw.choice(["1.0", "2.0"]),
    )  # fmt: skip
    return len(records)


def _column(values: Sequence[Any]) -> Any:
    """An array of the type of most values, the others null; as JSON where Parquet has no place for them."""
    kinds = [type(v) for v in values if v is not None]
    commonest = max(set(kinds), key=kinds.count, default=str)
    kept = [_storable(v) if type(v) is commonest else None for v in values]
    try:
        array = pa.array(kept)
        pq.write_table(pa.table({"a": array}), pa.BufferOutputStream())
    except (pa.ArrowException, OverflowError):
        return pa.array([None if v is None else json.dumps(v) for v in kept], pa.string())
    return array


def _storable(value: Any) -> Any:
    """A value without what UTF-8 cannot hold."""
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, list):
        return [_storable(v) for v in value]
    return {_utf8(k): _storable(v) for k, v in value.items()} if isinstance(value, dict) else value


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def summary(rows: Sequence[Found]) -> Mapping[str, Any]:
    """Files, records, and the worst of seconds and memory."""
    n = {key: sum(r[key] for r in rows) for key in ("n_files", "n_records", "n_pairs", "n_refused")}
    seconds, grown = (
        max((r["seconds"] for r in rows), default=0),
        max((r["grown_mib"] for r in rows), default=0),
    )
    return {
        "promise": "no record of a dataset does harm or is lost",
        "figure": f"{n['n_records']:,} fuzzed records in {n['n_files']:,} files of {len(RECORDS)} formats: "
        f"no traceback, {seconds:.1f} s a file at most, {grown:,.0f} MiB above the undisturbed run at most; "
        f"{n['n_refused']:,} files refused by one line",
        **n,
        "seconds": seconds,
        "grown_mib": grown,
        "stages": {},
    }
