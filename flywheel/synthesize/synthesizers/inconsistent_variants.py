"""Answers that say something else than the text they are about, beside the one that does not."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from flywheel.plugins import Model
from flywheel.records import Candidate, Feedback, Record, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.reading import bare, same_words

Kind = Literal["entity", "number", "negation", "relation", "invention"]
_KINDS: dict[Kind, str] = {
    "entity": "names another person, place or thing in one spot",
    "number": "gives another number, date or amount in one spot",
    "negation": "says the opposite in one spot",
    "relation": "mixes up who did what, or what caused what, in one spot",
    "invention": "adds one fact that the text does not give",
}
_LONGEST, _SHORTEST = 2.0, 0.5  # of the answer's own length: a variant is an edit of it


class Verdict(msgspec.Struct):
    """What a judge says of an answer."""

    consistent: bool


@dataclass(frozen=True)
class InconsistentVariants:
    """Write variants of the seed's reply with one factual error each, and label them as rejected beside the reply.

    One variant for each of `kinds`: `entity`, `number`, `negation`, `relation`, `invention`. The role `judge`, which sees what
    was said before the reply and one answer, must find the reply consistent with it and the variant not. The child is the
    seed's conversation with the variants as candidates, and feedback `correct` that says which answer is: the preference
    formats export the reply as chosen. The tag `errors=` names the kinds.

    Refused: `inconsistent_reply`, which ends the seed; of a variant `unchanged`, `length_differs` (less than half or more
    than double), `repeated_variant`, `still_consistent`.

    Source: Gekhman et al. 2023, "TrueTeacher", section 3: a model's labels of consistency on texts that a model wrote; the
    kinds of errors after Pagnoni et al. 2021 (FRANK), section 2.
    """

    kinds: tuple[Kind, ...] = ("entity", "number", "negation", "relation", "invention")

    def __post_init__(self) -> None:
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ValueError("`kinds` names each kind once, and one at least")

    def most_questions(self, seed: Record) -> Mapping[str, int]:
        """As of `AsksAtMost`."""
        kinds = len(self.kinds)
        return {"generator": kinds, "judge": 1 + kinds} if seed.prompt.strip() and seed.reply.strip() else {}

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if not seed.prompt.strip() or not seed.reply.strip():
            return
        if not await _consistent(seed, seed.reply, model):
            refuse("inconsistent_reply")
            return
        found = await asyncio.gather(*(unless_failed(_variant(kind, seed, model)) for kind in self.kinds))
        variants: dict[Kind, str] = {}
        for kind, variant in zip(self.kinds, found, strict=True):
            if variant is None:
                continue
            if any(same_words(variant, other) for other in variants.values()):
                refuse("repeated_variant")
            else:
                variants[kind] = variant
        if variants:
            child = seed.child(tags=(f"errors={','.join(variants)}",))
            ids = {kind: f"{child.id}:{number}" for number, kind in enumerate(variants, 2)}
            said = {kind: text_message("assistant", text) for kind, text in variants.items()}
            by = f"judge:{model.role('judge').name}"
            yield msgspec.structs.replace(
                child,
                candidates=tuple(Candidate(id=ids[kind], messages=(said[kind],)) for kind in variants),
                feedback=(
                    Feedback(name="correct", value="true", by=by),
                    *(Feedback(name=f"correct@{ids[kind]}", value="false", comment=kind, by=by) for kind in variants),
                ),
            )


async def _variant(kind: Kind, seed: Record, model: Model) -> str | None:
    """A variant that the judge finds inconsistent, or None, with the reason counted."""
    answer = await model.ask(
        f"Rewrite this answer so that it {_KINDS[kind]} and is wrong there, judged by the conversation. Keep the rest word for "
        f"word, hint at nothing, and say nothing else.\n\nConversation:\n{_before(seed)}\n\nAnswer:\n{seed.reply}"
    )
    variant = bare(answer)
    if same_words(variant, seed.reply):
        refuse("unchanged")
    elif not _SHORTEST <= len(variant) / len(seed.reply) <= _LONGEST:
        refuse("length_differs")
    elif await _consistent(seed, variant, model):
        refuse("still_consistent")
    else:
        return variant
    return None


async def _consistent(seed: Record, answer: str, model: Model) -> bool:
    prompt = (
        "Is everything that this answer says supported by the conversation before it? Judge facts alone, not style.\n\n"
        f"Conversation:\n{_before(seed)}\n\nAnswer:\n{answer}"
    )
    return (await model.role("judge").structured(prompt, Verdict)).consistent


def _before(seed: Record) -> str:
    """What was said before the reply."""
    return "\n\n".join(f"{message.role}: {message.text}" for message in seed.messages[:-1])
