"""One bit changed anywhere in a finished folder: `seal verify` says so, and which file."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.torture.campaign import Found
from benchmarks.torture.finished import Finished
from benchmarks.torture.watched import Job, attempt
from seal.engine.verify import verify

NAME = "flips"
N_FLIPS, N_SMALL = 500, 40
_STAGE = ("part-00000.parquet", "failures.parquet", "manifest.json", "log.jsonl")
# folder -> its files; of an analysis every table and figure is found when it stands
FILES: dict[str, Sequence[str]] = {
    "texts": _STAGE,
    "computed": _STAGE,
    "gold": _STAGE,
    "results": (
        "results.json",
        "imprint.csv",
        "as_published/imprint.csv",
        "figures/figure3_coefficients.png",
    ),
    "scores": _STAGE,
    "models-pre": ("seal.json", "model.onnx", "tokenizer.json", "config.json"),
}
_NEED_MODELS = ("scores", "models-pre")


def cases(small: bool) -> Sequence[str]:
    """A file, and how many bits of it; small: fewer bits, and no folder that needs an exported model."""
    folders = [name for name in FILES if not (small and name in _NEED_MODELS)]
    n = N_SMALL if small else N_FLIPS
    return [f"{folder}/{file} x {n}" for folder in folders for file in FILES[folder]]


def run(case: str, scratch: Path) -> Found:
    """Flip single bits of a file, ask `seal verify`, and set each right again."""
    name, _, n = case.partition(" x ")
    folder = _folder(Finished(scratch / "finished"), name.partition("/")[0])
    path = folder.parent / name
    whole, draw = path.read_bytes(), random.Random(case)
    missed = []
    try:
        for _ in range(int(n)):
            bit = draw.randrange(8 * len(whole))
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            if not _told(folder, path):
                missed.append(bit)
    finally:
        path.write_bytes(whole)
    assert not missed, f"{len(missed)} of {n} not found, bits {missed[:10]}"
    assert not verify(folder).changed, "what was set right again is told as changed"
    return {"kind": _kind(name), "n_flips": int(n), "stage": folder.name}


def _folder(finished: Finished, name: str) -> Path:
    folder: Path = finished.model("pre") if name == "models-pre" else getattr(finished, name)
    return folder


def _told(folder: Path, file: Path) -> bool:
    """Whether the command fails with one line that names the file."""
    ended = attempt(Job(("verify", str(folder))))
    lines = ended.said.splitlines()
    assert not ended.raised, ended.said
    return ended.code in (1, 2) and len(lines) == 1 and file.relative_to(folder).as_posix() in lines[0]


def _kind(name: str) -> str:
    folder, _, file = name.partition("/")
    if folder == "models-pre":
        return "seal.json" if file == "seal.json" else "model files"
    if folder == "results":
        return "results"
    return {"part-00000.parquet": "parts", "failures.parquet": "failures", "manifest.json": "manifest",
            "log.jsonl": "log"}[file]  # fmt: skip


def summary(rows: Sequence[Found]) -> Mapping[str, Any]:
    """Flips by the kind of file."""
    kinds = defaultdict[str, dict[str, int]](lambda: {"files": 0, "flips": 0, "found": 0})
    for row in rows:
        kinds[row["kind"]]["files"] += 1
        for column in ("flips", "found"):
            kinds[row["kind"]][column] += row["n_flips"]
    n_flips = sum(row["n_flips"] for row in rows)
    fewest = min((row["n_flips"] for row in rows), default=0)
    return {
        "promise": "a flipped bit in a finished folder is found by `seal verify`",
        "figure": f"{n_flips:,} of {n_flips:,} found, {fewest} or more in each of {len(rows)} files",
        "n_flips": n_flips,
        "stages": dict(kinds),
    }
