"""The measure of a rewriter, on rewritings whose figures are known."""

import random
from pathlib import Path

import polars as pl

from examples.toyworld.generate import Options, generate
from examples.toyworld.measure_rewriter import measure
from examples.toyworld.parser import paraphrase
from seal.engine.frames.schema import FAILURES, TEXTS


def test_figures_of_known_rewritings(tmp_path: Path) -> None:
    (chunk,) = generate(Options(20, 3))
    rows = []
    for i, pair in enumerate(chunk.texts):
        for side, text in zip(("chosen", "rejected"), pair, strict=True):
            cut = text.rindex("\n\nAssistant:") + 2
            rows.append((i, side, "original", "toy", text[:cut], text[cut:]))
    before = pl.DataFrame(rows, schema=TEXTS.types, orient="row")
    whole = (before["prompt"] + before["response"]).to_list()
    after = [paraphrase(text, random.Random(0)) for text in whole]
    after[0] += " Nobody in this world says so."
    after[1] = after[1].replace("\n\nHuman:", "\n\nSystem:", 1)
    refused = before.filter(row_id=19).select(
        "row_id", "preference", "variant", stage=pl.lit("rewrite"), detail=pl.lit(""),
        error=pl.Series(["cut", "other_side_refused"]),
    ).select(FAILURES.types.keys())  # fmt: skip
    for name, frame in (
        ("texts", before),
        ("rewritten", before.with_columns(prompt=pl.Series(after), response=pl.lit(""))[:38]),
    ):
        (tmp_path / name).mkdir()
        frame.write_parquet(tmp_path / name / "part-00000.parquet")
    refused.write_parquet(tmp_path / "rewritten" / "failures.parquet")
    (found,) = measure(tmp_path / "texts", tmp_path / "rewritten").values()
    assert (found.n_texts, found.refused) == (40, {"cut": 1, "other_side_refused": 1})
    assert (found.accepted, found.whole) == (39 / 40, 38 / 40)
    assert found.n_turns_changed == 1
    assert found.reached == 1
    assert found.parsed == found.labels_kept == found.targets_kept == round(36 / 38, 4)
    assert found.moved == {}
