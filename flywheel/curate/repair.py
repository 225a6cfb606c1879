"""Repair of single texts: encoding, characters, whitespace and noise markup, each touching only the texts that need it."""

import functools
import re
import unicodedata
from collections.abc import Callable

import polars as pl

# Tags nested in tags (`<b<br>r>`) take a round each; whoever nests deeper does it on purpose and keeps the rest.
MOST_ROUNDS = 8

# Unicode 16, quick-check NFC "no" and "maybe": combining marks, Hangul jamo, compatibility ideographs and a few singletons.
_DECOMPOSED = (
    r"[\p{M}\u{340}\u{341}\u{374}\u{37e}\u{387}\u{958}-\u{95f}\u{9dc}\u{9dd}\u{9df}\u{a33}-\u{a5e}\u{b5c}\u{b5d}\u{f43}-\u{f69}"
    r"\u{1161}-\u{1175}\u{11a8}-\u{11c2}\u{1f71}-\u{1fff}\u{2000}\u{2001}\u{2126}\u{212a}\u{212b}\u{2329}\u{232a}\u{2adc}"
    r"\u{f900}-\u{faff}\u{fb1d}-\u{fb4e}\u{113c2}-\u{113cf}\u{16d67}\u{1d15e}-\u{1d1c0}\u{2f800}-\u{2fa1d}]"
)
_ODD = r"[\x00-\x08\x0b-\x1f\x7f]"
# Line and paragraph separators; zero-width, bidi, tag-block and other invisible characters.
_HIDDEN = (
    r"[\u{80}-\u{9f}\u{ad}\u{61c}\u{180e}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{feff}\u{fff9}-\u{fffb}"
    r"\u{e0000}-\u{e0fff}]"
)
_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_JOINERS = re.compile("[\u200c\u200d]+")
# A flag of a region (England, Texas) is a black flag, three to six tag characters and a terminator: everything else is hidden.
_TAGS = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)|[\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]+"
)
# An ideograph may carry one variation selector; runs of them smuggle bytes.
_SELECTORS = re.compile("([\u3400-\u9fff\U00020000-\U0003ffff][\U000e0100-\U000e01ef])|[\U000e0100-\U000e01ef]+")
# Scripts whose spelling uses the joiners: Arabic to N'Ko, Indic to Thaana's neighbours, Tibetan, Burmese, Khmer, Mongolian.
_JOINING = re.compile("[\u0600-\u07ff\u0840-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc]")

_INDENT_FREE = r"[^|\t\n \u{a0}][^|\t\n]*"
_UNTIDY = (
    r"^\n|^[ \t]+\n|\s$|[^ \t\n][ \t]\n|\t\n|[ \t]{3}\n|[ \t]\n[ \t]*\n|\n[ \t]+\n|\n\n\n"
    rf"|(?m:^ {{0,3}}{_INDENT_FREE}?[ \u{{a0}}]{{2,}}[^\s|])"
)
_TRAILING = re.compile(r"(?<![ \t])[ \t]+\n(?=(\S?))")
_BLANK_LINES = re.compile(r"\n{3,}")
_INNER = re.compile(r"(?<=\S)[ \xa0]{2,}(?=\S)")
_FENCED = r"(?ms)^[ \t>]*```.*?(?:^[ \t>]*```|\z)"
_STRUCTURED = r"(?s)^\s*[\[{<].*[\]}>]\s*$"
# Signs of code outside any fence. Such a text keeps its tags and its whitespace, but for its two ends.
CODE = (
    r"(?m)^\s*(?:def |class \w+[(:{]|from [\w.]+ import |import [\w.{*]|function\b|const |let \w+ ?=|var \w+ ?=|return\b.*;"
    r"|#include|public |private |protected |<\?|package |using [\w.]+;|SELECT .*FROM |fn \w+|func \w+|@\w+\s*$|\$ \w|>>> "
    r"|diff --git|[+-]{3} [ab]/)|=>|\);\s*$|[{};]\s*$|^\s*\}"
)

_ATTRIBUTES = r"""(?:\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))*\s*/?"""
_TAG = re.compile(rf"(?i)<(/?)(br|p|div|span){_ATTRIBUTES}>|&(?:nbsp|#160|#xa0);")
_BLOCK = re.compile(r"(?is)<(script|style)\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>")
NOISE = r"(?i)</?(?:br|p|div|span|script|style)[\s/>]|&(?:nbsp|#160|#xa0);"
# A conversation about markup or code, or a whole page: its tags are its content.
ABOUT_MARKUP = (
    r"(?i)\b(?:html5?|xhtml|xml|css|svg|jsx|tsx|dom|tags?|markup|markdown|javascript|typescript|react|vue|angular|svelte|php|jinja2?"
    r"|bootstrap|tailwind|jquery|selectors?|xpath|scrap(?:e|ed|ing|er)|beautifulsoup|regex|nbsp)\b[^;]"
    r"|</?(?:html|head|body|!doctype|table|t[rdh]|thead|tbody|form|input|button|select|option|label|textarea|nav|header|footer|section"
    r"|main|article|pre|code|canvas|iframe|link|meta|title|template|[a-z]+-[a-z-]+)\b"
    r"|\b(?:the|an?|is|are|does|use|using|with|of|in|inside|between|into|what|why|how)\s+</?(?:p|div|span|br)\b"
    r"|(?:`[^`\n]{0,9}|[\"'(] ?)</?(?:p|div|span|br|script|style)\b"
    r"|\{[^{}\n]*:[^{}\n]*;"
    r"|(?-i:</?[A-Z][a-z]\w+)"
)
_VERBATIM = re.compile(
    r"^[ \t>]*(?P<fence>`{3,}|~{3,})[^\n]*(?:\n.*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*$|\Z)|\Z)"
    r"|(?<!`)(?P<tick>`+)(?!`)(?:(?!\n[ \t]*\n).){1,2000}?(?<!`)(?P=tick)(?!`)|<pre\b(?:(?!<pre\b).)*?</pre>",
    re.MULTILINE | re.DOTALL,
)


def repair_characters(texts: pl.Series) -> pl.Series:
    """Texts with mojibake undone, in NFC, with `\\n` line ends and without control or invisible characters.

    Mojibake is what ftfy's own test finds, asked of every non-ASCII text by polars' regex engine; ftfy then repairs only those,
    line by line. Joiners stay in emoji sequences and in scripts that are spelled with them; regional flags stay; a soft
    hyphen, byte order mark, bidi control or tag-block character (hidden prompts) never does.

    Source:
        Speer, "ftfy", 2019 (its `badness` heuristic); Unicode Standard Annex 15 (NFC) and Technical Standard 51 (emoji).
    """
    texts = change_where(texts, texts.str.len_bytes() > texts.str.len_chars(), _repair_wide)
    return change_where(texts, texts.str.contains(_ODD), lambda some: _each(some, _drop_invisible))


def fold_whitespace(texts: pl.Series) -> pl.Series:
    """Texts without trailing blanks, runs of blank lines or runs of spaces between words.

    Fenced and inline code, `<pre>`, indented lines, lines with `|` or a tab (tables) and Markdown's hard line breaks (two
    spaces before a line end) stay. A text that is code or JSON as a whole loses only blank lines before and blanks after it.
    """
    untidy = texts.str.contains(_UNTIDY)
    if not untidy.any():
        return texts
    return change_where(texts, untidy, _fold_untidy)


def strip_markup(texts: pl.Series) -> pl.Series:
    """Texts without noise HTML: `<br>`, `<p>`, `<div>` become line ends, `<span>` nothing, `&nbsp;` a space; scripts go.

    Fenced and inline code and table rows keep theirs. Whether a tag is noise is the caller's decision (`ABOUT_MARKUP`).
    """
    return change_where(texts, texts.str.contains(NOISE), lambda some: _each(some, lambda text: _outside_code(text, _strip)))


def _repair_wide(texts: pl.Series) -> pl.Series:
    texts = change_where(texts, texts.str.contains(_badness()), _undo_mojibake)
    texts = change_where(texts, texts.str.contains(_HIDDEN), lambda some: _each(some, _drop_invisible))
    return change_where(texts, texts.str.contains(_DECOMPOSED), lambda some: some.str.normalize("NFC"))


def change_where(texts: pl.Series, flag: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Texts, with those that are flagged (null: not) changed; the same object when none is."""
    places = flag.fill_null(False).arg_true()
    if places.is_empty():
        return texts
    if len(places) == len(texts):
        return change(texts)
    some = texts.gather(places)
    changed = change(some)
    return texts if changed is some else texts.clone().scatter(places, changed)


def _fold_untidy(texts: pl.Series) -> pl.Series:
    code = texts.str.replace_all(_FENCED, "").str.contains(CODE) | texts.str.contains(_STRUCTURED)
    texts = change_where(texts, ~code, lambda some: _each(some, lambda text: _outside_code(text, _fold)))
    return _each(texts, _trim)


def _each(texts: pl.Series, change: Callable[[str], str]) -> pl.Series:
    return pl.Series(texts.name, [change(text) for text in texts.to_list()], dtype=pl.String)


@functools.cache
def _badness() -> str:
    """ftfy's pattern without the verbose flag, whose meaning inside a class differs between Python and Rust."""
    from ftfy.badness import BADNESS_RE

    pieces, inside, comment = [], False, False
    for character in BADNESS_RE.pattern:
        if comment:
            comment = character != "\n"
        elif inside or not (character.isspace() and character.isascii()):
            comment = character == "#" and not inside
            inside = character == "[" or (inside and character != "]")
            pieces.append("" if comment else character)
    return "".join(pieces)


def _undo_mojibake(texts: pl.Series) -> pl.Series:
    from ftfy import fix_encoding

    return _each(texts, lambda text: "".join(map(fix_encoding, text.splitlines(keepends=True))))


def _drop_invisible(text: str) -> str:
    text = _INVISIBLE.sub("", _BREAKS.sub("\n", text))
    text = _SELECTORS.sub(r"\1", _TAGS.sub(r"\1", text))
    return _JOINERS.sub(_joiner, text)


def _joiner(found: re.Match[str]) -> str:
    before = found.string[max(found.start() - 1, 0) : found.start()]
    after = found.string[found.end() : found.end() + 1]
    if _JOINING.match(before):
        return found[0][0]
    emoji = before and after and unicodedata.category(before) in ("So", "Sk", "Mn") and unicodedata.category(after) == "So"
    return "\u200d" if emoji and "\u200d" in found[0] else ""


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    if "`" not in text and "~~~" not in text and "<pre" not in text:
        return change(text)
    pieces, end = [], 0
    for verbatim in _VERBATIM.finditer(text):
        pieces += [change(text[end : verbatim.start()]), verbatim[0]]
        end = verbatim.end()
    return "".join([*pieces, change(text[end:])])


def _fold(text: str) -> str:
    text = _BLANK_LINES.sub("\n\n", _TRAILING.sub(_line_end, text))
    if "  " not in text and "\xa0" not in text:
        return text
    return "\n".join(map(_fold_line, text.split("\n")))


def _line_end(found: re.Match[str]) -> str:
    starts_line = found.start() == 0 or found.string[found.start() - 1] == "\n"
    return "  \n" if found[1] and not starts_line and found[0].endswith("  \n") else "\n"


def _fold_line(line: str) -> str:
    return line if "|" in line or "\t" in line or line.startswith("    ") else _INNER.sub(" ", line)


def _trim(text: str) -> str:
    return re.sub(r"\A(?:[ \t]*\n)+", "", text).rstrip()


def _strip(text: str) -> str:
    return _TAG.sub(_replacement, _BLOCK.sub("", text))


def _replacement(found: re.Match[str]) -> str:
    if found[2] is None:
        return " "
    start = found.string.rfind("\n", 0, found.start()) + 1
    end = found.string.find("\n", found.end())
    line = found.string[start : None if end < 0 else end]
    if "|" in line or line.startswith(("    ", "\t")):
        return found[0]
    return {"br": "\n", "p": "\n\n", "div": "\n", "span": ""}[found[2].lower()]
