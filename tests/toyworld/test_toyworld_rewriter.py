"""What the small rewriter is taught, and what it does: the parser knows what every text says."""

from itertools import islice
from pathlib import Path

import pytest

from examples.toyworld import aims
from examples.toyworld.generate import Options, write
from examples.toyworld.measure_rewriter import measure
from examples.toyworld.parser import label, parse
from examples.toyworld.tasks import Example, examples
from seal.cli.main import main
from tests.support.places import ROOT

MODEL = ROOT / "examples/toyworld/models/rewriter"
UNSEEN = 990
AIMED = [task[1:] for task in aims.tasks()]


def told(example: Example, response: str) -> dict[str, object]:
    return dict(label(parse(f"{example.dialogue.prompt}Assistant: {response}")))


@pytest.mark.parametrize(("feature", "value"), AIMED)
def test_what_is_taught_reaches_its_value_and_moves_nothing_else(feature: str, value: str) -> None:
    for example in islice(examples(UNSEEN), 200):
        before, after = (
            label(parse(example.transcript)),
            told(example, aims.rewritten(example, feature, value)),
        )
        moved = {name for name in before if before[name] != after[name]}
        assert moved <= {feature}
        if feature:
            assert after[feature] == {"true": True, "false": False}.get(value, value)


def test_every_rewriting_is_in_other_words() -> None:
    said = [(e.dialogue.response.removeprefix("Assistant: "), aims.rewritten(e, "", ""))
            for e in islice(examples(UNSEEN), 200)]  # fmt: skip
    assert sum(before != after for before, after in said) > 150


def test_there_and_back_says_what_was_said() -> None:
    """What differs after a double rewriting is the words, and one sentence that says nothing."""
    for example in islice(examples(UNSEEN), 100):
        here = label(parse(example.transcript))
        there = aims.rewritten(example, aims.ELOQUENT, "false" if here[aims.ELOQUENT] else "true")
        second = Example(f"{example.dialogue.prompt}Assistant: {there}", {})
        back = aims.rewritten(second, aims.ELOQUENT, "true" if here[aims.ELOQUENT] else "false")
        assert told(example, back) == here


def test_unseen_responses_are_rewritten_as_they_were_to_be(tmp_path: Path) -> None:
    write(Options(8, UNSEEN), tmp_path)
    assert main(["import", str(tmp_path / "pairs.jsonl"), "--out", str(tmp_path / "texts")]) == 0
    toward = [word for aim in aims.TOWARD for word in ("--toward", aim)]
    code = main([
        "rewrite", str(tmp_path / "texts"), "--rewriter", str(MODEL), "--backend", "transformers",
        "--sample", "1", "--max-failures", "0.2", *toward, "--double", "--placebo",
        "--labels", str(tmp_path / "truth.parquet"), "--out", str(tmp_path / "rewritten"),
    ])  # fmt: skip
    assert code == 0
    found = measure(tmp_path / "texts", tmp_path / "rewritten").values()
    assert sum(f.n_texts for f in found) == 16 * (2 * len(aims.TOWARD) + 1)
    for share, least in (("whole", 0.9), ("parsed", 0.95), ("reached", 0.9), ("labels_kept", 0.9)):
        assert sum(getattr(f, share) * f.n_texts for f in found) >= least * sum(f.n_texts for f in found)
