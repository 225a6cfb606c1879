"""Does the model refuse?"""

from dataclasses import dataclass

import polars as pl

# English first; German, French and Spanish hold the usual opening only. Apostrophes are straightened before matching.
_VERB = (
    r"(?:assist|help|provide|comply|fulfil|fulfill|create|generate|write|engage|support|discuss|answer|share|give|do that|do this"
    r"|participate|offer|produce|continue|complete|process)"
)
_PATTERNS = (
    rf"\bi (?:can't|cannot|can not|could not|couldn't|won't|will not|am not able to|am unable to) {_VERB}\b",
    rf"\bi'm (?:not able to|unable to|not going to) {_VERB}\b",
    r"\bi'm (?:really |very |so |truly |deeply )?sorry,? but (?:i|as an|that|this|it)\b",
    r"\bi (?:must|have to|need to) (?:respectfully )?(?:decline|refuse)\b",
    r"\bas an? (?:ai|artificial intelligence|language model|large language model)\b",
    r"\bi (?:apologi[sz]e|am sorry),? but (?:i|as an)\b",
    r"\bnot (?:comfortable|appropriate for me to) \w+ing\b",
    r"\b(?:against|violates?) (?:my|our|openai's|the) (?:\w+ )?(?:guidelines|policy|policies|programming)\b",
    r"\bes tut mir leid, aber (?:ich|als)\b|\bich kann (?:ihnen|dir|das|dabei) (?:leider )?nicht\b",
    r"\bje suis désolée?,? mais je\b|\bje ne peux pas (?:vous |t')?(?:aider|répondre|fournir)\b|\bdésolé,? mais je ne\b",
    r"\blo siento,? pero (?:no|como)\b|\bno puedo (?:ayudar|proporcionar|cumplir)",
)
_SEEN = 200


@dataclass(frozen=True)
class Refusal:
    """Drop conversations whose reply opens with a refusal or an "as an AI" disclaimer.

    Phrases are looked for in the first 200 characters, in English, and the commonest in German, French and Spanish; a
    refusal in other words or languages passes. It says nothing of whether the refusal was right: set `maximum = 1.0` to
    measure without dropping, which keeps refusals that a safety set needs. A reply that the provider marked as a refusal
    counts in full.
    """

    maximum: float = 0.5

    def score(self, records: pl.DataFrame) -> pl.Series:
        """How early the refusal stands: 1 at the very start, falling to 0 at character 200, and 0 where there is none."""
        start = records["reply"].str.strip_chars_start().str.head(_SEEN).str.to_lowercase().str.replace_all("[’‘`]", "'")
        places = [start.str.find(pattern).alias(str(number)) for number, pattern in enumerate(_PATTERNS)]
        early = 1 - pl.min_horizontal(pl.all()).cast(pl.Float64) / _SEEN
        phrased = pl.DataFrame(places).select(early.clip(0, 1).fill_null(0.0)).to_series()
        last = pl.col("messages").list.last()
        types = last.struct.field("content").list.eval(pl.element().struct.field("type") == "refusal")
        marked = records.select((types.list.any() & (last.struct.field("role") == "assistant")).fill_null(False)).to_series()
        return pl.select(pl.when(marked).then(1.0).otherwise(phrased).alias("score")).to_series()

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum
