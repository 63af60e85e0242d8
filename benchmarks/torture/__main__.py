"""Try every promise of reliability, and write down what was seen.

    python -m benchmarks.torture [--only NAME] [--small] [--report] [--out benchmarks/results/torture.json]

Hours, if all of it is new. What was stopped goes on where it was: cases that held are not tried again, broken
ones are. `--afresh` forgets them. The exit code is 1 where a promise was broken.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.torture import faults, flips, fuzz, kills, malformed, mutated, offline, scale
from benchmarks.torture.campaign import Campaign
from benchmarks.torture.ledger import Ledger, Line
from benchmarks.torture.page import PAGE, filled
from seal.engine.frames.manifest import machine, versions

CAMPAIGNS: tuple[Campaign, ...] = (kills, faults, malformed, fuzz, mutated, flips, offline, scale)
RESULTS = Path("benchmarks/results/torture.json")
SCRATCH = Path(".torture")


def main() -> int:
    options = _options()
    ledger_path = options.scratch / ("ledger-small.jsonl" if options.small else "ledger.jsonl")
    if options.afresh:
        ledger_path.unlink(missing_ok=True)
    ledger = Ledger(ledger_path)
    results = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    found: dict[str, Any] = results.get("campaigns", {})
    for campaign in CAMPAIGNS:
        if options.only in (None, campaign.NAME):
            cases = campaign.cases(options.small)
            if not options.report:
                try_cases(campaign, cases, ledger, options.scratch)
            found[campaign.NAME] = summarised(campaign, cases, ledger)
            write(found, options.out)
    return int(any(facts["broken"] for facts in found.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("--only", choices=[c.NAME for c in CAMPAIGNS], help="one campaign")
    parser.add_argument("--small", action="store_true", help="the sample that the ordinary tests run")
    parser.add_argument("--report", action="store_true", help="try nothing, write down what was seen so far")
    parser.add_argument("--afresh", action="store_true", help="forget the cases that are done")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON to write")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="where it works, and keeps its ledger")
    return parser.parse_args()


def try_cases(campaign: Campaign, cases: Sequence[str], ledger: Ledger, scratch: Path) -> None:
    """Try the cases that have not held yet, and say what broke."""
    work = (scratch / campaign.NAME).resolve()
    work.mkdir(parents=True, exist_ok=True)
    left = [case for case in cases if not ledger.held(campaign.NAME, case)]
    for number, case in enumerate(left, 1):
        began = time.monotonic()
        try:
            found, broken = campaign.run(case, work), ""
        except AssertionError as error:
            found, broken = {}, str(error)[:2000] or repr(error)
        elapsed_s = round(time.monotonic() - began, 2)
        ledger.add(Line(campaign.NAME, case, commit(), elapsed_s, found, broken))
        state = f"BROKEN: {broken}" if broken else "held"
        print(f"{campaign.NAME} {number}/{len(left)} {case}: {state} ({elapsed_s:.1f} s)", flush=True)


def summarised(campaign: Campaign, cases: Sequence[str], ledger: Ledger) -> dict[str, Any]:
    """The figures of a campaign."""
    lines = ledger.of(campaign.NAME, cases)
    held = [line for line in lines if not line.broken]
    return {
        "n_cases": len(cases),
        "n_held": len(held),
        "broken": {line.case: line.broken for line in lines if line.broken},
        "elapsed_s": round(sum(line.elapsed_s for line in lines)),
        "commits": sorted({line.commit for line in lines}),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
        **campaign.summary([line.found for line in held]),
    }


def write(found: dict[str, Any], out: Path) -> None:
    """Write the JSON, and the page's table where it is the committed one."""
    ordered = {c.NAME: found[c.NAME] for c in CAMPAIGNS if c.NAME in found}
    results = {"command": "python -m benchmarks.torture", "campaigns": ordered}
    out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if out == RESULTS:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


def commit() -> str:
    """The commit of the code that is tried."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
