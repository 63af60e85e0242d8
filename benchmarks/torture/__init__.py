"""The figures of reliability, all of them, by one command: `python -m benchmarks.torture` (`make torture`).

A campaign is a module: `NAME`, `cases`, `run`, `summary` (`campaign.py`). `ledger.py` remembers the cases
that are done, so that a stopped command goes on; `page.py` sets the table of docs/reliability.md.
"""
