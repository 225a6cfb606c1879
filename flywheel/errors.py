"""What a user can mend: every error here says what happened, what was available and what to do next."""


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
