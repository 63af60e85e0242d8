"""What watches commands in a child sees how they end."""

from pathlib import Path

from benchmarks.torture.watched import Job, watch


def test_what_watches_sees_failures(tmp_path: Path) -> None:
    """A command that fails is told from one that ends well, and from one that takes too long."""
    (tmp_path / "d.jsonl").write_text("{}\n")
    calm = Job(("verify", "--help"))
    jobs = [Job(("verify", str(tmp_path))), calm, Job(("import", str(tmp_path / "d.jsonl"), "--out", "x"))]
    outcomes, undisturbed = watch(jobs, tmp_path, seconds=30, n_bytes=1 << 30, calm=calm)
    assert undisturbed.code == 0
    assert [ended.code for ended in outcomes] == [1, 0, 1]
    assert "holds neither a commit log nor seal.json" in outcomes[0].said
    assert all(not ended.raised and ended.peak > 0 for ended in outcomes)
    (tmp_path / "long.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n' * 50_000)
    long = Job(("import", str(tmp_path / "long.jsonl"), "--out", str(tmp_path / "out")))
    outcomes, _ = watch([long, calm], tmp_path, seconds=0.001, n_bytes=1 << 30, calm=calm)
    assert outcomes[0].code is None
    assert outcomes[0].said.startswith("ended with 1: Timeout")
    assert outcomes[1].code == 0
