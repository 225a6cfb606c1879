"""`[model]`: which endpoint answers, at which price, and what it may cost."""

from typing import Annotated

import msgspec
from msgspec import Meta

_Price = Annotated[float, Meta(ge=0)]
_Seconds = Annotated[float, Meta(gt=0)]


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[model]`. Any endpoint that speaks OpenAI's chat completions: `base_url`, `model`, and the key from the environment
    variable `key_env` (empty for a server that wants none).

    `concurrency` is the most requests in flight; 429s lower it for a while. One attempt may take `timeout` seconds, and one
    question with all its retries `deadline` seconds. `max_tokens` bounds an answer; `temperature` and `seed` are left to the
    server when null. Prices are dollars for a million tokens; no request is sent that could take the spending above
    `budget_dollars`. `license` is the SPDX id or the name of the terms that bind the answers; children inherit it.

    Raises:
        ValueError: a budget without a price, which could never be reached.
    """

    model: Annotated[str, Meta(min_length=1)]
    base_url: Annotated[str, Meta(pattern=r"^https?://")] = "https://api.openai.com/v1"
    key_env: str = "OPENAI_API_KEY"
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 16
    budget_dollars: Annotated[float, Meta(ge=0)] | None = None
    dollars_per_million_input: _Price = 0.0
    dollars_per_million_output: _Price = 0.0
    deadline: _Seconds = 180.0
    timeout: _Seconds = 60.0
    max_tokens: Annotated[int, Meta(ge=1)] = 2048
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: int | None = None
    license: str | None = None

    def __post_init__(self) -> None:
        if self.budget_dollars is not None and not (self.dollars_per_million_input or self.dollars_per_million_output):
            raise ValueError(
                "`budget_dollars` needs a price: set `dollars_per_million_input` and `dollars_per_million_output`, "
                "or leave the budget out for a model that costs nothing"
            )

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What these tokens cost."""
        return (prompt_tokens * self.dollars_per_million_input + completion_tokens * self.dollars_per_million_output) / 1e6
