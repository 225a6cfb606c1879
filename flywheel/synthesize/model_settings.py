"""`[model]`: which endpoint answers, at which price, and what it may cost."""

from enum import Enum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Price = Annotated[float, Meta(ge=0)]
_Seconds = Annotated[float, Meta(gt=0)]


class Terms(Enum):
    """What the terms of a model say about training another one on its answers."""

    ALLOWED = "allowed"
    NON_COMPETING = "non-competing"
    FORBIDDEN = "forbidden"
    UNSTATED = "unstated"


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[model]`. Any endpoint that speaks OpenAI's chat completions: `base_url`, `model`, and the key from the environment
    variable `key_env` (empty for a server that wants none).

    `concurrency` is the most requests in flight; 429s lower it for a while. One attempt may take `timeout` seconds, and one
    question with all its retries `deadline` seconds. `max_tokens` bounds an answer; `temperature` and `seed` are left to the
    server when null. Prices are dollars for a million tokens; no request is sent that could take the spending above
    `budget_dollars`, counting all that the project has spent in all its runs and with all its models.

    `license` is the SPDX id or the name of the terms that bind the answers; children inherit it. `outputs_may_train` is what
    those terms say about training a model on the answers: true, false, or `"non-competing"`. Rows made with a model whose
    terms do not allow it, or are not stated, keep a set from being built unless `[policy] model_terms` accepts them.

    `batch` sends questions through the provider's batch API (files and batches, as OpenAI's): cheaper, within a day. A batched
    token costs `batch_price` of the other price; `batch_poll` seconds pass between two looks at a batch.

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
    outputs_may_train: bool | Literal["non-competing"] | None = None
    batch: bool = False
    batch_price: Annotated[float, Meta(ge=0, le=1)] = 0.5
    batch_poll: _Seconds = 30.0

    def __post_init__(self) -> None:
        if self.budget_dollars is not None and not (self.dollars_per_million_input or self.dollars_per_million_output):
            raise ValueError(
                "`budget_dollars` needs a price: set `dollars_per_million_input` and `dollars_per_million_output`, "
                "or leave the budget out for a model that costs nothing"
            )

    @property
    def terms(self) -> Terms:
        """What `outputs_may_train` means."""
        if self.outputs_may_train is None:
            return Terms.UNSTATED
        if self.outputs_may_train == "non-competing":
            return Terms.NON_COMPETING
        return Terms.ALLOWED if self.outputs_may_train else Terms.FORBIDDEN

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What these tokens cost."""
        return (prompt_tokens * self.dollars_per_million_input + completion_tokens * self.dollars_per_million_output) / 1e6
