"""`seal compare`: how far each model agrees with the people."""

from pathlib import Path

import click

from seal.cli.options import PATH, json_option, options_of, print_json, say
from seal.stats.options import CompareOptions


@click.command("compare")
@click.argument("scores", type=PATH, nargs=-1, required=True)
@click.option("--texts", type=PATH, help="The scored TEXTS: adds a row for each source.")
@options_of(CompareOptions)
@json_option
def command(scores: tuple[Path, ...], texts: Path | None, options: CompareOptions, as_json: bool) -> None:
    """Compare models by their agreement with people.

    Alignment is the share of pairs in which the human's choice has the higher reward, resistance the rest.
    SCORES are Parquet files or folders, as `seal score` writes them.
    """
    from seal.stats.alignment.compare import compare

    found = compare(scores, options, texts=texts)
    rows = found.tables["alignment"].to_dicts()
    if as_json:
        print_json(rows)
        return
    click.echo(_layout(rows, options.level))
    for note in found.notes:
        say(note)


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
