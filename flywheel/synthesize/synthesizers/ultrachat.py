"""Dialogues about a topic and what belongs to it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from flywheel.plugins import Model
from flywheel.records import Message, Record, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.dialogue import repeats, seen_by_user, sounds_like_assistant
from flywheel.synthesize.reading import bare, items, same_words


@dataclass(frozen=True)
class UltraChat:
    """Find the topic of the seed's prompt, `subtopics` of it, and have the role `user` talk about each with the model.

    A child for each subtopic, with up to `turns` questions and answers; of its seed it has only the lineage. The tag
    `subtopic=` counts from 1. A follow-up that repeats an earlier question, or that an assistant rather than a user would say,
    ends the dialogue before it, and is counted as refused: `repeats_itself`, `user_sounds_like_assistant`; when it is the
    first, there is no child. `too_few_subtopics`: the model lists fewer than asked for.

    Source: Ding et al. 2023, "Enhancing chat language models by scaling high-quality instructional conversations" (UltraChat),
    section 3.
    """

    subtopics: int = 3
    turns: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.subtopics <= 50 or self.turns < 1:
            raise ValueError(f"`subtopics` is 1 to 50 and `turns` at least 1, not {self.subtopics} and {self.turns}")

    def most_questions(self, seed: Record) -> Mapping[str, int]:
        """As of `AsksAtMost`."""
        turns = self.subtopics * self.turns
        return {"generator": 2 + turns, "user": turns} if seed.prompt.strip() else {}

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if not seed.prompt.strip():
            return
        topic = bare(await model.ask(f"Name the topic of this text in at most six words, and say nothing else.\n\n{seed.prompt}"))
        listed = await model.ask(
            f"List {self.subtopics} subtopics of '{topic}' that people ask about, each of another kind. A numbered list, one "
            "short phrase a line."
        )
        chosen: list[str] = []
        for subtopic in items(listed):
            if not any(same_words(subtopic, other) for other in chosen):
                chosen.append(subtopic)
        if len(chosen) < self.subtopics:
            refuse("too_few_subtopics")
        for number, subtopic in enumerate(chosen[: self.subtopics], 1):
            if messages := await self._dialogue(topic, subtopic, model):
                yield seed.child(messages=messages, tags=(f"subtopic={number}",))

    async def _dialogue(self, topic: str, subtopic: str, model: Model) -> list[Message]:
        """Questions and answers in turn; empty where there is no first question."""
        instruction = (
            f"You are somebody with questions about {subtopic} ({topic}), who writes to an assistant. Write your next message "
            "and nothing else: a question or a task, short and natural, each time something new that follows from what was said."
        )
        messages: list[Message] = []
        for _ in range(self.turns):
            said = await unless_failed(model.role("user").ask(seen_by_user(messages, instruction, "(Write your first message.)")))
            if said is None:
                return messages
            question = text_message("user", bare(said))
            if sounds_like_assistant(question.text) or repeats(messages, question):
                refuse("repeats_itself" if repeats(messages, question) else "user_sounds_like_assistant")
                return messages
            if (answer := await unless_failed(model.ask([*messages, question]))) is None:
                return messages
            messages += [question, text_message("assistant", answer.strip())]
        return messages
