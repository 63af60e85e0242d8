"""`seal compare`: how far each model agrees with the people."""

from pathlib import Path

import click

from seal.cli.options import json_option, print_json, say


@click.command("compare")
@click.argument("scores", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--texts", type=click.Path(path_type=Path), help="The scored TEXTS: adds a row for each source."
)
@click.option(
    "--ties", type=click.Choice(["misaligned", "half", "drop"]), default="misaligned", show_default=True,
    help="What a pair with equal rewards counts as.",
)  # fmt: skip
@click.option(
    "--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True,
    help="Of the Wilson interval.",
)  # fmt: skip
@json_option
def command(scores: tuple[Path, ...], texts: Path | None, ties: str, level: float, as_json: bool) -> None:
    """Compare models by their agreement with people.

    Alignment is the share of pairs in which the human's choice has the higher reward, resistance the rest.
    SCORES are Parquet files or folders, as `seal score` writes them.
    """
    from seal.stats.alignment.compare import compare

    table = compare(scores, texts=texts, ties=ties, level=level)  # type: ignore[arg-type]  # click has checked
    if as_json:
        print_json(table.to_dicts())
        return
    click.echo(_layout(table.to_dicts(), level))
    for row in table.filter(table["n_incomplete"] > 0).to_dicts():
        say(f"{row['model']}, {row['source']}: {row['n_incomplete']} pairs lack a reward and are left out")


def _layout(rows: list[dict[str, object]], level: float) -> str:
    head = (
        "model",
        "source",
        "pairs",
        "ties",
        "alignment",
        f"{level:.0%} interval",
        "resistance",
        "mean margin",
    )
    cells = [head]
    for r in rows:
        number = {k: (f"{v:.3f}" if isinstance(v, float) else "-") for k, v in r.items()}
        cells.append(
            (
                str(r["model"]),
                str(r["source"]),
                f"{r['n_pairs']:,}",
                f"{r['n_ties']:,}",
                number["alignment"],
                f"{number['conf_low']} to {number['conf_high']}",
                number["resistance"],
                number["mean_margin"],
            )
        )
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [
        "  ".join(
            c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
