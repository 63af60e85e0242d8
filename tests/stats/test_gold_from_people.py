"""From a drawn sample through the page's answers to corrected coefficients: what people say counts."""

from pathlib import Path

import numpy as np
import polars as pl

from seal.engine.gold.options import GoldReadOptions, GoldSampleOptions, GoldSheetOptions
from seal.engine.gold.reading import gold_read
from seal.engine.gold.sampling import gold_sample
from seal.engine.gold.sheet import gold_sheet
from seal.stats.analysis import analyze
from seal.stats.options import AnalyzeOptions
from tests.support.frames import texts
from tests.support.gold import exported, page_data, saved
from tests.support.gold_world import FEATURES, gold_world, labels_of

QUESTION = '[[feature]]\nname = "{}"\nkind = "boolean"\nscope = "last response"\ninstruction = "Is it so?"\n'
N, N_GOLD = 1500, 240


def test_corrected_by_what_people_said(tmp_path: Path) -> None:
    """Rare differences are drawn more often, a fifth is never labeled; the analysis is that of the truth."""
    world = gold_world(n=N, m=1, seed=5)
    said = {f"{i} {s}": world.truth[i, s] > 0 for i in range(N) for s in range(2)}
    texts(["p"] * (2 * N), list(said)).write_parquet(tmp_path / "texts.parquet")
    world.labels.write_parquet(tmp_path / "labels.parquet")
    taxonomy = tmp_path / "taxonomy.toml"
    taxonomy.write_text("\n".join(map(QUESTION.format, FEATURES)))
    options = GoldSampleOptions(pairs=N_GOLD, seed=2, rare=(FEATURES[3],), rare_share=0.6)
    gold_sample(tmp_path / "texts.parquet", tmp_path / "gold", options, labels=tmp_path / "labels.parquet")
    gold_sheet(tmp_path / "gold", tmp_path / "sheet.html", GoldSheetOptions(taxonomy=taxonomy))
    data = page_data(tmp_path / "sheet.html")

    def answer(response: str, question: dict[str, str]) -> bool:
        return bool(said[response][FEATURES.index(question["name"])])

    file = saved(exported(data, "ann", answer, n_pairs=192), tmp_path / "ann.json")
    gold_read(file, tmp_path / "gold", tmp_path / "people", GoldReadOptions(taxonomy=taxonomy))

    people = pl.read_parquet(tmp_path / "people" / "part-00000.parquet")
    picked = people["row_id"].unique().sort().to_numpy()
    rare = world.said[:, 0, 3] != world.said[:, 1, 3]
    n_labeled = np.array([(~rare[picked]).sum(), rare[picked].sum()])
    assert n_labeled.sum() == 192
    chance = (n_labeled / np.array([(~rare).sum(), rare.sum()]))[rare[picked].astype(int)]
    truth = labels_of("gold", world.truth[picked], picked).with_columns(
        inclusion_probability=pl.Series(np.repeat(chance, 2))
    )
    assert np.allclose(people["inclusion_probability"].to_numpy(), np.repeat(chance, 2), rtol=1e-12, atol=0)
    how = AnalyzeOptions(pre="pre", post="post", labeler="model", gold="gold", correct="rectified")
    by_people = analyze(world.scores, [tmp_path / "labels.parquet", tmp_path / "people"], how)
    by_truth = analyze(world.scores, [world.labels, truth], how)
    for name in ("imprint_corrected", "label_errors"):
        one, other = by_people.tables[name], by_truth.tables[name]
        assert one.height == other.height > 0
        for column, kind in one.schema.items():
            if kind.is_float():
                a, b = (x[column].fill_null(0).to_numpy() for x in (one, other))
                assert np.allclose(a, b, rtol=1e-9, atol=1e-12), column
            else:
                assert one[column].equals(other[column]), column
