"""What a synthetic record must be before anything is made of it: whole, callable, new, and of a sane length."""

import unicodedata
from collections.abc import Callable, Iterable

import msgspec
import polars as pl

from flywheel.ledger import Outcome, exits
from flywheel.records import Message, Record, digest, from_batch


def verify(
    children: pl.DataFrame,
    seeds: pl.DataFrame,
    *,
    shortest: int = 1,
    longest: int = 100_000,
    seen: dict[str, str] | None = None,
) -> Outcome:
    """Keep the children that pass every rule that holds for any technique; the others leave with the first that they break.

    `no_messages`; `no_reply`: the last message is not the assistant's, or says and calls nothing; `no_prompt`: no user said
    anything; `length`: the whole text is shorter or longer than the limits; `bad_tool_arguments`: a call's arguments are no
    JSON object; `undeclared_tool`: a call of a tool that is not on offer; `no_seed`: none of its parents is in `seeds`;
    `same_as_seed`, `duplicate`: the same conversation as a parent, or as an earlier child (`into`). Two conversations are the
    same when their messages are, after Unicode normalisation (NFKC) and with runs of white space as one; case and punctuation
    count, because some techniques change nothing else. A child with other candidates than its parent is not the same.

    Args:
        children: records, in the order in which an earlier one of two equals is kept.
        seeds: records that hold the children's parents; others do no harm.
        shortest: characters, at least.
        longest: characters, at most.
        seen: conversations kept before, for calls batch by batch: give the same empty dict to each (150 bytes a child).

    Returns:
        The children kept, in order, and one exit for each of the others.
    """
    seen = {} if seen is None else seen
    parents = {seed.id: {_conversation(seed.messages), _with_candidates(seed)} for seed in from_batch(seeds)}
    keep: list[bool] = []
    left: list[tuple[str, str, str | None]] = []
    for child in from_batch(children):
        reason, into = _malformed(child, shortest, longest), None
        if reason is None:
            said = _with_candidates(child)
            reason, into = _known(child, said, parents, seen)
            if reason is None:
                seen[said] = child.id
        keep.append(reason is None)
        if reason is not None:
            left.append((child.id, reason, into))
    ids, reasons, intos = zip(*left, strict=True) if left else ((), (), ())
    return Outcome(children.filter(pl.Series(keep, dtype=pl.Boolean)), exits(ids, reasons, into=intos))


def _malformed(child: Record, shortest: int, longest: int) -> str | None:
    rules: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("no_messages", lambda: not child.messages),
        ("no_reply", lambda: not _answers(child.messages[-1])),
        ("no_prompt", lambda: not any(m.role == "user" and _says(m) for m in child.messages)),
        ("length", lambda: not shortest <= len(child.text) <= longest),
        ("bad_tool_arguments", lambda: not all(_is_object(call.arguments) for m in child.messages for call in m.tool_calls)),
        ("undeclared_tool", lambda: not _called(child.messages) <= _declared(child.tools)),
    )
    return next((reason for reason, broken in rules if broken()), None)


def _known(child: Record, said: str, parents: dict[str, set[str]], seen: dict[str, str]) -> tuple[str | None, str | None]:
    """Whether the conversation exists already: the reason, and which record it repeats."""
    if not any(parent in parents for parent in child.parents):
        return "no_seed", None
    if same := next((parent for parent in child.parents if said in parents.get(parent, ())), None):
        return "same_as_seed", same
    return ("duplicate", seen[said]) if said in seen else (None, None)


def _says(message: Message) -> bool:
    """Whether there is anything: words, or a part that is not text."""
    return any(part.type not in ("text", "refusal") or (part.text or "").strip() for part in message.content)


def _answers(message: Message) -> bool:
    return message.role == "assistant" and (_says(message) or bool(message.tool_calls))


def _is_object(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments, type=dict)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def _called(messages: Iterable[Message]) -> set[str]:
    return {call.name for message in messages for call in message.tool_calls}


class _Tool(msgspec.Struct):
    name: str


def _declared(tools: Iterable[str]) -> set[str]:
    names = set()
    for tool in tools:
        try:
            names.add(msgspec.json.decode(tool, type=_Tool).name)
        except msgspec.DecodeError:
            continue
    return names


def _with_candidates(record: Record) -> str:
    """A digest of a conversation with the other answers to it, where there are any."""
    others = [message for one in record.candidates for message in (Message(role="candidate"), *one.messages)]
    return _conversation([*record.messages, *others])


def _conversation(messages: Iterable[Message]) -> str:
    """A digest of what is thought, said and called, white space and Unicode forms of what is said aside."""
    parts: list[str] = []
    for message in messages:
        said = [" ".join(unicodedata.normalize("NFKC", part.text or part.url or "").split()) for part in message.content]
        called = [f"{call.name}({call.arguments})" for call in message.tool_calls]
        thought = f"thought {message.reasoning}" if message.reasoning else ""
        parts += [message.role, *filter(None, (*said, thought)), *called, ""]
    return digest(*(part.encode("utf-8", "surrogatepass") for part in parts))
