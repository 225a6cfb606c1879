"""Open-Assistant conversation trees, as nested trees or as root messages with their replies.

Source: LAION-AI/Open-Assistant at f1e6ed9, `model/model_eval/manual/data` (`ExportMessageTree`, `ExportMessageNode`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Candidate, Feedback, Message, Record, text_message
from flywheel.sources.values import first, has_keys, items, json_text, mapping, moment, scalar, string

__all__ = ["Oasst"]


@dataclass(frozen=True)
class Oasst:
    """One record for each way from the root to a last assistant reply.

    Where several assistants answered the same prompt, each answer that ends its way would be a record of its own;
    instead the best-ranked of these is the reply and the others are its candidates, best first. An answer after which an
    assistant spoke again is part of a longer way. Deleted messages, and whatever follows them, are left out.
    """

    specificity: ClassVar[int] = 50

    def sniff(self, head: bytes) -> bool:
        """A tree, or messages with replies."""
        return has_keys(head, "message_tree_id") or has_keys(head, "message_id", "replies")

    def parse(self, entry: Any) -> Iterator[Record]:
        """The tree's records, best-ranked branches first.

        Raises:
            Rejected: `unmapped`; `no_response` where no assistant answered.
        """
        tree = mapping(entry)
        root = mapping(tree.get("prompt")) or tree
        if not isinstance(root.get("text"), str) or not isinstance(root.get("replies"), list):
            raise Rejected("unmapped")
        found = False
        for record in _walk(root, string(first(tree, "message_tree_id", "message_id"))):
            found = True
            yield record
        if not found:
            raise Rejected("no_response")


def _walk(root: dict[str, Any], session: str | None) -> Iterator[Record]:
    """Depth first without recursion: a hostile tree may be deeper than Python's stack."""
    pending: list[tuple[dict[str, Any], tuple[Message, ...]]] = [(root, ())]
    while pending:
        node, before = pending.pop()
        turns = (*before, text_message(_role(node), string(node.get("text"))))
        replies = sorted((mapping(reply) for reply in items(node.get("replies"))), key=_rank)
        replies = [reply for reply in replies if string(reply.get("text")) and reply.get("deleted") is not True]
        last = [reply for reply in replies if _role(reply) == "assistant" and not _goes_on(reply)]
        if last and turns[-1].role == "user":
            yield _record(last, turns, session)
            replies = [reply for reply in replies if not any(reply is end for end in last)]
        pending += [(reply, turns) for reply in reversed(replies)]


def _goes_on(reply: dict[str, Any]) -> bool:
    """Whether an assistant spoke again after this reply; a user's words that nobody answered do not count."""
    below = [mapping(one) for one in items(reply.get("replies"))]
    while below:
        node = below.pop()
        if string(node.get("text")) and node.get("deleted") is not True:
            if _role(node) == "assistant":
                return True
            below += [mapping(one) for one in items(node.get("replies"))]
    return False


def _role(node: dict[str, Any]) -> str:
    return "assistant" if node.get("role") == "assistant" else "user"


def _rank(reply: dict[str, Any]) -> tuple[bool, float]:
    """Ranked replies first, rank 0 the best."""
    rank = reply.get("rank")
    ranked = isinstance(rank, int | float) and not isinstance(rank, bool)
    return (not ranked, rank if ranked and rank is not None else 0)


def _record(replies: list[dict[str, Any]], turns: tuple[Message, ...], session: str | None) -> Record:
    best, *others = replies
    rank = scalar(best.get("rank"))
    labels = (f"{key}={text}" for key in ("lang", "synthetic") if (text := scalar(best.get(key))))
    return Record(
        id=string(best.get("message_id")) or "",
        created_at=moment(best.get("created_date")),
        session=session,
        user=string(best.get("user_id")),
        model=string(best.get("model_name")),
        messages=(*turns, text_message("assistant", best["text"])),
        candidates=tuple(
            Candidate(id=string(other.get("message_id")), messages=(text_message("assistant", other["text"]),))
            for other in others
        ),
        feedback=(Feedback(name="rank", value=json_text(rank), by="human"),) if rank is not None else (),
        tags=tuple(labels),
    )
