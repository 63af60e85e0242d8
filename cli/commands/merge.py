"""`seal merge`: the shards of one run become the folder of the whole."""

from pathlib import Path

import click

from seal.cli.options import PATH, json_option, out_option, overwrite_option, print_json, put
from seal.cli.progress import display


@click.command("merge")
@click.argument("shards", type=PATH, nargs=-1, required=True, metavar="SHARD...")
@out_option
@overwrite_option
@json_option
def command(shards: tuple[Path, ...], out: Path, overwrite: bool, as_json: bool) -> None:
    """Put the shards of one run together.

    Each SHARD is a folder that `seal score`, `seal label`, `seal rewrite` or `seal similarity` wrote with
    --shard I/N; all N are needed, in any order. What is written is the folder of the undivided run, byte for
    byte. Killed anywhere and started again with the same command, it goes on from its last part.
    """
    from seal.engine.merge import merge

    with display() as listen:
        report = merge(shards, out, overwrite=overwrite, listen=listen)
    if as_json:
        print_json(report)
    else:
        put(
            f"{report.n_shards} shards: {report.n_texts:,} texts, {report.n_rows:,} rows + "
            f"{report.n_failures:,} failures -> {out}"
        )
