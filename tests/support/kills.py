"""Running `seal` in a process of its own, and killing it; `make torture` does it the same way."""

from benchmarks.torture.commands import (
    ROOT,
    command,
    environment,
    json_lines,
    kill_after,
    logged_hashes,
    parquet_hashes,
    seal,
    whole_lines,
)

__all__ = (
    "ROOT", "command", "environment", "json_lines", "kill_after", "logged_hashes", "parquet_hashes", "seal",
    "whole_lines",
)  # fmt: skip
