"""Imports that are stopped at every part."""

from pathlib import Path

from seal.engine.datasets.importing import ImportReport, import_texts
from seal.engine.datasets.options import ImportOptions


def import_in_starts(source: Path, out: Path, options: ImportOptions) -> tuple[ImportReport, int]:
    """Import, stopped as each part is done and started again; how often it was stopped comes with it."""

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    n_stops = 0
    while True:
        try:
            return import_texts(source, out, options, listen=stop), n_stops
        except KeyboardInterrupt:
            n_stops += 1
