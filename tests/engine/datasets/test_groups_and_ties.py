"""Comparisons of one prompt share a group; a tie is a row of its own kind: counted, kept, never a pair."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from seal.cli.main import main
from seal.engine.datasets.groups import group_of
from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.frames.reader import windows
from seal.engine.frames.schema import TEXTS, scan
from seal.engine.verify import verify
from tests.support.imports import import_in_starts

pytestmark = pytest.mark.usefixtures("fast_disk")


def webgpt(question: str, score_0: float, score_1: float) -> dict[str, Any]:
    return {
        "question": {"full_text": question, "dataset": "eli5"}, "answer_0": f"{question} zero",
        "answer_1": f"{question} one", "score_0": score_0, "score_1": score_1,
    }  # fmt: skip


def helpsteer3(preference: int) -> dict[str, Any]:
    context = [{"role": "user", "content": "Why?"}]
    return {"context": context, "response1": "a", "response2": "b", "overall_preference": preference}


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def test_a_group_is_the_same_number_in_every_version() -> None:
    assert group_of("Sum?") == 6_620_700_441_462_244_744
    assert group_of("\n\nHuman: Sum?\n\n") == group_of("Sum?")
    assert group_of("\n\nSystem: Be brief.\n\nHuman: Sum?\n\n") != group_of("Sum?")
    assert group_of("Sum? ") != group_of("Sum?")


def test_equal_prompts_share_a_group_in_any_file_order_and_format(tmp_path: Path) -> None:
    asked, said = {"role": "user", "content": "Sum?"}, {"role": "assistant", "content": "4"}
    write(tmp_path / "a.jsonl", [{"prompt": p, "chosen": "4", "rejected": "5"} for p in ("Sum?", "Why?")])
    write(tmp_path / "b.jsonl", [{"chosen": [asked, said], "rejected": [asked, {**said, "content": "5"}]}])
    hh = "\n\nHuman: Sum?\n\nAssistant: {}"
    write(tmp_path / "c.jsonl", [{"chosen": hh.format(4), "rejected": hh.format(5)}])
    for i, names in enumerate(("abc", "cba")):
        import_texts([tmp_path / f"{name}.jsonl" for name in names], tmp_path / str(i))
    there = [pl.read_parquet(tmp_path / str(i) / "part-00000.parquet") for i in (0, 1)]
    for texts in there:
        assert texts.schema["group"] == pl.Int64()
        groups = {source: set(rows["group"]) for (source,), rows in texts.group_by("source")}
        assert groups["b"] == groups["c"] == {group_of("Sum?")}
        assert groups["a"] == {group_of("Sum?"), group_of("Why?")}


def test_two_texts_of_a_pair_have_one_group_where_their_prompts_differ(tmp_path: Path) -> None:
    sides = {side: f"\n\nHuman: {side}\n\nAssistant: a" for side in ("chosen", "rejected")}
    import_texts(write(tmp_path / "d.jsonl", [sides]), tmp_path / "out")
    texts = pl.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert texts["group"].to_list() == [group_of("\n\nHuman: chosen\n\n")] * 2


TIED = [
    webgpt("Why?", 1, -1), webgpt("How?", 0, 0), webgpt("Who?", -1, 1), {"answer_0": "cut"},
    webgpt("When?", 0.5, 0.5),
]  # fmt: skip


def test_ties_lie_beside_the_parts_with_the_same_columns(tmp_path: Path) -> None:
    report = import_texts(write(tmp_path / "d.jsonl", TIED), tmp_path / "out")
    assert (report.n_records, report.n_compared) == (5, 5)
    assert (report.n_pairs, report.n_ties, report.n_failures) == (2, 2, 1)
    texts = scan(tmp_path / "out", TEXTS, further=True).collect()
    assert texts["row_id"].to_list() == [0, 0, 2, 2]
    ties = pl.read_parquet(tmp_path / "out" / "ties.parquet")
    assert ties.columns == [*texts.columns, "meta_tie"]
    assert ties["row_id"].to_list() == [1, 1, 4, 4]
    assert ties["preference"].to_list() == ["chosen", "rejected"] * 2
    assert ties["response"].to_list() == ["How? zero", "How? one", "When? zero", "When? one"]
    assert ties["meta_tie"].to_list() == [True] * 4
    assert ties["group"].to_list()[::2] == [group_of("How?"), group_of("When?")]
    assert pl.read_parquet(tmp_path / "out" / "failures.parquet")["row_id"].to_list() == [3]


def test_a_preference_of_0_is_a_tie(tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", [helpsteer3(-1), helpsteer3(0)])
    report = import_texts(source, tmp_path / "out")
    assert (report.n_pairs, report.n_ties, report.n_failures) == (1, 1, 0)


def test_a_malformed_tie_is_a_failure(tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", [webgpt("How?", 0, 0) | {"answer_1": " "}])
    report = import_texts(source, tmp_path / "out", ImportOptions(format="webgpt"))
    assert (report.n_ties, report.failures) == (0, {"empty_text": 1})


def test_ties_can_be_read_as_texts_of_their_own(tmp_path: Path) -> None:
    import_texts(write(tmp_path / "d.jsonl", TIED), tmp_path / "out")
    (window,) = windows([tmp_path / "out" / "ties.parquet"], 10)
    assert window["response"].to_list() == ["How? zero", "How? one", "When? zero", "When? one"]


def test_ties_are_logged_and_verified(tmp_path: Path) -> None:
    import_texts(write(tmp_path / "d.jsonl", TIED), tmp_path / "out", ImportOptions(part_pairs=2))
    ties = tmp_path / "out" / "ties.parquet"
    assert not list((tmp_path / "out").glob("ties-*"))
    assert verify(tmp_path / "out").changed == []
    data = ties.read_bytes()
    ties.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    assert verify(tmp_path / "out").changed == ["ties.parquet"]


def test_without_ties_there_is_no_such_file(tmp_path: Path) -> None:
    import_texts(write(tmp_path / "d.jsonl", TIED[:1]), tmp_path / "out")
    assert not (tmp_path / "out" / "ties.parquet").exists()
    assert (tmp_path / "out" / "failures.parquet").exists()


@pytest.mark.parametrize(("limit", "n_ties", "n_compared"), [(None, 6, 15), (7, 3, 7)])
def test_stopped_after_every_part_ties_end_in_the_same_bytes(
    limit: int | None, n_ties: int, n_compared: int, tmp_path: Path
) -> None:
    source = write(tmp_path / "d.jsonl", TIED * 3)
    options = ImportOptions(part_pairs=2, limit=limit)
    whole = import_texts(source, tmp_path / "whole", options)
    report, n_stops = import_in_starts(source, tmp_path / "out", options)
    assert n_stops == -(-whole.n_compared // 2)
    assert (report.n_ties, report.n_compared) == (n_ties, n_compared)
    assert whole == replace(report, out=whole.out)
    bytes_of = [{p.name: p.read_bytes() for p in (tmp_path / o).glob("*.parquet")} for o in ("whole", "out")]
    assert bytes_of[0] == bytes_of[1]
    assert "ties.parquet" in bytes_of[0]


def test_what_was_left_of_ties_that_nobody_logged_is_removed(tmp_path: Path) -> None:
    source, out = write(tmp_path / "d.jsonl", TIED), tmp_path / "out"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_texts(source, out, ImportOptions(part_pairs=2), listen=stop)
    for name in ("ties-00001.parquet", "ties.parquet", "ties-00009.parquet"):
        (out / name).write_bytes(b"torn")
    import_texts(source, out, ImportOptions(part_pairs=2))
    left = sorted(p.name for p in out.glob("ties*"))
    assert left == ["ties-00009.parquet", "ties.parquet"]  # another's number is nobody's of this program
    assert pl.read_parquet(out / "ties.parquet").height == 4


def test_ties_are_printed_and_are_no_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "d.jsonl", [TIED[0], TIED[1], TIED[4]])
    assert main(["import", str(source), "--out", str(tmp_path / "out"), "--max-failures", "0"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["pairs", "in", "3"], ["pairs", "out", "1"], ["ties", "2"], ["failed", "0"]]
