"""The tables of docs/reliability.md, made of the JSON."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
BEGIN = "<!-- made by python -m benchmarks.torture -->"
END = "<!-- end -->"


def filled(page: str, results: Mapping[str, Any]) -> str:
    """The page with the tables of these results.

    Raises:
        ValueError: the page lacks the marks between which they stand.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n" + "\n".join(tables(results)) + f"\n{END}{after}"


def tables(results: Mapping[str, Any]) -> Iterator[str]:
    """Lines of Markdown: one table of all campaigns, then one of the stages of each that has some."""
    yield "| promise | what was tried | held | date |"
    yield "| --- | --- | --- | --- |"
    campaigns = results["campaigns"]
    for facts in campaigns.values():
        yield (
            f"| {facts['promise']} | {facts['figure']} | {facts['n_held']:,} of {facts['n_cases']:,} cases | "
            f"{facts['date']} |"
        )
    yield ""
    for name, facts in campaigns.items():
        if facts["stages"]:
            yield from _stages(name, facts["stages"])


def _stages(name: str, stages: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    columns = list(dict.fromkeys(column for figures in stages.values() for column in figures))
    yield f"`{name}`, stage by stage:"
    yield ""
    yield f"| stage | {' | '.join(columns)} |"
    yield "| --- |" + " --- |" * len(columns)
    for stage, figures in stages.items():
        yield f"| {stage} | " + " | ".join(f"{figures.get(c, 0):,}" for c in columns) + " |"
    yield ""
