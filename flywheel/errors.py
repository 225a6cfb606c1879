"""What a user can mend: every error here says what happened, what was available and what to do next."""

import re

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")


class FlywheelError(Exception):
    """A mistake in the project, its configuration or its plugins; the command line prints it without a traceback.

    Messages name keys, files and record ids, never the text of a record: it may be personal.
    """


class ConfigError(FlywheelError):
    """`flywheel.toml` is missing or wrong; the message names the file and the key."""


class PluginError(FlywheelError):
    """A plugin is unknown, ambiguous, broken or wrongly configured."""


class Rejected(ValueError):
    """Raised by a source's `parse` for an entry that is no conversation.

    `reason` is a slug that is counted (`http_error`, `no_messages`); it must never hold the entry's text.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def slug(self) -> str:
        """The reason; `invalid_reason` where it is no slug, because then it could be the entry's text."""
        return self.reason if _SLUG.fullmatch(self.reason) else "invalid_reason"


_OF_THE_MACHINE = {
    "No space left on device": "No space left on device",
    "database or disk is full": "No space left on device",  # as SQLite says it
    "disk I/O error": "Disk I/O error, as on a full disk",  # SQLite's too, when it cannot even start
    "Disk quota exceeded": "Disk quota exceeded",
    "Read-only file system": "Read-only file system",
    "Permission denied": "Permission denied",
    "Too many open files": "Too many open files",
}


def machine_trouble(error: BaseException) -> str | None:
    """What the operating system complained of, in fixed words that cannot quote a record; None for any other error."""
    said = str(error)
    return next((words for sign, words in _OF_THE_MACHINE.items() if sign in said), None)
