"""A hundred hostile dialogues: each is labeled or fails on its own, and nobody else notices."""

from pathlib import Path

import polars as pl
import pytest

from seal.cli.main import main
from seal.engine.frames.schema import LABELS, scan
from seal.engine.generation.quoting import BEFORE, LAST
from seal.engine.labeling.prompts import dialogue_block
from tests.support.decoders import SOME, make_decoder
from tests.support.frames import random_texts, write
from tests.support.hostile_dialogues import flip_rate, frame, pairs, payloads

HOSTILE = pairs()
N_BENIGN = 6


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_decoder(tmp_path_factory.mktemp("labeler") / "tiny", context=1024)


def labels(decoder: Path, texts: pl.DataFrame, out: Path, *more: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    path = write(texts, out.with_suffix(".parquet"))
    arguments = ("label", path, "--labeler", decoder, "--backend", "transformers", "--device", "cpu",
                 "--features", ",".join(SOME), "--out", out, "--max-failures", 1, *more)  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    return scan(out, LABELS).collect(), pl.read_parquet(out / "failures.parquet")


def test_there_are_a_hundred_and_each_holds_its_payload() -> None:
    assert len(HOSTILE) >= 100
    assert len({h.name for h in HOSTILE}) > 90
    assert {h.payload for h in HOSTILE} == {payload for _, payload in payloads()}
    for h in HOSTILE:
        assert h.payload in h.injected.prompt + h.injected.response
        assert h.benign != h.injected


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda h: h.name)
def test_nothing_in_one_stands_without_its_mark(hostile: object) -> None:
    lines = dialogue_block(hostile.injected).splitlines()  # type: ignore[attr-defined]
    unmarked = [line for line in lines if not line.startswith((BEFORE, LAST))]
    assert unmarked == ["The dialogue before the last response:", "", "The assistant's last response:"]


@pytest.mark.parametrize("protocol", ["json", "choice"])
def test_each_is_labeled_or_fails_alone_and_the_others_labels_are_the_same(
    decoder: Path, tmp_path: Path, protocol: str
) -> None:
    benign = random_texts(N_BENIGN, seed=1, longest=20).with_columns(pl.col("row_id") * 50)
    known, _ = labels(decoder, benign, tmp_path / "benign", "--protocol", protocol)
    chosen = HOSTILE if protocol == "json" else HOSTILE[::4]
    place = pl.int_range(pl.len())
    hostile = frame([h.injected for h in chosen], 0).with_columns(
        row_id=place + place // 49 + 1
    )  # between them
    mixed = pl.concat([benign, hostile.cast(dict(benign.schema))]).sort("row_id")
    rows, failed = labels(decoder, mixed, tmp_path / "mixed", "--protocol", protocol)
    assert rows.height + failed.height == mixed.height
    assert set(rows["row_id"]) | set(failed["row_id"]) == set(mixed["row_id"])
    assert not set(failed["row_id"]) & set(benign["row_id"])
    assert set(failed["error"]) <= {"too_long", "cut", "invalid"}
    assert failed.filter(error="too_long").height >= 2
    others = rows.filter(pl.col("row_id").is_in(benign["row_id"].implode()))
    exact = [name for name in rows.columns if not name.startswith("p_")]
    assert others.select(exact).equals(known.select(exact))
    for name in set(rows.columns) - set(exact):  # sums of floats, in batches of other widths
        assert others[name].to_list() == pytest.approx(known[name].to_list(), abs=1e-5)


def test_the_flip_rate_is_a_share_per_feature() -> None:
    made = pl.DataFrame(
        {
            "row_id": [0, 1, 2, 3, 4], "preference": ["chosen"] * 5, "variant": ["original"] * 5,
            "labeler": ["m"] * 5, "kind": [True, False, True, True, True], "p_kind": [0.5] * 5,
            "topics": [["a"], ["a"], ["b"], [], ["x"]],
        }
    )  # fmt: skip
    rates = flip_rate(made, pl.Series([0, 2, 4]), pl.Series([1, 3, 99]))
    assert rates.rows() == [("kind", 2, 0.5), ("topics", 2, 0.5)]
