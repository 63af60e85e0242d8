"""A sample of each campaign about hostile files: flipped, fuzzed, mutated, and many pairs."""

from pathlib import Path

import pytest

from benchmarks.torture import flips, fuzz, mutated, scale
from benchmarks.torture.watched import Job, watch


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torture")


@pytest.mark.parametrize("case", flips.cases(small=True))
def test_a_flipped_bit_is_found_by_verify(case: str, scratch: Path) -> None:
    found = flips.run(case, scratch)
    assert found["n_flips"] == flips.N_SMALL


@pytest.mark.parametrize("case", fuzz.cases(small=True))
def test_fuzzed_records_are_pairs_or_failures(case: str, scratch: Path) -> None:
    found = fuzz.run(case, scratch)
    assert found["n_records"] > 4000
    assert found["n_pairs"] > 500


@pytest.mark.parametrize("case", mutated.cases(small=True))
def test_changed_files_end_in_a_result_or_one_line(case: str, scratch: Path) -> None:
    mutated.run(case, scratch)


@pytest.mark.parametrize("case", scale.cases(small=True))
def test_many_pairs_stay_within_their_memory(case: str, scratch: Path) -> None:
    found = scale.run(case, scratch)
    assert list(found["stages"]) == ["import", "label", "compare", "analyze"]


def test_what_watches_sees_failures(scratch: Path) -> None:
    """A command that fails is told from one that ends well, and from one that takes too long."""
    (scratch / "d.jsonl").write_text("{}\n")
    calm = Job(("verify", "--help"))
    jobs = [Job(("verify", str(scratch))), calm, Job(("import", str(scratch / "d.jsonl"), "--out", "x"))]
    outcomes, undisturbed = watch(jobs, scratch, seconds=30, n_bytes=1 << 30, calm=calm)
    assert undisturbed.code == 0
    assert [ended.code for ended in outcomes] == [1, 0, 1]
    assert "holds neither a commit log nor seal.json" in outcomes[0].said
    assert all(not ended.raised and ended.peak > 0 for ended in outcomes)
    outcomes, _ = watch([calm], scratch, seconds=0.00001, n_bytes=1 << 30, calm=calm)
    assert outcomes[0].code is None
    assert outcomes[0].said.startswith("ended with 1: Timeout")
