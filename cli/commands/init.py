"""`seal init`: a settings file to fill in."""

from pathlib import Path
from typing import cast

import click

from seal.cli.options import say
from seal.engine.errors import UsageError

# A line that starts with # and a space is a remark; one that starts with # alone is a setting, switched off.
_RUN = """\
# Settings of seal. `seal run` does everything this file asks for; `seal run --plan` says what that would be.
# Relative paths start in this file's folder. A line that starts with # and no space is a setting at its
# default, or an example of one: take the # away. Every key of the tables below [run] is a long option of that
# command, as `seal COMMAND --help` explains it.

[run]
# Preference datasets: files or folders (hh-rlhf and nine other formats: `seal import --help`).
# Instead, what `seal import` has written before: texts = "texts"
sources = ["data/train.jsonl.gz"]

# The reward models before and after they saw the dataset: folders as transformers writes them, which are
# exported first, or folders of `seal export`. A name of its own: "rm-before=models/rm-before".
# Options of one model alone, over those of [score]: { model = "models/rm-after", max-tokens = 1024 }
pre = "models/rm-before"
post = "models/rm-after"

# Who labels: `computed` (length, layout, hedges; no model), folders of open-weight models, URLs of servers
# that speak OpenAI's API: ["computed", "qwen=models/qwen", "judge=http://localhost:8000/v1"]
# A server on another machine needs allow-remote = true, for the texts go to it.
# As a table, each with options of its own over those of [label]:
# { computed = {}, qwen = { model = "models/qwen", protocol = "choice" } }
labelers = ["computed"]

# Labels that are there already: Parquet files or folders.
#labels = ["labels.parquet"]

# Labels that people gave to a random sample of pairs (`seal gold sample`, `sheet`, `read`). The estimates are
# corrected by them for what the labelers get wrong; how, [analyze] correct says.
#gold = "gold/labels"

# Two labelers or more made into one, whose labels are analyzed: combine = "majority", or "dawid-skene".

# For alignment robustness and causes: who rewrites texts, and a sentence-transformers folder to compare by.
#rewriter = "models/mistral"
#embedder = "models/bge-m3"

# Everything is written here.
#out = "out"

# Stages whose extra lives in another environment: extra (cpu, gpu, export, vllm) = its interpreter.
[run.environments]
#vllm = ".venv-vllm/bin/python"
"""
_TABLES = {
    "import": """\
#format = "auto"
#split = "train"
#limit = 10000
""",
    "export": """\
# fp16 is for GPUs.
#precision = "fp32"
""",
    "score": """\
#device = "auto"
#max-tokens = 2048
""",
    "label": """\
# For models; `computed` takes only sample, seed, limit, part-pairs and max-failures from here.
#protocol = "json"
#allow-remote = false
#taxonomy = "taxonomy.toml"
#sample = 0.1
#seed = 0
#max-failures = 0.01
""",
    "rewrite": """\
#allow-remote = false
#sample = 0.01
#seed = 0

# Further kinds of rewriting, each in a folder of its name. What [rewrite] says holds for those that ask the
# rewriter; perturbing asks no model and takes only what stands in its own table.
#[rewrite.perturbed]
#perturb = "all"

# What a change of one attribute causes: responses rewritten toward a value, and back again.
#[rewrite.causal]
#toward = ["last_response_sentiment=positive"]
#double = true
#placebo = true
#sample = 0.05
""",
    "similarity": """\
#min-cosine = 0.8
""",
    "analyze": """\
# Whose labels to regress on, where there are several labelers and `combine` makes none of them.
#labeler = "qwen"
#covariates = "n_words,n_list_items"
#exclude = "assistant_is_anthropomorphic"
#figures = true
#as-published = true
""",
    "report": """\
#title = "What our reward model learned"
""",
}


@click.command("init")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("seal.toml"), show_default=True,
    help="File to write.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.pass_context
def command(context: click.Context, out: Path, overwrite: bool) -> None:
    """Write a settings file to fill in, for `seal run`.

    It explains what can be set; the paths in it are examples.
    """
    if out.exists() and not overwrite:
        raise UsageError(f"{out} is there already; --overwrite replaces it, --out writes another")
    group = cast(click.Group, context.find_root().command)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(template(group.list_commands(context)), encoding="utf-8")
    say(f"{out}: fill in sources, pre and post under [run], then: seal run {out} --plan")


def template(commands: list[str]) -> str:
    """The file, with a table for each of these commands that a run has."""
    tables = [f"[{name}]\n{text}" for name, text in _TABLES.items() if name in commands]
    return "\n".join([_RUN, *tables])
