"""Records of several responses: the pairs and ties they give, and what a malformed response takes along."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seal.cli.main import main
from seal.engine.datasets.groups import group_of
from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.frames.schema import TEXTS, scan
from tests.support.imports import import_in_starts

pytestmark = pytest.mark.usefixtures("fast_disk")


def ultrafeedback(*scores: object, fine: tuple[object, ...] = (), i: int = 0) -> dict[str, Any]:
    """A record as the hub's `openbmb/UltraFeedback` has it."""
    completions = [
        {
            "annotations": {"honesty": {"Rating": "1", "Rationale": "r"}}, "custom_system_prompt": "s",
            "critique": "c", "fine-grained_score": fine[k] if fine else 1.0, "model": f"m{k}",
            "overall_score": score, "principle": "honesty", "response": f"answer {k}",
        }
        for k, score in enumerate(scores)
    ]  # fmt: skip
    return {
        "source": "sharegpt", "instruction": f"Why {i}?", "models": [f"m{k}" for k in range(len(scores))],
        "completions": completions, "correct_answers": ["None"], "incorrect_answers": ["None"],
    }  # fmt: skip


def nectar(*ranks: object) -> dict[str, Any]:
    """A record as the hub's `berkeley-nest/Nectar` has it."""
    answers = [{"answer": f"answer {k}", "model": f"m{k}", "rank": rank} for k, rank in enumerate(ranks)]
    prompt = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant: "
    return {
        "prompt": prompt, "answers": answers, "turns": 2, "num_responses": len(ranks), "source": ["x"],
        "good_natured": True,
    }  # fmt: skip


def best_of(chosen: list[Any], rejected: list[Any], subset: str = "Math") -> dict[str, Any]:
    """A record as the hub's `allenai/reward-bench-2` has it."""
    n, m = len(chosen), len(rejected)
    return {
        "id": "1", "prompt": "Sum?", "chosen": chosen, "rejected": rejected, "num_correct": n,
        "num_incorrect": m, "total_completions": n + m, "models": ["a"] * (n + m), "subset": subset,
        "additional_metadata": {"category": None, "correct": None},
    }  # fmt: skip


def write(path: Path, *records: dict[str, Any]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(records)), path)
    else:
        path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def rows(out: Path, name: str = "part-*.parquet", *columns: str) -> list[tuple[Any, ...]]:
    """row_id, chosen and rejected response of each pair, and what else is asked for of it."""
    texts = pl.read_parquet(sorted(out.glob(name)))
    sides = [texts.filter(pl.col("preference") == side) for side in ("chosen", "rejected")]
    both = zip(*(side["response"].to_list() for side in sides), strict=True)
    more = sides[0].select(columns).rows() if columns else [()] * sides[0].height
    return [(i, *two, *m) for i, two, m in zip(sides[0]["row_id"], both, more, strict=True)]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_four_rated_completions_are_six_comparisons_of_one_group(suffix: str, tmp_path: Path) -> None:
    source = write(tmp_path / f"d{suffix}", ultrafeedback(3.0, 8.5, 3.0, 1.0), ultrafeedback(2.0, 1.0, i=1))
    report = import_texts(source, tmp_path / "out")
    assert set(report.formats.values()) == {"ultrafeedback-completions"}
    assert (report.n_records, report.n_compared) == (2, 7)
    assert (report.n_pairs, report.n_ties, report.n_failures) == (6, 1, 0)
    meta = ("meta_score_chosen", "meta_score_rejected", "meta_model_chosen", "meta_model_rejected")
    assert rows(tmp_path / "out", "part-*.parquet", *meta) == [
        (0, "answer 1", "answer 0", 8.5, 3.0, "m1", "m0"),
        (2, "answer 0", "answer 3", 3.0, 1.0, "m0", "m3"),
        (3, "answer 1", "answer 2", 8.5, 3.0, "m1", "m2"),
        (4, "answer 1", "answer 3", 8.5, 1.0, "m1", "m3"),
        (5, "answer 2", "answer 3", 3.0, 1.0, "m2", "m3"),
        (6, "answer 0", "answer 1", 2.0, 1.0, "m0", "m1"),
    ]
    assert rows(tmp_path / "out", "ties.parquet") == [(1, "answer 0", "answer 2")]
    texts = scan(tmp_path / "out", TEXTS, further=True).collect()
    assert texts["prompt"].to_list() == ["Why 0?"] * 10 + ["Why 1?"] * 2
    assert texts["group"].to_list() == [group_of("Why 0?")] * 10 + [group_of("Why 1?")] * 2
    assert pl.read_parquet(tmp_path / "out" / "ties.parquet")["group"][0] == group_of("Why 0?")


def test_fine_scores_decide_where_an_overall_one_is_missing(tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", ultrafeedback(9.0, None, fine=(1.5, 2.5)))
    import_texts(source, tmp_path / "out")
    assert rows(tmp_path / "out", "part-*", "meta_score_chosen") == [(0, "answer 1", "answer 0", 2.5)]


def test_a_malformed_completion_takes_only_its_own_comparisons_along(tmp_path: Path) -> None:
    record = ultrafeedback(1.0, 2.0, "N/A", 4.0)
    record["completions"][3]["response"] = ""
    source = write(tmp_path / "d.jsonl", record, ultrafeedback(1.0), {"instruction": "x", "completions": 3})
    report = import_texts(source, tmp_path / "out")
    assert rows(tmp_path / "out") == [(0, "answer 1", "answer 0")]
    assert (report.n_records, report.n_compared, report.n_pairs) == (3, 8, 1)
    failed = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    no_number = "'completions.overall_score' is a string; a number is needed"
    assert list(zip(failed["row_id"], failed["error"], failed["detail"], strict=True)) == [
        (1, "wrong_type", f"d.jsonl:1: completions 3 (against completions 1): {no_number}"),
        (2, "empty_text", "d.jsonl:1: completions 4 (against completions 1): it is empty"),
        (3, "wrong_type", f"d.jsonl:1: completions 3 (against completions 2): {no_number}"),
        (4, "empty_text", "d.jsonl:1: completions 4 (against completions 2): it is empty"),
        (5, "wrong_type", f"d.jsonl:1: completions 3 (against completions 4): {no_number}"),
        (6, "too_few", "d.jsonl:2: 'completions' has 1 entries; at least 2 are needed"),
        (7, "wrong_type", "d.jsonl:3: 'completions' is a number; a list is needed"),
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_the_lowest_rank_is_the_best_and_the_transcript_is_cut(suffix: str, tmp_path: Path) -> None:
    report = import_texts(write(tmp_path / f"d{suffix}", nectar(2.0, 1.0, 2.0)), tmp_path / "out")
    assert report.formats == {f"d{suffix}": "nectar"}
    assert rows(
        tmp_path / "out", "part-*", "meta_rank_chosen", "meta_rank_rejected", "meta_model_chosen"
    ) == [
        (0, "Assistant: answer 1", "Assistant: answer 0", 1.0, 2.0, "m1"),
        (2, "Assistant: answer 1", "Assistant: answer 2", 1.0, 2.0, "m1"),
    ]
    assert rows(tmp_path / "out", "ties.parquet") == [(1, "Assistant: answer 0", "Assistant: answer 2")]
    prompts = set(scan(tmp_path / "out", TEXTS).collect()["prompt"])
    assert prompts == {"\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\n"}


def test_a_prompt_that_asks_for_no_assistant_stays_as_it_is(tmp_path: Path) -> None:
    record = nectar(1, 2) | {"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c"}
    import_texts(write(tmp_path / "d.jsonl", record), tmp_path / "out")
    assert set(scan(tmp_path / "out", TEXTS).collect()["prompt"]) == {record["prompt"]}
    assert rows(tmp_path / "out") == [(0, "answer 0", "answer 1")]


def test_an_answer_without_text_or_rank_is_a_failure(tmp_path: Path) -> None:
    record = nectar(1, 2, 3)
    record["answers"][0] = {"answer": " ", "rank": 1}
    record["answers"][2] = {"answer": "x", "rank": None}
    report = import_texts(write(tmp_path / "d.jsonl", record), tmp_path / "out")
    assert report.failures == {"empty_text": 2, "wrong_type": 1}
    assert report.n_pairs == 0


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_best_of_four_is_three_pairs_and_right_answers_are_tied(suffix: str, tmp_path: Path) -> None:
    many = best_of(["red", "blue", "green"], ["four", "five"], "Ties")
    source = write(tmp_path / f"d{suffix}", best_of(["4"], ["5", "6", "7"]), many)
    report = import_texts(source, tmp_path / "out")
    assert report.formats == {f"d{suffix}": "rewardbench2"}
    assert (report.n_records, report.n_pairs, report.n_ties) == (2, 9, 3)
    assert rows(tmp_path / "out", "part-*", "meta_subset") == [
        (0, "4", "5", "Math"), (1, "4", "6", "Math"), (2, "4", "7", "Math"),
        (3, "red", "four", "Ties"), (4, "red", "five", "Ties"), (5, "blue", "four", "Ties"),
        (6, "blue", "five", "Ties"), (7, "green", "four", "Ties"), (8, "green", "five", "Ties"),
    ]  # fmt: skip
    tied = [(9, "red", "blue"), (10, "red", "green"), (11, "blue", "green")]
    assert rows(tmp_path / "out", "ties.parquet") == tied


def test_a_best_of_without_an_answer_is_a_failure(tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", best_of(["4"], []), best_of([None], ["5"]), best_of(["4"], ["5"]))
    report = import_texts(source, tmp_path / "out", ImportOptions(format="rewardbench2"))
    assert (report.n_pairs, report.failures) == (1, {"too_few": 1, "wrong_type": 1})


def test_too_many_responses_are_one_failure(tmp_path: Path) -> None:
    source = write(
        tmp_path / "d.jsonl", nectar(*range(101)), best_of(["a"] * 50, ["b"] * 51), nectar(*range(100))
    )
    report = import_texts(source, tmp_path / "out", ImportOptions(format="nectar", part_pairs=1000))
    assert report.failures == {"missing_field": 1, "too_many": 1}
    assert report.n_pairs == 4950
    source = write(tmp_path / "e.jsonl", best_of(["a"] * 50, ["b"] * 51), best_of(["a"], ["b"]))
    assert import_texts(source, tmp_path / "more").failures == {"too_many": 1}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("limit", [None, 8])
def test_stopped_within_a_record_it_goes_on_to_the_same_bytes(
    suffix: str, limit: int | None, tmp_path: Path
) -> None:
    records = [ultrafeedback(1.0, 2.0, float(i % 3), 4.0, i=i) for i in range(4)]
    source = write(tmp_path / f"d{suffix}", *records, ultrafeedback(1.0), *records)
    options = ImportOptions(part_pairs=5, limit=limit)
    whole = import_texts(source, tmp_path / "whole", options)
    n_compared = 8 * 6 + 1 if limit is None else limit
    assert (whole.n_records, whole.n_compared) == (9 if limit is None else 2, n_compared)
    report, n_stops = import_in_starts(source, tmp_path / "out", options)
    assert n_stops == -(-n_compared // 5)
    assert (report.n_records, report.n_pairs, report.n_ties) == (whole.n_records, whole.n_pairs, whole.n_ties)
    bytes_of = [{p.name: p.read_bytes() for p in (tmp_path / o).glob("*.parquet")} for o in ("whole", "out")]
    assert bytes_of[0] == bytes_of[1]
    sizes = [pl.read_parquet(p)["row_id"].n_unique() for p in sorted((tmp_path / "out").glob("part-*"))]
    assert max(sizes) <= 5


def test_the_table_says_how_many_records_there_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "d.jsonl", ultrafeedback(3.0, 8.5, 3.0, 1.0))
    assert main(["import", str(source), "--out", str(tmp_path / "out")]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said == [
        ["records", "in", "1"], ["pairs", "in", "6"], ["pairs", "out", "5"], ["ties", "1"], ["failed", "0"],
    ]  # fmt: skip
