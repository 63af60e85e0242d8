"""What a reward model really learned from human preferences.

Every public name is loaded when it is first used, so that `import seal` is quick and a notebook that only
analyses never loads what runs models.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seal.engine.systems import check_system

if TYPE_CHECKING:  # what type checkers and editors read; `_HOMES` is what runs, and a test holds them equal
    from seal import bench as bench
    from seal import gold as gold
    from seal.cli.pipeline.running import RunReport as RunReport
    from seal.cli.pipeline.running import run as run
    from seal.engine.bench.labeling import bench_label as bench_label
    from seal.engine.bench.options import LabelBenchOptions as LabelBenchOptions
    from seal.engine.bench.options import ScoreBenchOptions as ScoreBenchOptions
    from seal.engine.bench.scoring import bench_score as bench_score
    from seal.engine.datasets.importing import ImportReport as ImportReport
    from seal.engine.datasets.importing import import_texts as import_texts
    from seal.engine.datasets.options import ImportOptions as ImportOptions
    from seal.engine.errors import InputError as InputError
    from seal.engine.errors import MissingExtraError as MissingExtraError
    from seal.engine.errors import ResumeError as ResumeError
    from seal.engine.errors import SealError as SealError
    from seal.engine.errors import TooManyFailuresError as TooManyFailuresError
    from seal.engine.errors import UsageError as UsageError
    from seal.engine.export.exporting import ExportReport as ExportReport
    from seal.engine.export.exporting import export as export
    from seal.engine.export.options import ExportOptions as ExportOptions
    from seal.engine.frames.schema import FAILURES as FAILURES
    from seal.engine.frames.schema import LABELS as LABELS
    from seal.engine.frames.schema import SCORES as SCORES
    from seal.engine.frames.schema import SIMILARITIES as SIMILARITIES
    from seal.engine.frames.schema import TEXTS as TEXTS
    from seal.engine.generation.options import GeneratorOptions as GeneratorOptions
    from seal.engine.gold.options import GoldReadOptions as GoldReadOptions
    from seal.engine.gold.options import GoldSampleOptions as GoldSampleOptions
    from seal.engine.gold.options import GoldSheetOptions as GoldSheetOptions
    from seal.engine.gold.reading import GoldReadReport as GoldReadReport
    from seal.engine.gold.reading import gold_read as gold_read
    from seal.engine.gold.sampling import GoldSampleReport as GoldSampleReport
    from seal.engine.gold.sampling import gold_sample as gold_sample
    from seal.engine.gold.sheet import GoldSheetReport as GoldSheetReport
    from seal.engine.gold.sheet import gold_sheet as gold_sheet
    from seal.engine.labeling.labeling import LabelReport as LabelReport
    from seal.engine.labeling.labeling import label as label
    from seal.engine.labeling.options import LabelOptions as LabelOptions
    from seal.engine.merge import MergeReport as MergeReport
    from seal.engine.merge import merge as merge
    from seal.engine.rewriting.options import AttributeOptions as AttributeOptions
    from seal.engine.rewriting.options import PerturbOptions as PerturbOptions
    from seal.engine.rewriting.options import RewriteOptions as RewriteOptions
    from seal.engine.rewriting.perturbing import PerturbReport as PerturbReport
    from seal.engine.rewriting.perturbing import perturb as perturb
    from seal.engine.rewriting.rewriting import RewriteReport as RewriteReport
    from seal.engine.rewriting.rewriting import rewrite as rewrite
    from seal.engine.scoring.options import ScoreOptions as ScoreOptions
    from seal.engine.scoring.options import SimilarityOptions as SimilarityOptions
    from seal.engine.scoring.scoring import ScoreReport as ScoreReport
    from seal.engine.scoring.scoring import score as score
    from seal.engine.scoring.similarity import SimilarityReport as SimilarityReport
    from seal.engine.scoring.similarity import similarity as similarity
    from seal.engine.verify import Verification as Verification
    from seal.engine.verify import verify as verify
    from seal.stats.alignment.compare import Comparison as Comparison
    from seal.stats.alignment.compare import compare as compare
    from seal.stats.analysis import analyze as analyze
    from seal.stats.labelers.agreement import Agreement as Agreement
    from seal.stats.labelers.agreement import agreement as agreement
    from seal.stats.options import AgreementOptions as AgreementOptions
    from seal.stats.options import AnalyzeOptions as AnalyzeOptions
    from seal.stats.options import CompareOptions as CompareOptions
    from seal.stats.options import GoldPowerOptions as GoldPowerOptions
    from seal.stats.options import ReportOptions as ReportOptions
    from seal.stats.power import GoldNeeds as GoldNeeds
    from seal.stats.power import gold_power as gold_power
    from seal.stats.report.page import Report as Report
    from seal.stats.report.page import report as report
    from seal.stats.results import Results as Results

_HOMES = {
    "Agreement": "seal.stats.labelers.agreement",
    "AgreementOptions": "seal.stats.options",
    "AnalyzeOptions": "seal.stats.options",
    "AttributeOptions": "seal.engine.rewriting.options",
    "CompareOptions": "seal.stats.options",
    "Comparison": "seal.stats.alignment.compare",
    "ExportOptions": "seal.engine.export.options",
    "ExportReport": "seal.engine.export.exporting",
    "FAILURES": "seal.engine.frames.schema",
    "GeneratorOptions": "seal.engine.generation.options",
    "GoldNeeds": "seal.stats.power",
    "GoldPowerOptions": "seal.stats.options",
    "GoldReadOptions": "seal.engine.gold.options",
    "GoldReadReport": "seal.engine.gold.reading",
    "GoldSampleOptions": "seal.engine.gold.options",
    "GoldSampleReport": "seal.engine.gold.sampling",
    "GoldSheetOptions": "seal.engine.gold.options",
    "GoldSheetReport": "seal.engine.gold.sheet",
    "ImportOptions": "seal.engine.datasets.options",
    "ImportReport": "seal.engine.datasets.importing",
    "InputError": "seal.engine.errors",
    "LABELS": "seal.engine.frames.schema",
    "LabelBenchOptions": "seal.engine.bench.options",
    "LabelOptions": "seal.engine.labeling.options",
    "LabelReport": "seal.engine.labeling.labeling",
    "MergeReport": "seal.engine.merge",
    "MissingExtraError": "seal.engine.errors",
    "PerturbOptions": "seal.engine.rewriting.options",
    "PerturbReport": "seal.engine.rewriting.perturbing",
    "Report": "seal.stats.report.page",
    "ReportOptions": "seal.stats.options",
    "Results": "seal.stats.results",
    "ResumeError": "seal.engine.errors",
    "RewriteOptions": "seal.engine.rewriting.options",
    "RewriteReport": "seal.engine.rewriting.rewriting",
    "RunReport": "seal.cli.pipeline.running",
    "SCORES": "seal.engine.frames.schema",
    "SIMILARITIES": "seal.engine.frames.schema",
    "ScoreBenchOptions": "seal.engine.bench.options",
    "ScoreOptions": "seal.engine.scoring.options",
    "ScoreReport": "seal.engine.scoring.scoring",
    "SealError": "seal.engine.errors",
    "SimilarityOptions": "seal.engine.scoring.options",
    "SimilarityReport": "seal.engine.scoring.similarity",
    "TEXTS": "seal.engine.frames.schema",
    "TooManyFailuresError": "seal.engine.errors",
    "UsageError": "seal.engine.errors",
    "Verification": "seal.engine.verify",
    "agreement": "seal.stats.labelers.agreement",
    "analyze": "seal.stats.analysis",
    "bench": "seal",
    "bench_label": "seal.engine.bench.labeling",
    "bench_score": "seal.engine.bench.scoring",
    "compare": "seal.stats.alignment.compare",
    "export": "seal.engine.export.exporting",
    "gold": "seal",
    "gold_power": "seal.stats.power",
    "gold_read": "seal.engine.gold.reading",
    "gold_sample": "seal.engine.gold.sampling",
    "gold_sheet": "seal.engine.gold.sheet",
    "import_texts": "seal.engine.datasets.importing",
    "label": "seal.engine.labeling.labeling",
    "merge": "seal.engine.merge",
    "perturb": "seal.engine.rewriting.perturbing",
    "report": "seal.stats.report.page",
    "rewrite": "seal.engine.rewriting.rewriting",
    "run": "seal.cli.pipeline.running",
    "score": "seal.engine.scoring.scoring",
    "similarity": "seal.engine.scoring.similarity",
    "verify": "seal.engine.verify",
}
"""Public name -> the module that defines it; `bench` and `gold` are modules themselves."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("seal-engine")
    if name not in _HOMES:
        raise AttributeError(f"module 'seal' has no attribute {name!r}")
    check_system()
    home = _HOMES[name]
    value = import_module(f"seal.{name}") if home == "seal" else getattr(import_module(home), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
