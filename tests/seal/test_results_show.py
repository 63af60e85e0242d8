"""What a call hands back shows itself in a notebook."""

import inspect

import pytest

import seal

RESULTS = (
    "Agreement", "Comparison", "ExportReport", "ImportReport", "LabelReport", "Report", "Results",
    "RewriteReport", "ScoreReport", "SimilarityReport", "Verification",
)  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_itself(name: str) -> None:
    kind = getattr(seal, name)
    assert callable(getattr(kind, "_repr_html_", None)), f"{name} needs _repr_html_ (seal.engine.notebook)"
    assert inspect.isclass(kind)
    assert kind.__dataclass_params__.frozen
