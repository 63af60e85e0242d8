"""`make torture`: a sample of every campaign, and that it sees what it looks for and goes on where it was."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.torture.__main__ import CAMPAIGNS, RESULTS, summarised, try_cases
from benchmarks.torture.campaign import Campaign, Found
from benchmarks.torture.disk import compiler_here
from benchmarks.torture.ledger import Ledger
from benchmarks.torture.page import PAGE, filled
from benchmarks.torture.stages import bench
from benchmarks.torture.traces import check_same, check_standing
from tests.support.places import ROOT

needs_compiler = pytest.mark.skipif(
    compiler_here() is None, reason="no C compiler here; install gcc or clang to let a disk fail"
)
SAMPLE = [(campaign, case) for campaign in CAMPAIGNS for case in campaign.cases(small=True)]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torture")


@needs_compiler
@pytest.mark.parametrize(("campaign", "case"), SAMPLE, ids=[f"{c.NAME} {case}" for c, case in SAMPLE])
def test_a_sample_of_every_campaign(campaign: Campaign, case: str, scratch: Path) -> None:
    work = scratch / campaign.NAME
    work.mkdir(exist_ok=True)
    found = campaign.run(case, work)
    said = campaign.summary([found])
    assert said["promise"]
    assert any(character.isdigit() for character in said["figure"])


@needs_compiler
def test_what_is_torn_or_lost_or_too_many_is_seen(scratch: Path) -> None:
    here = bench(scratch / "kills")
    whole, out = here.whole("label computed"), here.out("label computed")
    here.clear("label computed")
    here.finish("label computed")
    assert check_standing(out, whole) == 0
    check_same(out, whole)
    part, log = out / "part-00001.parquet", out / "log.jsonl"
    before, lines = part.read_bytes(), log.read_bytes()
    part.write_bytes(before[: len(before) // 2])
    for check in (check_standing, check_same):
        with pytest.raises(AssertionError, match=part.name):
            check(out, whole)
    part.write_bytes(before)
    log.write_bytes(b"".join(lines.splitlines(keepends=True)[1:]))
    with pytest.raises(AssertionError, match="says what no undisturbed run does"):
        check_standing(out, whole)
    log.write_bytes(lines[: len(lines) // 3])
    assert check_standing(out, whole) > 1  # parts that no line names any more
    log.write_bytes(lines)
    (out / ".part-00009.parquet.tmp").write_bytes(b"left")
    with pytest.raises(AssertionError, match=r"\.part-00009\.parquet\.tmp"):
        check_same(out, whole)


class Shaky:
    """A campaign whose second case breaks until it is mended."""

    NAME = "shaky"

    def __init__(self) -> None:
        self.broken, self.ran = True, list[str]()

    def cases(self, small: bool) -> Sequence[str]:
        return ("a", "b")

    def run(self, case: str, scratch: Path) -> Found:
        self.ran.append(case)
        if case == "b" and self.broken:
            raise AssertionError("b is not what it was")
        return {"n": 1}

    def summary(self, rows: Sequence[Found]) -> Mapping[str, Any]:
        return {"promise": "p", "figure": f"{len(rows)} seen", "stages": {}}


def test_what_held_is_not_tried_again_and_what_broke_is(tmp_path: Path) -> None:
    campaign, path = Shaky(), tmp_path / "ledger.jsonl"
    try_cases(campaign, campaign.cases(False), Ledger(path), tmp_path)
    facts = summarised(campaign, campaign.cases(False), Ledger(path))
    assert (facts["n_held"], facts["figure"], facts["broken"]) == (1, "1 seen", {"b": "b is not what it was"})
    with path.open("ab") as file:
        file.write(b'{"campaign": "shaky", "case": "c", "comm')  # killed while it wrote
    campaign.broken = False
    try_cases(campaign, campaign.cases(False), Ledger(path), tmp_path)
    facts = summarised(campaign, campaign.cases(False), Ledger(path))
    assert (facts["n_held"], facts["broken"]) == (2, {})
    assert campaign.ran == ["a", "b", "b"]


def test_the_page_says_what_the_results_say() -> None:
    results = json.loads((ROOT / RESULTS).read_text(encoding="utf-8"))
    assert not any(facts["broken"] for facts in results["campaigns"].values())
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, results) == page
    assert set(results["campaigns"]) == {campaign.NAME for campaign in CAMPAIGNS}
