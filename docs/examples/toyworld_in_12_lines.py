from pathlib import Path

import seal

world, out = Path("demo/world"), Path("from-python")
models = {name: f"examples/toyworld/models/{name}" for name in ("pre", "post")}
seal.import_texts(world / "pairs.jsonl", out / "texts")
seal.score(out / "texts", models, out / "scores", seal.ScoreOptions(backend="torch"))
too_close = ("assistant_is_anthropomorphic", "assistant_is_coherent")
options = seal.AnalyzeOptions(pre="pre", post="post", exclude=too_close)
results = seal.analyze(out / "scores", world / "truth.parquet", options, out=out / "results")
seal.report(out / "results", out / "report.html")
print(results.tables["imprint"].select("model", "term", "estimate"))
