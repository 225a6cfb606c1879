"""Does a conversation hold text that says whose it is?"""

import re
from dataclasses import dataclass

import polars as pl

from flywheel.sections import PERMISSIVE

_YEAR = r"(?:19|20)\d\d"
_NOTICES = (
    rf"(?:©|\(c\)|&copy;|\bcopyright\b)[\s,:©()c]{{0,12}}{_YEAR}",
    rf"©\s*\p{{Lu}}|{_YEAR}\s*©",
    r"\bcopyright\s*(?:©|\(c\))",
    r"\ball\s+rights\s+reserved\b|\balle\s+rechte\s+vorbehalten\b|\btous\s+droits\s+réservés\b|\btodos\s+los\s+derechos\s+reservados\b",
    r"\b(?:reproduced|reprinted|used) (?:with|by) (?:the )?(?:kind )?permission of\b",
    r"\bno part of this (?:book|publication|work) may be reproduced\b",
)
_HEADERS = {
    "Apache-2.0": r"licensed under the apache license,? version 2\.0",
    "MIT": r"permission is hereby granted, free of charge, to any person obtaining a copy",
    "BSD-3-Clause": r"redistribution and use in source and binary forms, with or without",
    "MPL-2.0": r"subject to the terms of the mozilla public\s+license,? v(?:ersion|\.)?\s*2\.0",
    "GPL-3.0-or-later": r"under the terms of the gnu general public license",
    "LGPL-3.0-or-later": r"under the terms of the gnu (?:lesser|library) general public license",
    "AGPL-3.0-or-later": r"under the terms of the gnu affero general public license",
    "LicenseRef-proprietary": r"\b(?:proprietary and confidential|unauthorized copying of this file)\b",
}
_SPDX = re.compile(r"SPDX-License-Identifier:\s*\(?\s*([A-Za-z0-9.+-]+)((?:\s+(?:OR|AND|WITH)\s+[A-Za-z0-9.+-]+)*)")
_QUOTED = r"“([^”]{40,})”|„([^“]{40,})“|«([^»]{40,})»|\"([^\"\n]{40,})\""
_QUOTED_BLOCK = r"(?m)(?:^[ \t]*>[^\n]*\n?){2,}"


@dataclass(frozen=True)
class CopyrightNotice:
    """Flag conversations that hold a copyright notice: ©, "Copyright 2019", "All rights reserved", in four languages.

    A notice says that somebody claims the text around it, and nothing of whether it may be used; most protected text carries
    none, and a question about copyright that spells a notice out is flagged too. It cannot be masked: taking a notice off a
    text does not free the text. `maximum` notices pass.
    """

    maximum: int = 0

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Notices in the conversation: 0 or more."""
        return records["text"].str.count_matches(f"(?i:{'|'.join(_NOTICES[:1] + _NOTICES[2:])})|{_NOTICES[1]}")

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum


@dataclass(frozen=True)
class LicenseHeader:
    """Flag conversations with code under a licence that is not in `allow`, as its header states: SPDX, or the usual words.

    Code without a header is not found, whatever its licence, and a header's `OR` is taken at its word: one allowed licence is
    enough. `allow` are SPDX ids, by default the permissive ones that `[policy] licenses` has too; an id that is unknown counts
    as not allowed. The versions of the GNU licences are not told apart where only their usual words are there.

    Source: SPDX specification 2.3, annex E (short-form identifiers).
    """

    allow: tuple[str, ...] = PERMISSIVE

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Headers of licences that are not allowed: 0 or more."""
        words = [pattern for name, pattern in _HEADERS.items() if name not in self.allow]
        phrases = records["text"].str.count_matches(f"(?i:{'|'.join(words)})" if words else r"[^\s\S]")
        tags = [
            sum(not self._allows(found) for found in _SPDX.finditer(text)) if "SPDX" in text else 0 for text in records["text"]
        ]
        return phrases + pl.Series(tags, dtype=pl.UInt32)

    def keep(self, score: pl.Series) -> pl.Series:
        return score == 0

    def _allows(self, header: re.Match[str]) -> bool:
        names = [header[1], *re.findall(r"(?:OR|AND)\s+(\S+)", header[2])]
        allowed = {name.casefold() for name in self.allow}
        enough = any if " OR " in header[2] else all
        return enough(name.casefold() in allowed for name in names)


@dataclass(frozen=True)
class LongQuotation:
    """Flag conversations whose reply quotes more than `maximum` words in one piece, in quotation marks or as a `>` block.

    It measures length and nothing else: whose text it is, and whether quoting it is allowed, is not known, and a text that is
    repeated without quotation marks is not found. The default of 100 words is a choice, not a legal limit.
    """

    maximum: int = 100

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Words of the longest quotation in the reply: 0 or more; in quotation marks, pieces of under 40 characters are none."""
        quoted = records["reply"].str.extract_all(_QUOTED)
        blocks = records["reply"].str.extract_all(_QUOTED_BLOCK)
        words = pl.element().str.replace_all(r"(?m)^[ \t]*>", " ").str.count_matches(r"[\p{L}\p{N}]\S*").max()
        longest = [found.list.eval(words).list.first().fill_null(0).alias(name) for found, name in ((quoted, "a"), (blocks, "b"))]
        return pl.DataFrame(longest).select(pl.max_horizontal("a", "b")).to_series()

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum
