"""How a question to a model ends when it is not answered."""

from flywheel.errors import FlywheelError


class ModelFailed(Exception):
    """One question got no usable answer; the others may. A synthesizer may catch it; else its seed has no children.

    `reason` is a slug that is counted. After all retries: `rate_limited`, `server_error`, `connection`, `timeout`, `not_json`
    (an HTML page, a cut body), `not_a_completion`, `empty_choices`, `null_content`, `unfinished` (no finish reason). At once,
    because asking again would buy the same: `length`, `content_filter`, `refusal`, `empty_content`, `http_400` and the
    like, with the server's code (`http_400:unsupported_parameter`).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BudgetSpent(Exception):
    """The next request could cost more than is left of `[model] budget_dollars`. Cached answers stay available."""


class ModelUnusable(FlywheelError):
    """The endpoint answers nobody: wrong key or model, no quota, or it is down. Answers bought so far are in the cache."""
