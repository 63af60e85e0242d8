from pathlib import Path

import seal

world, models = Path("world"), Path("models")
seal.import_texts([world / "pairs.jsonl"], Path("texts"))
folders = {"pre": models / "pre", "post": models / "post"}
seal.score(Path("texts"), folders, Path("scores"), seal.ScoreOptions(backend="torch"))
too_close = ("assistant_is_anthropomorphic", "assistant_is_coherent")
results = seal.analyze(Path("scores"), world / "truth.parquet", pre="pre", post="post", exclude=too_close)
print(results.tables["imprint"].select("model", "term", "estimate"))
