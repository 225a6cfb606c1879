"""The sections of a report as lines for a terminal, as Markdown, and as one HTML file that needs nothing else."""

import html
import re
from collections.abc import Iterator, Sequence

from flywheel.inspect.report_duplicates import Cluster, Member, Section

_HEADER = ("record", "day", "is", "similarity", "method", "text")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; margin-bottom: 1rem } td, th { text-align: left; padding: .2rem .6rem .2rem 0;
vertical-align: top; border-bottom: 1px solid #ddd } td:first-child { font-family: monospace; word-break: break-all }
"""
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~&$])")


def as_text(sections: Sequence[Section]) -> Iterator[str]:
    """Lines for a terminal."""
    for section in sections:
        yield section.title
        yield f"  {section.summary}"
        for cluster in section.clusters:
            yield f"  {cluster.title}{_rest(cluster)}"
            for member in cluster.members:
                similarity = "" if member.similarity is None else f" {member.similarity:.2f}"
                yield f"    {member.id}  {member.day}  {member.role}{similarity} ({member.method})  {member.preview}"
        yield ""


def as_markdown(sections: Sequence[Section], *, title: str) -> str:
    """A Markdown page; nothing that a record says is read as markup."""
    lines = [f"# {_plain(title)}", ""]
    for section in sections:
        lines += [f"## {_plain(section.title)}", "", _plain(section.summary), ""]
        for cluster in section.clusters:
            lines += [f"### {_plain(cluster.title)}{_rest(cluster)}", "", _row(_HEADER), _row("---" for _ in _HEADER)]
            lines += [*(_row(map(_plain, _cells(member))) for member in cluster.members), ""]
    return "\n".join(lines)


def as_html(sections: Sequence[Section], *, title: str) -> str:
    """An HTML page; nothing that a record says is read as markup."""
    parts = [f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>{html.escape(title)}</h1>")
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2><p>{html.escape(section.summary)}</p>")
        for cluster in section.clusters:
            head = "".join(f"<th>{name}" for name in _HEADER)
            body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in _cells(one)) for one in cluster.members)
            parts.append(f"<h3>{html.escape(cluster.title + _rest(cluster))}</h3><table><tr>{head}{body}</table>")
    return "\n".join(parts) + "\n"


def _cells(member: Member) -> tuple[str, ...]:
    similarity = "" if member.similarity is None else f"{member.similarity:.3f}"
    return member.id, member.day, member.role, similarity, member.method, member.preview


def _rest(cluster: Cluster) -> str:
    more = cluster.size - len(cluster.members)
    return f" ({more:,} not shown)" if more > 0 else ""


def _row(cells: "Iterator[str] | Sequence[str]") -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)
