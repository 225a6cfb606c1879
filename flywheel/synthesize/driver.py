"""Runs a synthesizer over seeds: bounded concurrency, one order, and a place for every seed and every child.

The plugin only yields children. What makes them trustworthy is done here: the split of the seeds, lineage, provenance, the
model's licence, and the rule that a seed counts as a whole: when its synthesizer or its model fails, it has no children.
"""

import asyncio
import itertools
import traceback
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec
import polars as pl

from flywheel.errors import ConfigError, FlywheelError, PluginError
from flywheel.ledger import exits, no_exits
from flywheel.plugins import Model, Synthesizer
from flywheel.progress import advance
from flywheel.records import Message, Record, digest, from_batch, to_batch
from flywheel.synthesize.asked import Questions, on_behalf_of
from flywheel.synthesize.asking import Asking
from flywheel.synthesize.cost import Cost
from flywheel.synthesize.faults import BudgetSpent, ModelFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 1_000
_CHUNK_IN_BATCHES = 20_000
_MOST_CHILDREN = 1_000
_PROVENANCE = ("plugin=", "asked=", "request=")
_TERMS = "terms="
R = TypeVar("R")


class Synthesized:
    """The children of a run, batch by batch, and what became of every seed. Iterate once; the counts grow meanwhile.

    Each seed that was read ends in one place: `made` (it has children) or `seed_exits`. Each child that was yielded, and each
    answer that its synthesizer refused, ends in a batch or in `child_exits`: `children = rows of all batches + child_exits`.
    `where` says, for each type of exception, at which seed and line of code it happened first. Both exits have the columns of
    `flywheel.ledger.EXITS`.
    """

    def __init__(self) -> None:
        self.seeds = self.made = self.children = 0
        self.cost = Cost()
        self.where: dict[str, str] = {}
        self._seed_exits = [no_exits()]
        self._child_exits = [no_exits()]
        self._batches: Iterator[pl.DataFrame] = iter(())

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return self._batches

    @property
    def seed_exits(self) -> pl.DataFrame:
        """Seeds without children. `not_train`, `no_children`, `synthesizer_failed:TYPE`, `model_failed:SLUG`, `budget_spent`."""
        return pl.concat(self._seed_exits)

    @property
    def child_exits(self) -> pl.DataFrame:
        """Children refused for what the plugin did to them, and answers that it refused itself; `into` is their seed."""
        return pl.concat(self._child_exits)

    @property
    def reasons(self) -> dict[str, int]:
        """How many seeds and children left for each reason."""
        both = pl.concat([*self._seed_exits, *self._child_exits])
        return dict(both.group_by("reason").len().sort("reason").iter_rows())


def synthesize(
    seeds: Iterable[pl.DataFrame],
    plugin: Synthesizer,
    *,
    name: str,
    model: Model | None = None,
    concurrency: int = 16,
    limit: int | None = None,
    version: str = "",
) -> Synthesized:
    """Make children of seed records. Nothing happens before the result is iterated.

    Children come in the order of their seeds, then as yielded, however the model's answers arrive. Memory is bounded by a
    thousand seeds (20,000, all in work at once, where a model answers in batches), which finish before the next are read.
    Runs event loops of its own; inside a running one it blocks it.

    Args:
        seeds: batches of records; only those with split `train` are used.
        name: the node's; children get the origin `synthetic:NAME`.
        model: what the plugin asks, or None when there is none.
        concurrency: seeds in work at once, at least 1.
        limit: how many train seeds to use at most, the first ones; later seeds are not read.
        version: of the plugin, for the children's provenance; its `repr` when empty.

    Raises, while iterating:
        ConfigError: the plugin asks a model and there is none.
        ModelUnusable: the endpoint answers nobody.
        PluginError: the plugin raised for every single seed.
    """
    result = Synthesized()
    run = _Run(plugin, name, model, max(1, concurrency), f"plugin={version or repr(plugin)}", result)
    result._batches = run.batches(_only_train(seeds, limit, result))
    return result


def _only_train(seeds: Iterable[pl.DataFrame], limit: int | None, result: Synthesized) -> Iterator[Record]:
    left = limit
    for batch in seeds:
        train = batch.filter(pl.col("split").eq_missing("train"))
        others = batch.filter(pl.col("split").ne_missing("train"))
        result.seeds += others.height
        result._seed_exits.append(exits(others["id"], "not_train"))
        train = train if left is None else train.head(left)
        left = None if left is None else left - train.height
        for part in train.iter_slices(_CHUNK):
            result.seeds += part.height
            yield from from_batch(part)
        if left == 0:
            return


@dataclass
class _Ended:
    """What one seed came to: children with their provenance, or a reason why there are none."""

    children: list[Record] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    reason: str | None = None
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class _Run:
    plugin: Synthesizer
    name: str
    model: Model | None
    concurrency: int
    plugin_tag: str
    result: Synthesized

    def batches(self, seeds: Iterator[Record]) -> Iterator[pl.DataFrame]:
        """One batch for each chunk of seeds. No event loop is left open while the caller holds a batch."""
        tried = 0
        in_batches = getattr(self.model, "in_batches", False)
        while chunk := list(itertools.islice(seeds, _CHUNK_IN_BATCHES if in_batches else _CHUNK)):
            batch = self._file(chunk, _run(self._all(chunk)))
            tried += len(chunk)
            if batch.height:
                yield batch
            advance(f"synthetic/{self.name}", tried)
        self._not_broken(tried)

    async def _all(self, seeds: Sequence[Record]) -> list[_Ended]:
        """Every seed's end, in their order. An error that concerns all of them stops the others."""
        ended = [_Ended() for _ in seeds]
        numbers = iter(range(len(seeds)))

        async def work() -> None:
            for number in numbers:
                ended[number] = await self._one(seeds[number])

        try:
            async with asyncio.TaskGroup() as group:
                in_batches = getattr(self.model, "in_batches", False)
                for _ in range(len(seeds) if in_batches else min(self.concurrency, len(seeds))):
                    group.create_task(work())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            if (close := getattr(self.model, "close", None)) is not None:
                await close()
        return ended

    async def _one(self, seed: Record) -> _Ended:
        with on_behalf_of(seed.id) as asked:
            ended = _Ended(cost=asked.cost)
            try:
                await self._children(seed, asked, ended)
            except FlywheelError:
                raise
            except ModelFailed as error:
                ended.reason = f"model_failed:{error.reason}"
            except BudgetSpent:
                ended.reason = "budget_spent"
            except Exception as error:
                ended.reason = f"synthesizer_failed:{type(error).__name__}"
                self.result.where.setdefault(type(error).__name__, f"seed {seed.id} at {_line(error)}")
        if ended.reason is not None:
            ended.children, ended.refused = [], []
        elif not ended.children:
            ended.reason = "no_children"
        return ended

    async def _children(self, seed: Record, asked: Questions, ended: _Ended) -> None:
        seen: set[str] = set()
        requests: list[str] = []
        told = 0
        stream: Any = self.plugin.synthesize(seed, self.model or _NoModel(self.name))
        async with aclosing(stream) if hasattr(stream, "aclose") else nullcontext():
            async for child in stream:
                if len(ended.children) + len(ended.refused) == _MOST_CHILDREN:
                    raise TooManyChildren
                requests, told = asked.keys[told:] or requests, len(asked.keys)
                if reason := _wrong(child, seed, seen):
                    ended.refused.append((getattr(child, "id", seed.id), reason))
                else:
                    seen.add(child.id)
                    ended.children.append(self._with_provenance(child, seed, asked, requests))
        for number, reason in enumerate(sorted(asked.refused)):
            ended.refused.append((digest(b"refused", seed.id.encode(), str(number).encode()), reason))

    def _with_provenance(self, child: Record, seed: Record, asked: Questions, requests: Sequence[str]) -> Record:
        used = sorted(asked.asked, key=lambda use: use.tag)  # not as asked: that hangs on which answer came first
        inherited = [tag for tag in child.tags if not tag.startswith(_PROVENANCE)]
        terms = [tag for tag in seed.tags if tag.startswith(_TERMS)] + [_TERMS + use.terms.value for use in used]
        licenses = [*child.licenses, *(use.license for use in used if use.license is not None)]
        uses = [*(use.tag for use in used), *(f"request={key[:32]}" for key in sorted(requests))]
        return msgspec.structs.replace(
            child,
            origin=f"synthetic:{self.name}",
            model=asked.author,
            licenses=tuple(dict.fromkeys(licenses)),
            tags=tuple(dict.fromkeys((*inherited, *terms, self.plugin_tag, *uses))),
        )

    def _file(self, seeds: Sequence[Record], ended: Sequence[_Ended]) -> pl.DataFrame:
        """The chunk's children as a batch; seeds and children that left go to the exits."""
        result = self.result
        children = [child for end in ended for child in end.children]
        left = [(seed.id, end.reason) for seed, end in zip(seeds, ended, strict=True) if end.reason is not None]
        refused = [(*pair, seed.id) for seed, end in zip(seeds, ended, strict=True) for pair in end.refused]
        for end in ended:
            result.cost.add(end.cost)
        result.made += len(seeds) - len(left)
        result.children += len(children) + len(refused)
        result._seed_exits.append(exits([seed for seed, _ in left], [reason for _, reason in left]))
        result._child_exits.append(
            exits([child for child, _, _ in refused], [reason for _, reason, _ in refused], into=[seed for *_, seed in refused])
        )
        return to_batch(children)

    def _not_broken(self, tried: int) -> None:
        broken = self.result.seed_exits.filter(pl.col("reason").str.starts_with("synthesizer_failed:")).height
        if tried and broken == tried:
            kinds = "; ".join(f"{kind}: {where}" for kind, where in sorted(self.result.where.items()))
            raise PluginError(
                f"synthesizer {self.name!r} raised for each of its {tried} seeds. {kinds}. "
                f"`flywheel plugins check` runs it on records made for that."
            )


class TooManyChildren(Exception):
    """A synthesizer yielded more than a thousand children of one seed: it would not end."""


class _NoModel(Asking):
    name = "none"

    def __init__(self, synthesizer: str) -> None:
        self._synthesizer = synthesizer

    async def next_message(self, *_: Any, **__: Any) -> Message:
        self._refuse()

    async def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":  # noqa: ARG002
        self._refuse()

    def role(self, name: str) -> "_NoModel":  # noqa: ARG002
        return self

    def _refuse(self) -> NoReturn:
        raise ConfigError(f"synthesizer {self._synthesizer!r} asks a model, and there is no [model] in the configuration")


def _run(work: Coroutine[Any, Any, R]) -> R:
    """Run to the end in an event loop of its own, which is in another thread when this one has a loop at work."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _wrong(child: Any, seed: Record, seen: set[str]) -> str | None:
    """What is wrong with a child's lineage, as a reason slug, or None."""
    if not isinstance(child, Record):
        return "not_a_record"
    depth = seed.generation + 1
    broken = {
        "parent_missing": seed.id not in child.parents,
        "wrong_generation": child.generation < depth or (len(child.parents) == 1 and child.generation != depth),
        "wrong_split": child.split != seed.split,
        "license_lost": not set(seed.licenses) <= set(child.licenses),
        "id_of_a_parent": child.id in child.parents,
        "repeated_child": child.id in seen,
    }
    return next((reason for reason, wrong in broken.items() if wrong), None)


def _line(error: Exception) -> str:
    """File and line where an exception was raised; nothing of its message, which may quote a record."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown line"
