"""Labels from people: `seal.gold.sample` draws pairs, `.sheet` writes a page, `.read` reads answers.

`seal.gold.power` says from a pilot how many pairs to label.
"""

from seal.engine.gold.reading import gold_read as read
from seal.engine.gold.sampling import gold_sample as sample
from seal.engine.gold.sheet import gold_sheet as sheet
from seal.stats.power import gold_power as power

__all__ = ["power", "read", "sample", "sheet"]
