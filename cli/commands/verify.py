"""`seal verify`: are the bytes still those that were written?"""

from pathlib import Path

import click

from seal.cli.options import json_option, print_json, put
from seal.engine.errors import InputError


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def command(folder: Path, as_json: bool) -> None:
    """Check a folder's bytes against its own records.

    Every file that FOLDER's commit log names (of an exported model: its seal.json, of an analysis: its
    results.json) is hashed again.
    """
    from seal.engine.verify import verify

    report = verify(folder)
    if as_json:
        print_json({"folder": str(folder), "n_files": report.n_files, "changed": report.changed})
    else:
        put(f"{report.n_files} files of {folder}: {len(report.changed)} changed, missing or not named")
    if report.changed:
        raise InputError(f"{folder}: changed, missing or not named: {', '.join(report.changed)}")
