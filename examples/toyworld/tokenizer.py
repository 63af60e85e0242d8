"""The reward models' tokenizer: byte-level BPE, so that any text can be encoded, with the turn markers whole.

A text pair is encoded `[CLS] prompt [SEP] response [SEP]`, where a transcript is cut at its last
`Assistant:`: the prompt ends with a blank line, the response opens with the marker.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from examples.toyworld.generate import Options, generate

VOCABULARY = 2000
SPECIAL = {
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
MARKERS = ("Human:", "Assistant:")
PAD_ID = 0

# Real text will be scored too: with these its common words take one token each, not four.
_COMMON_WORDS = """
    the of and to in a is that for it as was with be by on not he his but at are this have from they
    which one you were her all she there would their we him been has when who will more no if out so
    said what up its about into than them can only other new some could time these two may then do first
    any my now such like our over man me even most made after also did many before must through back
    years where much your way well down should because each just those people how too little state good
    very make world still own see men work long get here between both life being under never day same
    another know while last might us great old year off come since against go came right used take three
    states himself few house use during without again place around however home small found thought went
    say part once general high upon school every don does got united left number course war until always
    away something fact water though less public put think almost hand enough far took head yet
    government system better set told nothing night end why called didn find going look asked later
    point knew next program city business give group toward young days let room word want feel help
    person really things sure maybe okay sorry please thanks yes hello tell talk need money friend kind
    different best problem question answer idea understand ing ed er ly tion ment ness able ful ies
"""


def split_transcript(transcript: str) -> tuple[str, str]:
    """(prompt, response) of a transcript, cut before its last `Assistant:`."""
    cut = transcript.rindex("Assistant:")
    return transcript[:cut], transcript[cut:]


def train_tokenizer(seed: int, n_pairs: int) -> Tokenizer:
    """A BPE tokenizer of VOCABULARY tokens from generated dialogues (train templates only)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(MARKERS),
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_speech(seed, n_pairs), trainer)
    tokenizer.add_tokens(list(MARKERS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def save_tokenizer(
    tokenizer: Tokenizer, folder: Path, special: Mapping[str, str] = SPECIAL, **more: str
) -> None:
    """Write the three files from which transformers rebuilds the tokenizer, in terms both 4 and 5 read."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        **special,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        **more,
    }
    for name, content in (("tokenizer_config.json", settings), ("special_tokens_map.json", special)):
        (folder / name).write_text(json.dumps(dict(content), indent=2) + "\n", encoding="utf-8")


def _speech(seed: int, n_pairs: int) -> Iterator[str]:
    """What is said between the markers, the blank lines before them, and common words."""
    yield from [" " + " ".join(_COMMON_WORDS.split())] * 20
    for chunk in generate(Options(n_pairs, seed)):
        for pair in chunk.texts:
            for text in pair:
                for marker in MARKERS:
                    text = text.replace(marker, "\0")
                yield from text.split("\0")
