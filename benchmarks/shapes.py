"""Reward models of true shapes with random weights: enough to measure speed, and nothing is downloaded."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

VOCABULARY = 16_000

SHAPES: dict[str, dict[str, Any]] = {
    "deberta-v3-base": {"model_type": "deberta-v2", "width": 768, "layers": 12, "heads": 12},
    "deberta-v3-large": {"model_type": "deberta-v2", "width": 1024, "layers": 24, "heads": 16},
    "electra-large": {"model_type": "electra", "width": 1024, "layers": 24, "heads": 16},
    "deberta-tiny": {"model_type": "deberta-v2", "width": 32, "layers": 1, "heads": 2},
}


def make(shape: str, texts: Iterable[str], out: Path) -> Path:
    """Write a random checkpoint of a named shape, with a tokenizer of 16,000 pieces learned from some texts.

    Args:
        shape: a key of `SHAPES`.
        texts: what the tokenizer is learned from.
        out: the folder to make; an existing one is left as it is.
    """
    if (out / "config.json").exists():
        return out
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    n_pieces = _write_tokenizer(texts, out)
    torch.manual_seed(0)
    config = AutoConfig.for_model(**_config(SHAPES[shape], n_pieces))
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    for name, weight in model.named_parameters():
        if name.startswith("classifier") and weight.shape[0] == 1:
            torch.nn.init.normal_(weight, std=0.5)  # rewards that differ, so that parity means something
    model.save_pretrained(out)
    return out


def _config(shape: dict[str, Any], n_pieces: int) -> dict[str, Any]:
    common = {
        "model_type": shape["model_type"],
        "vocab_size": n_pieces,
        "hidden_size": shape["width"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "intermediate_size": 4 * shape["width"],
        "num_labels": 1,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
    }
    if shape["model_type"] == "electra":
        return common | {"embedding_size": shape["width"]}
    return common | {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "type_vocab_size": 0,
        "max_relative_positions": -1,
        "layer_norm_eps": 1e-7,
        "pooler_hidden_size": shape["width"],
    }


def _write_tokenizer(texts: Iterable[str], out: Path) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY, special_tokens=special, unk_token="[UNK]", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    names = {f"{n}_token": f"[{n.upper()}]" for n in ("pad", "cls", "sep", "unk", "mask")}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (out / "tokenizer_config.json").write_text(json.dumps(about, indent=2))
    return int(tokenizer.get_vocab_size())
