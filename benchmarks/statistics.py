"""Speed and memory of the statistics, each case in a process of its own, beside pyfixest where it fits.

`python -m benchmarks.statistics --data DIR` draws the data it lacks under DIR (about 1 GB for 10 million
pairs) and writes benchmarks/results/statistics.json; `--only NAME` measures one case of the plan anew. Data:
15 features as prevalent as the study's, two models, two labelers, three computed numbers, texts of some 100
characters with a topic of twenty and groups of four pairs, one pair in a hundred rewritten; `dense` has
features of prevalence one half, so that hardly two pairs are alike and grouping saves nothing.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

PREVALENCE = {
    "human_vocabulary_quality": 0.985,
    "last_response_is_anthropomorphic": 0.045,
    "last_response_is_coherent": 0.835,
    "last_response_is_refusal": 0.039,
    "last_response_is_helpful": 0.74,
    "last_response_is_harmless": 0.92,
    "last_response_is_honest": 0.95,
    "last_response_contains_insult": 0.0075,
    "last_response_is_sexually_explicit": 0.005,
    "last_response_breaks_privacy": 0.009,
    "last_response_is_discriminatory": 0.018,
    "last_response_is_manipulative": 0.01,
    "last_response_is_creative": 0.04,
    "last_response_is_eloquent": 0.295,
}
SENTIMENT = "last_response_sentiment"
NUMBERS = ("n_words", "n_lines", "reading_ease")
PART = 500_000  # pairs drawn at a time
GOLD_PAIRS = 1_000


def draw(folder: Path, n: int, *, dense: bool = False) -> None:
    """Write scores, labels of two labelers, texts and rewritings of n pairs as Parquet folders."""
    if (folder / "drawn").exists():
        return
    for start in range(0, n, PART):
        rng = np.random.default_rng([n, start])
        _part(folder, "", rng, np.arange(start, min(start + PART, n)), dense)
        _part(folder, "rewritten_", rng, np.arange(start, min(start + PART, n), 100), dense)
    _gold(folder, n)
    (folder / "drawn").touch()


def _part(folder: Path, prefix: str, rng: np.random.Generator, ids: np.ndarray, dense: bool) -> None:
    rows = 2 * len(ids)
    variant = "rewritten" if prefix else "original"
    key = pl.DataFrame({"row_id": np.repeat(ids, 2)}).with_columns(
        preference=pl.Series(np.tile([0, 1], len(ids))).replace_strict(
            {0: "chosen", 1: "rejected"}, return_dtype=pl.Enum(["chosen", "rejected"])
        ),
        variant=pl.lit(variant, pl.Enum(["original", "rewritten"])),
    )
    labels = np.stack([rng.random(rows) < (0.5 if dense else p) for p in PREVALENCE.values()], axis=1)
    mood = rng.integers(-1, 2, rows)
    sentiment = pl.Series(mood).replace_strict(
        {-1: "negative", 0: "neutral", 1: "positive"},
        return_dtype=pl.Enum(["positive", "neutral", "negative"]),
    )
    weights = np.linspace(-1, 1.5, len(PREVALENCE))
    for model, scale in (("pre", 0.3), ("post", 1.0)):
        reward = (labels @ weights * scale + 0.5 * mood + rng.normal(size=rows)).astype(np.float32)
        _write(
            key.with_columns(model=pl.lit(model), reward=pl.Series(reward)),
            folder / f"{prefix}scores_{model}",
            ids,
        )
    for labeler in ("first", "second"):
        noise = rng.random(labels.shape) < (0.0 if labeler == "first" else 0.05)
        columns = {f: (labels ^ noise)[:, j] for j, f in enumerate(PREVALENCE)}
        frame = key.with_columns(labeler=pl.lit(labeler), **{k: pl.Series(v) for k, v in columns.items()})
        _write(frame.with_columns(sentiment.alias(SENTIMENT)), folder / f"{prefix}labels_{labeler}", ids)
    if not prefix:
        numbers = {n: np.round(rng.lognormal(3 - i, 1, rows), 2) for i, n in enumerate(NUMBERS)}
        _write(key.with_columns(labeler=pl.lit("computed"), **numbers), folder / "labels_computed", ids)
        words = pl.Series("response", rng.integers(5, 30, rows))
        texts = key.with_columns(
            source=pl.lit("simulated"), prompt=pl.lit("Hello?"), response=pl.lit("word "),
            meta_topic=pl.format("topic{}", pl.col("row_id") % 20), group=pl.col("row_id") // 4,
        )  # fmt: skip
        texts = texts.with_columns(response=pl.col("response").repeat_by(words).list.join(""))
        _write(texts, folder / "texts", ids)


def _gold(folder: Path, n: int) -> None:
    """Gold labels of a random sample of pairs: the first labeler's, which rewards were made of."""
    ids = np.sort(np.random.default_rng(n).choice(n, min(GOLD_PAIRS, n), replace=False))
    first = pl.scan_parquet(folder / "labels_first" / "*.parquet").filter(pl.col("row_id").is_in(ids))
    chance = pl.lit(len(ids) / n).alias("inclusion_probability")
    _write(first.collect().with_columns(chance, labeler=pl.lit("gold")), folder / "labels_gold", ids[:1] * 0)


def _write(frame: pl.DataFrame, folder: Path, ids: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / f"part-{ids[0] // PART:05d}.parquet")


def case_analyze(folder: Path) -> dict[str, Any]:
    """`seal analyze` from Parquet to every result file."""
    from seal.cli.main import main

    out = folder / "results"
    arguments = [
        "analyze",
        "--texts",
        "texts",
        "--scores",
        "scores_pre",
        "--scores",
        "scores_post",
        "--labels",
    ]
    arguments += ["labels_first", "--labels", "labels_second", "--labeler", "first", "--rewritten-scores"]
    arguments += ["rewritten_scores_pre", "--rewritten-scores", "rewritten_scores_post", "--rewritten-labels"]
    arguments += ["rewritten_labels_first", "--rewritten-labels", "rewritten_labels_second"]
    arguments += ["--pre", "pre", "--post", "post", "--as-published", "--figures", "--out", str(out)]
    os.chdir(folder)
    start = time.perf_counter()
    stdout, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 - for the life of this process
    code = main(arguments)
    sys.stdout = stdout
    assert code == 0
    return {"seconds": time.perf_counter() - start, "result_files": len(list(out.glob("*.csv"))) + 1}


def _inputs(folder: Path, *, numbers: bool = False, labeler: str = "first", **texts: Any) -> Any:
    from seal.engine.frames.schema import LABELS, SCORES, scan
    from seal.stats.options import TARGETS
    from seal.stats.pairs.features import Regressor, find_features
    from seal.stats.pairs.joins import Inputs

    scores = pl.concat([scan(folder / f"scores_{m}", SCORES, columns=("reward",)) for m in ("pre", "post")])
    labels = scan(folder / f"labels_{labeler}", LABELS)
    features = find_features(labels, targets=TARGETS)
    if numbers:
        numeric = [Regressor(n, n, "numeric") for n in NUMBERS]
        features = replace(features, regressors=(*features.regressors, *numeric))
        texts |= {"computed": scan(folder / "labels_computed", LABELS)}
    return Inputs(scores, "pre", "post", labels, features, **texts)


def _imprint(folder: Path, *, numbers: bool = False) -> dict[str, Any]:
    from seal.stats.equations.imprint import feature_imprint

    start = time.perf_counter()
    result, joined = feature_imprint(_inputs(folder, numbers=numbers))
    seconds = time.perf_counter() - start
    assert joined.n_regressed == joined.n_pairs
    return {"seconds": seconds, "estimates": result.table["estimate"].to_list()}


def case_imprint(folder: Path) -> dict[str, Any]:
    """Eq. 1 of both models and their difference, by the streaming path."""
    return _imprint(folder)


def case_imprint_numbers(folder: Path) -> dict[str, Any]:
    """The same with three numeric covariates, so that every pair is its own pattern."""
    return _imprint(folder, numbers=True)


def case_corrected_numbers(folder: Path) -> dict[str, Any]:
    """The same on labels with errors, then corrected by a thousand gold pairs."""
    from seal.engine.frames.schema import LABELS, scan
    from seal.stats.equations.corrected import corrected_imprint
    from seal.stats.equations.differences import Differences
    from seal.stats.equations.gold_sample import Gold
    from seal.stats.equations.imprint import estimate_imprint
    from seal.stats.options import USUAL
    from seal.stats.pairs.gold import gather, read_gold
    from seal.stats.pairs.joins import Pairs
    from seal.stats.pairs.places import Places
    from seal.stats.pairs.spool import Spool

    start = time.perf_counter()
    inputs = _inputs(folder, numbers=True, labeler="second")
    gathered = Differences(inputs)
    with Spool(Pairs(inputs)) as rows:
        for block in rows:
            gathered.add(block)
        naive = estimate_imprint(gathered, rows, Places.find(rows), USUAL, chosen_side=False)
        needed = [True] * (len(inputs.regressed.packed) + len(inputs.regressed.numeric))
        labels = read_gold(scan(folder / "labels_gold", LABELS), inputs.regressed, needed, "original")
        pairs = gather(rows, inputs, labels)
        gold = Gold(pairs, Places.find(rows, None, pairs.row_ids))
        found = corrected_imprint(rows, inputs, naive.table, gold, USUAL, {})
    return {"seconds": time.perf_counter() - start, "estimates": found.table["estimate"].to_list()}


def case_logits_numbers(folder: Path) -> dict[str, Any]:
    """Eq. 3 of both models with three numeric covariates."""
    from seal.stats.equations import resistance
    from seal.stats.options import TIES, USUAL
    from seal.stats.pairs.joins import Pairs
    from seal.stats.pairs.two_sided import Patterns

    start = time.perf_counter()
    patterns = Patterns(_inputs(folder, numbers=True), resistance.outcomes(TIES))
    for block in Pairs(patterns.inputs):
        patterns.add(block)
    cells = patterns.cells()
    assert cells is not None
    found = resistance.estimate_resistance(cells, patterns.columns, USUAL, models=("pre", "post"))
    return {"seconds": time.perf_counter() - start, "estimates": found.table["estimate"].to_list()}


def _estimate(
    folder: Path, labeler: str = "first", others: tuple[str, ...] = (), **options: Any
) -> dict[str, Any]:
    from seal.stats.estimates import estimate
    from seal.stats.inputs import Frames
    from seal.stats.options import AnalyzeOptions

    given: dict[str, list[Path]] = {
        "scores": [folder / "scores_pre", folder / "scores_post"],
        "labels": [folder / f"labels_{name}" for name in (labeler, *others)],
        "texts": [folder / "texts"],
    }
    absent = ("rewritten", "rewritten-scores", "rewritten-labels", "similarities")
    start = time.perf_counter()
    results = estimate(
        Frames.of(given | {role: [] for role in absent}),
        AnalyzeOptions("pre", "post", labeler=labeler, **options),
    )
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "estimates": results.tables["imprint"]["estimate"].to_list()}


def case_tables(folder: Path) -> dict[str, Any]:
    """All equations of the original texts, errors by pair: what the designs below are held against."""
    return _estimate(folder, cluster="pair")


def case_whole_numbers(folder: Path) -> dict[str, Any]:
    """All equations, corrected by gold, with three numeric covariates."""
    return _estimate(
        folder, "second", ("gold", "computed"), cluster="pair", gold="gold", correct="rectified",
        covariates=NUMBERS,
    )  # fmt: skip


def case_by_group(folder: Path) -> dict[str, Any]:
    """The same with errors clustered by groups of four pairs."""
    return _estimate(folder, cluster="group")


def case_by_topic(folder: Path) -> dict[str, Any]:
    """The same with errors clustered by twenty topics."""
    return _estimate(folder, cluster="meta_topic")


def case_slopes(folder: Path) -> dict[str, Any]:
    """The same with a slope of one feature for each of twenty topics."""
    return _estimate(folder, cluster="pair", interactions=("last_response_is_helpful:meta_topic",))


def case_absorbed(folder: Path) -> dict[str, Any]:
    """The same with a fixed effect of the topic, which the pair effect absorbs."""
    return _estimate(folder, cluster="pair", fixed_effects=("meta_topic",))


def case_pyfixest(folder: Path) -> dict[str, Any]:
    """The same three regressions as `imprint` by pyfixest, from the same files."""
    from seal.stats.equations.designs import Design
    from seal.stats.equations.imprint_fixed_effects import imprint_by_pyfixest

    start = time.perf_counter()
    result, _ = imprint_by_pyfixest(_inputs(folder), Design())
    return {"seconds": time.perf_counter() - start, "estimates": result.table["estimate"].to_list()}


CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    name.removeprefix("case_"): case for name, case in list(globals().items()) if name.startswith("case_")
}
PLAN = [  # the case, pairs, dense
    ("imprint", 160_800, False), ("pyfixest", 160_800, False), ("imprint", 1_000_000, False),
    ("pyfixest", 1_000_000, False), ("imprint", 10_000_000, False), ("imprint", 1_000_000, True),
    ("analyze", 160_800, False), ("analyze", 3_000_000, False), ("analyze", 3_000_000, True),
    *((case, 1_000_000, False) for case in ("tables", "by_group", "by_topic", "slopes", "absorbed")),
    *((case, n, True) for n in (1_000_000, 2_000_000, 10_000_000)
      for case in ("imprint_numbers", "corrected_numbers", "logits_numbers")),
    ("whole_numbers", 10_000_000, True),
]  # fmt: skip


def _alone(case: str, folder: Path) -> dict[str, Any]:
    """Run a case in a fresh process, with its peak resident memory."""
    command = [sys.executable, "-m", "benchmarks.statistics", "--case", case, "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _baseline() -> float:
    """Peak memory in GiB of a process that only imports what every case imports."""
    code = (
        "from resource import *\nimport seal.stats.analysis\nprint(getrusage(RUSAGE_SELF).ru_maxrss / 2**20)"
    )
    return float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


def _name(case: str, n: int, dense: bool) -> str:
    return f"{case}-{n}{'-dense' if dense else ''}"


def _measure(data: Path, case: str, n: int, dense: bool) -> dict[str, Any]:
    """One case of the plan; its data are drawn by another process, whose memory would count as its own."""
    folder = data / f"{n}{'_dense' if dense else ''}"
    command = [sys.executable, "-m", "benchmarks.statistics", "--draw", str(n), "--data", str(folder)]
    subprocess.run([*command, *["--dense"] * dense], check=True)
    found = _alone(case, folder)
    row = {"case": case, "n_pairs": n, "features": "dense" if dense else "as in the study"}
    return row | {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}


def run(data: Path, note: str, before: list[dict[str, Any]], only: str | None) -> dict[str, Any]:
    """Every case of the plan in its order, or one of them beside what was measured before."""
    rows: list[dict[str, Any]] = []
    for case, n, dense in PLAN:
        features = "dense" if dense else "as in the study"
        if only not in (None, _name(case, n, dense)):
            key = {"case": case, "n_pairs": n, "features": features}
            rows += [row for row in before if row | key == row]
            continue
        row = _measure(data, case, n, dense)
        same = next((r for r in rows if r["case"] == "imprint" and r["n_pairs"] == n and not dense), {})
        if case == "pyfixest" and "estimates" in same:
            gap = np.abs(np.subtract(row["estimates"], same["estimates"])).max()
            row["largest_difference_from_streaming"] = float(gap)
        print({k: v for k, v in row.items() if k != "estimates"})
        rows.append(row)
    for row in rows:
        row.pop("estimates", None)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": f"Python {platform.python_version()}, polars {pl.__version__}",
        "note": note,
        "import_gib": round(_baseline(), 3),
        "cases": rows,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", choices=list(CASES))
    parser.add_argument("--only", choices=[_name(*planned) for planned in PLAN], help="This case alone.")
    parser.add_argument("--draw", type=int, help="Draw so many pairs into DATA, and no more.")
    parser.add_argument(
        "--dense", action="store_true", help="Of --draw: every feature of prevalence one half."
    )
    parser.add_argument("--note", default="", help="About the machine, kept in the result.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/statistics.json"))
    options = parser.parse_args()
    if options.draw:
        draw(options.data, options.draw, dense=options.dense)
    elif options.case:
        measured = CASES[options.case](options.data.resolve())
        used = resource.getrusage(resource.RUSAGE_SELF)
        measured |= {"cpu_seconds": used.ru_utime + used.ru_stime, "peak_gib": used.ru_maxrss / 2**20}
        print(json.dumps(measured))
    else:
        known: dict[str, Any] = {"cases": [], "note": ""}
        if options.out.exists():
            known = json.loads(options.out.read_text(encoding="utf-8"))
        results = run(options.data, options.note or known["note"], known["cases"], options.only)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
