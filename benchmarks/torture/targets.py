"""Which files are changed for `mutated.py`, how, and by which command each is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.torture.finished import MODELS, Finished
from benchmarks.torture.mutations import bitten, relaid, resealed, reshaped, respelled
from seal.engine.checkpoints.exported import SPEC
from seal.engine.frames.taxonomy import DEFAULT


@dataclass(frozen=True)
class Target:
    """A file and who reads it.

    Attributes:
        stands: the folder or file as it was finished: an attribute of `Finished`, or a path.
        file: the file to change, from the folder; empty where it is a file itself.
        mutation: how.
        words: the command; `{path}` is the changed file or its folder, `{out}` what is written, `{f.…}` what
            else is finished.
        n: how many changed files.
        deceives: whether the record beside it is made to name the changed file's hash, as a forger would.
    """

    stands: str | Path
    file: str
    mutation: Callable[[bytes, Random], bytes]
    words: str
    n: int
    deceives: bool = False

    def where(self, finished: Finished) -> Path:
        """What stands."""
        found: Path = self.stands if isinstance(self.stands, Path) else getattr(finished, self.stands)
        return found

    def command(self, finished: Finished, path: Path, out: Path) -> tuple[str, ...]:
        """The command's words."""
        return tuple(word.format(f=finished, path=path, out=out) for word in self.words.split())


_IMPORT = "import {path} --out {out} --max-failures 1"
_LABEL = "label {path} --labeler computed --out {out}"
_VERIFY, _COMPARE, _PLAN = "verify {path}", "compare {path}", "run {path} --plan"
_AGREE = "agreement {path} {f.other} --resamples 10"
_ANALYZE = "analyze --scores {f.rewards} --labels {path} --pre pre --post post --out {out}"
_REPORT = "report {path} --out {out}.html"
_TRUTH = "report {f.results} --truth {path} --out {out}.html"
_SHEET = "gold sheet {f.gold} --taxonomy {path} --out {out}.html"
_READ = "gold read {path} --gold {f.gold} --out {out}"
_SCORE = "score {f.texts} --model pre={path} --limit 4 --threads 1 --max-failures 1 --out {out}"
_EXPORT = "export {path} --out {out}"
_ASK = (
    "label {f.texts} --labeler toy={path} --backend transformers --device cpu --limit 1 "
    "--features last_response_is_helpful --max-failures 1 --out {out}"
)
_CHECKPOINT = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_PRE, _LABELER = MODELS / "pre", MODELS / "labeler"

TARGETS: Mapping[str, Target] = {
    "import, jsonl": Target("pairs_jsonl", "", bitten, _IMPORT, 500),
    "import, gzip": Target("pairs_gz", "", bitten, _IMPORT, 500),
    "import, zstd": Target("pairs_zst", "", bitten, _IMPORT, 500),
    "import, Parquet": Target("pairs_parquet", "", bitten, _IMPORT, 600),
    "label, a part of texts": Target("texts", "part-00000.parquet", bitten, _LABEL, 200),
    "label, manifest": Target("texts", "manifest.json", reshaped, _LABEL, 150),
    "label, manifest sealed again": Target("texts", "manifest.json", resealed, _LABEL, 150),
    "label, log": Target("texts", "log.jsonl", reshaped, _LABEL, 150),
    "verify, manifest": Target("texts", "manifest.json", bitten, _VERIFY, 350),
    "verify, manifest sealed again": Target("texts", "manifest.json", resealed, _VERIFY, 250),
    "verify, log": Target("texts", "log.jsonl", reshaped, _VERIFY, 250),
    "verify, seal.json": Target("pre", SPEC, resealed, _VERIFY, 150),
    "verify, results.json": Target("results", "results.json", resealed, _VERIFY, 100),
    "compare, scores": Target("rewards", "", bitten, _COMPARE, 300),
    "agreement, labels": Target("truth", "", bitten, _AGREE, 100),
    "analyze, labels": Target("truth", "", bitten, _ANALYZE, 40),
    "run, seal.toml": Target("settings", "", relaid, _PLAN, 300),
    "run, bytes of seal.toml": Target("settings", "", bitten, _PLAN, 100),
    "gold, taxonomy": Target(DEFAULT, "", relaid, _SHEET, 200),
    "gold, answers": Target("answers", "", reshaped, _READ, 200),
    "score, seal.json": Target("pre", SPEC, bitten, _SCORE, 40),
    "score, seal.json sealed again": Target("pre", SPEC, resealed, _SCORE, 100),
    "score, config.json": Target("pre", "config.json", bitten, _SCORE, 40),
    "score, a forged config.json": Target("pre", "config.json", reshaped, _SCORE, 40, deceives=True),
    "score, a forged tokenizer": Target("pre", "tokenizer.json", reshaped, _SCORE, 100, deceives=True),
    "score, a forged graph": Target("pre", "model.onnx", bitten, _SCORE, 100, deceives=True),
    **{f"export, {name}": Target(_PRE, name, reshaped, _EXPORT, 30) for name in _CHECKPOINT},
    "export, weights": Target(_PRE, "model.safetensors", respelled, _EXPORT, 40),
    **{f"label, {name}": Target(_LABELER, name, reshaped, _ASK, 30) for name in _CHECKPOINT},
    "label, generation_config.json": Target(_LABELER, "generation_config.json", reshaped, _ASK, 30),
    "label, weights": Target(_LABELER, "model.safetensors", respelled, _ASK, 40),
    "report, results.json": Target("results", "results.json", reshaped, _REPORT, 50),
    "report, truth as CSV": Target("planted", "", bitten, _TRUTH, 30),
}
SMALL = (
    "import, Parquet",
    "label, a part of texts",
    "label, log",
    "compare, scores",
    "run, seal.toml",
    "gold, answers",
)
"""They need no model, and no library that takes seconds to import."""
