"""Labels from people: `seal.gold.sample` draws pairs, `.sheet` writes a page, `.read` reads answers."""

from seal.engine.gold.reading import gold_read as read
from seal.engine.gold.sampling import gold_sample as sample
from seal.engine.gold.sheet import gold_sheet as sheet

__all__ = ["read", "sample", "sheet"]
