"""Tiny reward models with random weights, made here, whose rewards differ from text to text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "you",
    "that",
    "it",
    "he",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "I",
    "at",
    "be",
    "this",
    "have",
    "from",
    "or",
    "one",
    "had",
    "by",
    "word",
    "but",
    "not",
    "what",
    "all",
    "were",
    "we",
    "when",
    "your",
    "can",
    "said",
    "there",
    "use",
    "an",
    "each",
    "which",
    "she",
    "do",
    "how",
    "their",
    "if",
    "will",
    "up",
    "other",
    "about",
    "out",
    "many",
    "then",
    "them",
    "these",
    "so",
    "some",
    "her",
    "would",
    "make",
    "like",
    "him",
    "into",
    "time",
    "has",
    "look",
    "two",
    "more",
    "write",
    "go",
    "see",
    "number",
    "no",
    "way",
    "could",
    "people",
    "my",
    "than",
    "first",
    "water",
    "been",
    "call",
    "who",
    "oil",
    "its",
    "now",
    "find",
    "long",
    "down",
    "day",
    "did",
    "get",
    "come",
    "made",
]
_WIDTHS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.3,
}

DEBERTA = {
    "relative_attention": True,
    "position_buckets": 16,
    "max_position_embeddings": 64,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
    "num_attention_heads": 2,
}
FEW_LENGTHS = (5, 17, 130, 600)


def wordpiece(kind: str = "bert") -> Tokenizer:
    """A WordPiece tokenizer over letters, digits and common words; unknown signs are [UNK].

    Args:
        kind: `bert` ends segments with [SEP] and counts them 0 and 1, `roberta` writes </s></s> between them
            and knows one segment only.
    """
    pad, unk, cls, sep = special(kind)
    signs = [chr(c) for c in range(33, 127)]
    vocab = [pad, unk, cls, sep, "[MASK]", *signs, *(f"##{s}" for s in signs), *dict.fromkeys(WORDS)]
    vocab = list(dict.fromkeys(vocab))
    if kind == "roberta":  # its padding is 1
        vocab[:4] = [cls, pad, sep, unk]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token=unk))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ids = [(t, tokenizer.token_to_id(t)) for t in (sep, cls)]
    if kind == "roberta":
        tokenizer.post_processor = processors.RobertaProcessing(*ids)
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B:1 {sep}:1", special_tokens=ids
        )
    return tokenizer


def special(kind: str) -> tuple[str, str, str, str]:
    """The tokens that pad, stand for the unknown, open and separate."""
    return ("<pad>", "<unk>", "<s>", "</s>") if kind == "roberta" else ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def fast_tokenizer(kind: str = "bert") -> Any:
    """The same as transformers wraps it."""
    pad, unk, cls, sep = special(kind)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=wordpiece(kind),
        pad_token=pad,
        unk_token=unk,
        cls_token=cls,
        sep_token=sep,
        mask_token="[MASK]",
        model_max_length=10**30,
    )


def make_checkpoint(
    folder: Path, model_type: str, *, seed: int = 0, kind: str = "bert", heads: Sequence[str] = (),
    **config: Any,
) -> Path:  # fmt: skip
    """Write a reward model of two small layers as transformers writes one.

    With `heads` it has a logit of each name, else a single one.

    The weights are wide and the head is scaled, so that rewards differ by more than 1 from text to text: with
    the usual small initial weights all rewards are nearly alike and parity would show nothing.
    """
    torch.manual_seed(seed)
    tokenizer = fast_tokenizer(kind)
    settings = _WIDTHS | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id} | config
    made = transformers.AutoConfig.for_model(model_type, **_labels(heads), **settings)
    made.architectures = None
    model = transformers.AutoModelForSequenceClassification.from_config(
        made, attn_implementation="eager"
    ).eval()
    _spread(model, made)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _labels(heads: Sequence[str]) -> dict[str, Any]:
    names = list(heads) or ["LABEL_0"]
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def _spread(model: Any, config: Any, n_texts: int = 64) -> None:
    """Scale the last linear layer so that rewards of random texts have a standard deviation of 2."""
    ids = torch.from_numpy(np.random.default_rng(0).integers(5, config.vocab_size, (n_texts, 24)))
    ids[:, 0] = 2  # texts open alike
    with torch.inference_mode():
        rewards = model(input_ids=ids).logits[:, 0]
    n = config.num_labels
    head = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == n][-1]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter *= 2 / rewards.std()


def edit_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    """Change settings of a checkpoint's JSON file; None removes one."""
    path = folder / name
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def make_embedder(
    folder: Path,
    model_type: str = "bert",
    *,
    pooling: str | tuple[str, ...] = "mean",
    normalize: bool = True,
    dense: int | None = None,
    max_tokens: int | None = None,
    lower_case: bool = False,
    seed: int = 0,
    kind: str = "bert",
    **config: Any,
) -> Path:
    """Write an embedder of two small layers as sentence-transformers writes one.

    Args:
        folder: where.
        model_type: of its transformer.
        pooling: one way to pool, or several.
        normalize: whether a Normalize module ends it.
        dense: width of a Dense module behind the pooling; none by default.
        max_tokens: its `max_seq_length`, written as before version 5.
        lower_case: its `do_lower_case`.
        seed, kind, config: as for `make_checkpoint`.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    torch.manual_seed(seed)
    tokenizer = fast_tokenizer(kind)
    settings = _WIDTHS | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id} | config
    made = transformers.AutoConfig.for_model(model_type, **settings)
    inner = folder.with_name(f"{folder.name}-transformer")
    transformers.AutoModel.from_config(made, attn_implementation="eager").save_pretrained(inner)
    tokenizer.save_pretrained(inner)
    modules: list[Any] = [Transformer(str(inner)), Pooling(made.hidden_size, pooling)]
    if dense:
        modules.append(Dense(modules[1].get_embedding_dimension(), dense))
    if normalize:
        modules.append(Normalize())
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    if getattr(made, "type_vocab_size", 0) < 2:  # real folders of such models say so, too
        edit_config(folder, "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    if max_tokens or lower_case:
        edit_config(
            folder, "sentence_bert_config.json", max_seq_length=max_tokens, do_lower_case=lower_case or None
        )
    return folder
