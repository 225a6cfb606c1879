"""The same question in other words."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from flywheel.plugins import Model
from flywheel.records import Record


@dataclass(frozen=True)
class Paraphrase:
    """Ask the same thing in other words and keep the answer. One question to the model for each tone.

    A paraphrase that comes back unchanged is left out. Source: Yu et al. 2023 (MetaMath), section 3, rephrasing.
    """

    tones: tuple[str, ...] = ("formal", "hurried")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if not seed.prompt.strip():
            return
        for tone in self.tones:
            task = f"Rewrite this request in a {tone} tone. Keep every fact. Answer with the rewritten request only."
            answer = await model.ask(f"{task}\n\n{seed.prompt}")
            if (prompt := answer.strip()) != seed.prompt.strip():
                yield seed.child(prompt=prompt, tags=(f"tone={tone}",))
