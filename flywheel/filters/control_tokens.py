"""Does a user or a tool speak in a chat template's own marks?"""

from dataclasses import dataclass

import polars as pl

# Names of the templates that use them; `special` marks are single tokens, the others plain text that old templates rely on.
_MARKS = {
    "chatml": r"<\|(?:im_start|im_end|im_sep|endoftext|fim_prefix|fim_middle|fim_suffix|endofprompt)\|>",
    "llama2": r"\[/?INST\]|<</?SYS>>",
    "llama3": r"<\|(?:begin_of_text|end_of_text|start_header_id|end_header_id|eot_id|eom_id|python_tag|finetune_right_pad_id)\|>"
    r"|<\|(?:header_start|header_end|eot|eom)\|>",
    # Unpaired only: a paired <s>…</s> is HTML for struck-out text.
    "sentencepiece": r"(?m:^(?:[^<\n]|<[^s\n])*</s>)|(?m:<s>[^<\n]*$)|</s>\s*<s>|<s>\s*\[INST\]",
    "gemma": r"<(?:start|end)_of_turn>|<(?:bos|eos)>",
    "mistral": r"\[/?(?:AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT|TOOL_CALLS|TOOL_CONTENT|IMG)\]",
    "deepseek": r"<[｜|](?:begin▁of▁sentence|end▁of▁sentence|User|Assistant|tool▁[\w▁]+|fim▁\w+|EOT)[｜|]>",
    "phi": r"<\|(?:system|user|assistant|end|tool|endofturn)\|>",
    "command_r": r"<\|(?:START_OF_TURN_TOKEN|END_OF_TURN_TOKEN|SYSTEM_TOKEN|USER_TOKEN|CHATBOT_TOKEN|START_\w+|END_\w+)\|>"
    r"|<BOS_TOKEN>",
    "harmony": r"<\|(?:start|message|channel|constrain|return|call)\|>",
    "alpaca": r"(?m:^### ?(?:Instruction|Input|Response):[ \t]*$)",
    "human": r"\n\n(?:Human|Assistant): ",
}


@dataclass(frozen=True)
class ControlTokens:
    """Drop conversations in which a user or a tool wrote control tokens of a chat template.

    Templates render them as they are, so such a text opens a turn of its own in the training data: a prompt injection.
    `templates` names the families looked for. Text that explains templates is dropped as well. A mark that is split by an
    invisible character is found after `cleaned` has removed that. Assistants' and system texts are not searched.

    Source: the special tokens of the published tokenizers of each family.
    """

    templates: tuple[str, ...] = tuple(_MARKS)
    maximum: int = 0

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.templates) - set(_MARKS)):
            raise ValueError(f"unknown template {unknown[0]!r}; known: {', '.join(_MARKS)}")

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Control strings in the texts of users and tools: 0 or more."""
        pattern = "|".join(f"(?:{_MARKS[name]})" for name in self.templates) or r"[^\s\S]"
        texts = (
            records.lazy()
            .select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), "messages")
            .explode("messages", empty_as_null=False, keep_nulls=False)
            .select("row", pl.col("messages").struct.field("role", "content"))
            .filter(pl.col("role").is_in(["user", "tool"]))
            .explode("content", empty_as_null=False, keep_nulls=False)
            .select("row", found=pl.col("content").struct.field("text").str.count_matches(pattern))
            .group_by("row")
            .agg(pl.col("found").sum())
        )
        rows = pl.LazyFrame({"row": pl.int_range(records.height, dtype=pl.UInt32, eager=True)})
        joined = rows.join(texts, on="row", how="left", maintain_order="left")
        return joined.select(pl.col("found").fill_null(0)).collect().to_series()

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum
