"""American and British spellings of English, word by word.

Only where the two differ in spelling alone and neither is a word of the other: "program", "check", "tire"
and "practice" are left out.
"""


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_OUR = _listed(
    "arbor ardor armor behavior candor clamor color demeanor enamor endeavor favor favorite flavor glamor "
    "harbor honor humor labor misbehavior neighbor odor parlor rancor rigor rumor savior savor splendor "
    "tumor valor vapor vigor"
)
_IZE = _listed(
    "agonize analogize apologize authorize capitalize categorize centralize characterize civilize colonize "
    "criticize crystallize customize democratize digitize economize emphasize equalize finalize formalize "
    "generalize harmonize hospitalize hypothesize idealize immunize industrialize initialize "
    "internalize italicize jeopardize legalize legitimize localize materialize maximize mechanize memorize "
    "minimize mobilize modernize monopolize nationalize neutralize normalize optimize organize ostracize "
    "oxidize penalize personalize plagiarize polarize popularize prioritize privatize publicize randomize "
    "rationalize realize recognize reorganize revitalize revolutionize scrutinize socialize specialize "
    "stabilize standardize sterilize stigmatize subsidize summarize symbolize sympathize synchronize "
    "synthesize terrorize theorize tranquilize traumatize utilize vandalize verbalize visualize vocalize"
)
_YZE = _listed("analyze catalyze paralyze")
_ER = _listed(
    "caliber center fiber goiter liter luster meager millimeter centimeter kilometer saber scepter somber "
    "specter theater"
)
_DOUBLED = _listed(
    "cancel channel counsel dial duel equal fuel funnel grovel jewel label level libel marvel model panel "
    "pedal pencil quarrel rival shovel shrivel signal snivel spiral swivel total towel travel tunnel unravel"
)
_SINGLE = {
    "aging": "ageing", "airplane": "aeroplane", "aluminum": "aluminium", "analog": "analogue",
    "anemia": "anaemia", "anemic": "anaemic", "anesthesia": "anaesthesia", "anesthetic": "anaesthetic",
    "artifact": "artefact", "catalog": "catalogue", "coziness": "cosiness", "cozy": "cosy",
    "defense": "defence", "dialog": "dialogue", "diarrhea": "diarrhoea", "encyclopedia": "encyclopaedia",
    "enroll": "enrol", "enrollment": "enrolment", "estrogen": "oestrogen", "esophagus": "oesophagus",
    "fetus": "foetus", "fulfill": "fulfil", "fulfillment": "fulfilment", "gray": "grey", "grayish": "greyish",
    "gynecology": "gynaecology", "hemoglobin": "haemoglobin", "hemorrhage": "haemorrhage",
    "installment": "instalment", "jewelry": "jewellery", "judgment": "judgement", "leukemia": "leukaemia",
    "licorice": "liquorice", "maneuver": "manoeuvre", "mold": "mould", "moldy": "mouldy", "molt": "moult",
    "mustache": "moustache", "offense": "offence", "orthopedic": "orthopaedic", "pajamas": "pyjamas",
    "pediatric": "paediatric", "pediatrician": "paediatrician", "plow": "plough", "pretense": "pretence",
    "skeptic": "sceptic", "skeptical": "sceptical", "skepticism": "scepticism", "skillful": "skilful",
    "smolder": "smoulder", "sulfur": "sulphur", "traveler": "traveller", "travelers": "travellers",
    "counselor": "counsellor", "counselors": "counsellors", "willful": "wilful", "woolen": "woollen",
}  # fmt: skip


def _pairs() -> dict[str, str]:
    pairs = dict(_SINGLE)
    for word in _OUR:
        stem = word.removesuffix("ite")
        british = stem.removesuffix("or") + "our" + word[len(stem) :]
        more = () if word == "favorite" else ("ed", "ing", "able", "ful", "less", "hood")
        pairs |= {word + end: british + end for end in ("", "s", *more)}
    for word in (*_IZE, *_YZE):
        stem, last = word[:-2], word[-3]
        nouns = ("zation", "zations") if last == "i" else ()
        endings = ("ze", "zes", "zed", "zing", "zer", "zers", *nouns)
        pairs |= {stem + end: f"{stem}s{end[1:]}" for end in endings}
    for word in _ER:
        pairs |= {word: f"{word[:-2]}re", f"{word}s": f"{word[:-2]}res"}
    pairs |= {"centered": "centred", "centering": "centring"}
    for word in _DOUBLED:
        pairs |= {word + end: f"{word}l{end}" for end in ("ed", "ing")}
    return pairs


BRITISH = _pairs()
"""American -> British, in small letters."""
AMERICAN = {british: american for american, british in BRITISH.items()}
"""British -> American, in small letters."""
