"""Where things lie that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
HH_RLHF = SHARED / "data" / "hh-rlhf"
