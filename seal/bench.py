"""How fast this machine is: `seal.bench.score` and `seal.bench.label` measure it on your texts."""

from seal.engine.bench.labeling import bench_label as label
from seal.engine.bench.scoring import bench_score as score

__all__ = ["label", "score"]
