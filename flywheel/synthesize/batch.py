"""Questions through a provider's batch API: uploaded as one file, answered within a day, at a lower price.

Which question is in which batch is written down before anything is sent, so that a run that is killed in between finds its
batch again and pays for nothing twice. Source: https://platform.openai.com/docs/guides/batch (limits and shapes of files).
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec

from flywheel.synthesize.cache import Answers
from flywheel.synthesize.completion import Answer, Billed, Fault, read, refused
from flywheel.synthesize.endpoint import Endpoint
from flywheel.synthesize.faults import BudgetSpent

_MOST_QUESTIONS = 50_000
_MOST_BYTES = 190_000_000
_LULL = 1.0  # seconds without a new question, after which those that wait are sent
_TRIES = 3
_PATIENCE = 20  # failures in a row until the provider is taken to be down
_ENDED = ("completed", "failed", "expired", "cancelled")
_PAGES = 20
_TRANSFER = 600.0  # seconds for a file
_TABLES = """
CREATE TABLE IF NOT EXISTS batches (name TEXT PRIMARY KEY, id TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batched (key TEXT PRIMARY KEY, batch TEXT NOT NULL) WITHOUT ROWID;
"""
T = TypeVar("T")
Result = Answer | Fault


@dataclass(frozen=True)
class _Question:
    key: str
    request: dict[str, Any]
    most: float
    result: "asyncio.Future[Result]"

    @property
    def line(self) -> bytes:
        body = {"custom_id": self.key, "method": "POST", "url": "/v1/chat/completions", "body": self.request}
        return msgspec.json.encode(body) + b"\n"


class Batches:
    """Gathers questions until none has come for a second, and sends them together. For one event loop at a time.

    The provider keeps the files as long as its own rules say: erasing a record does not reach them.
    """

    def __init__(self, endpoint: Endpoint, answers: Answers) -> None:
        self._endpoint = endpoint
        self._answers = answers
        self._waiting: list[_Question] = []
        self._gathering: asyncio.Task[None] | None = None
        self._at_work: set[asyncio.Task[None]] = set()
        answers.connection.executescript(_TABLES)

    async def final(self, key: str, request: dict[str, Any], most: float) -> tuple[Result, float]:  # noqa: RET503
        """The final result of a question and the dollars paid for it, as `Endpoint.final`; questions lost are sent again.

        Args:
            key: the answer's key in the cache: the question's name in the files.
            most: dollars that it can cost at most at the ordinary price.
        """
        price = self._endpoint.settings.batch_price
        reason = "batch_lost"
        for _ in range(_TRIES):
            self._endpoint.check_usable()
            question = _Question(key, request, most * price, asyncio.Future())
            self._waiting.append(question)
            if self._gathering is None or self._gathering.done():
                self._gathering = asyncio.create_task(self._gather())
            result = await question.result
            cost, spent = self._endpoint.bill(result, question.most, price=price)
            self._endpoint.purse.settle(_aside(key), question.most, spent)
            self._endpoint.count(cost)
            if not isinstance(result, Fault) or not result.again:
                return self._endpoint.ended(result), spent
            self.forget(key)
            reason = result.reason
        self._endpoint.give_up(reason)

    def forget(self, key: str) -> None:
        """The question's result is in the cache, or worth nothing: its batch is not looked at again for it."""
        with self._answers.connection as connection:
            connection.execute("DELETE FROM batched WHERE key = ?", (key,))
            connection.execute("DELETE FROM batches WHERE name NOT IN (SELECT batch FROM batched)")

    async def _gather(self) -> None:
        """Start a batch whenever the questions stop coming, until there are none."""
        while self._waiting:
            count = 0
            while count < len(self._waiting) < _MOST_QUESTIONS:
                count = len(self._waiting)
                await asyncio.sleep(min(_LULL, self._endpoint.settings.batch_poll))
            questions, self._waiting = self._waiting, []
            for name, own in self._by_batch(questions).items():
                for part in [own] if name else _parts(own):
                    task = asyncio.create_task(self._told(name, part))
                    self._at_work.add(task)
                    task.add_done_callback(self._at_work.discard)

    def _by_batch(self, questions: Sequence[_Question]) -> dict[str | None, list[_Question]]:
        """The questions by the batch that an earlier run put them in; None for new ones."""
        found: dict[str | None, list[_Question]] = {}
        for question in questions:
            row = self._answers.connection.execute("SELECT batch FROM batched WHERE key = ?", (question.key,)).fetchone()
            found.setdefault(row[0] if row else None, []).append(question)
        return found

    async def _told(self, name: str | None, questions: Sequence[_Question]) -> None:
        """Every question ends with a result or with the error that concerns them all."""
        try:
            await self._through(name, questions)
        except BaseException as error:
            for question in questions:
                if not question.result.done():
                    question.result.set_exception(error) if isinstance(error, Exception) else question.result.cancel()
            if not isinstance(error, Exception):
                raise

    async def _through(self, name: str | None, questions: Sequence[_Question]) -> None:
        known = name is not None
        if name is None:
            questions = self._affordable(questions)
            if not questions:
                return
            name = self._written_down(questions)
        batch = await self._ended(await self._submitted(name, questions, known=known))
        results = await self._results(batch)
        lost = Fault(reason="batch_lost", again=True, billed=Billed.MAYBE if batch.status == "completed" else Billed.NO)
        for question in questions:
            line = results.get(question.key)
            question.result.set_result(line.result("tools" in question.request) if line else _failed(batch) or lost)

    def _affordable(self, questions: Sequence[_Question]) -> list[_Question]:
        """The first ones that the budget allows; the others end here."""
        taken = []
        for number, question in enumerate(questions):
            if not self._endpoint.purse.try_to_put_aside(_aside(question.key), question.most):
                for each in questions[number:]:
                    each.result.set_exception(BudgetSpent("the next question of the batch could exceed the budget"))
                break
            taken.append(question)
        return taken

    def _written_down(self, questions: Sequence[_Question]) -> str:
        name = uuid.uuid4().hex
        with self._answers.connection as connection:
            connection.execute("INSERT INTO batches VALUES (?, NULL)", (name,))
            connection.executemany(
                "INSERT OR REPLACE INTO batched VALUES (?, ?)", ((question.key, name) for question in questions)
            )
        return name

    async def _submitted(self, name: str, questions: Sequence[_Question], *, known: bool) -> str:
        """The provider's id of a batch: written down, found by its name there, or new."""
        (written,) = self._answers.connection.execute("SELECT id FROM batches WHERE name = ?", (name,)).fetchone()
        if written is not None:
            return str(written)
        client = self._endpoint.client
        maybe_there = known
        file_id: str | None = None

        async def submit() -> str:
            nonlocal file_id, maybe_there
            if maybe_there and (there := await self._there(name)) is not None:
                return there
            maybe_there = True
            if file_id is None:
                lines = b"".join(question.line for question in questions)
                file_id = (await client.files.create(file=(f"{name}.jsonl", lines), purpose="batch")).id
            made = await client.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"flywheel": name},
            )
            return made.id

        batch_id = await self._patiently(submit)
        with self._answers.connection as connection:
            connection.execute("UPDATE batches SET id = ? WHERE name = ?", (batch_id, name))
        return batch_id

    async def _there(self, name: str) -> str | None:
        """The id of the batch that bears this name, when the provider has it: the answer to its making may have been lost."""
        page = await self._endpoint.client.batches.list(limit=100)
        for _ in range(_PAGES):
            if found := next((batch.id for batch in page.data if (batch.metadata or {}).get("flywheel") == name), None):
                return found
            if not page.has_next_page():
                return None
            page = await page.get_next_page()
        return None

    async def _ended(self, batch_id: str) -> Any:
        while True:
            batch = await self._patiently(partial(self._endpoint.client.batches.retrieve, batch_id))
            if batch.status in _ENDED:
                return batch
            await asyncio.sleep(self._endpoint.settings.batch_poll)

    async def _results(self, batch: Any) -> "dict[str, _Line]":
        """For each question that one of the batch's two files speaks of, its first line."""
        found: dict[str, _Line] = {}
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            content = await self._patiently(partial(self._endpoint.client.files.content, file_id))
            for line in _lines(content.content):
                found.setdefault(line.custom_id, line)
        return found

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:  # noqa: RET503
        """The result of a call that is tried again while the provider is away; what it refuses stops everything."""
        import openai

        for _ in range(_PATIENCE):
            try:
                async with asyncio.timeout(max(_TRANSFER, self._endpoint.settings.timeout)):
                    return await call()
            except openai.APIStatusError as error:
                fault = refused(error.status_code, error.response.headers, error.code)
                if not fault.again:
                    self._endpoint.stop(f"refuses a batch ({fault.reason}). Set `batch = false` if it has no batch API.")
            except (openai.APIError, TimeoutError, ValueError):  # ValueError: a body that is no JSON
                pass
            await asyncio.sleep(self._endpoint.settings.batch_poll)
        self._endpoint.stop(f"did not answer {_PATIENCE} times in a row. Batches that were sent are found again by the next run.")


class _Error(msgspec.Struct):
    code: str | None = None


class _Refusal(msgspec.Struct):
    error: _Error | None = None


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None

    def result(self, tools: bool) -> Result:
        if self.response is None:
            code = (self.error and self.error.code) or "batch_error"
            return Fault(reason=code, again=True)
        if self.response.status_code == 200:
            return read(bytes(self.response.body), tools=tools)
        try:
            error = msgspec.json.decode(self.response.body, type=_Refusal).error
        except msgspec.DecodeError:
            error = None
        return msgspec.structs.replace(refused(self.response.status_code, {}, error.code if error else None), fatal=False)


def _lines(body: bytes) -> Iterator[_Line]:
    """The lines that are whole; the questions of others count as lost."""
    for line in body.splitlines():
        try:
            yield msgspec.json.decode(line, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue


def _failed(batch: Any) -> Fault | None:
    """A batch that the provider did not accept; asking again would end the same."""
    if batch.status != "failed":
        return None
    errors = batch.errors.data if batch.errors else None
    return Fault(reason=f"batch_failed:{errors[0].code}" if errors else "batch_failed")


def _aside(key: str) -> str:
    return f"batch:{key}"


def _parts(questions: Sequence[_Question]) -> Iterator[list[_Question]]:
    """As many files as the provider's limits ask for."""
    part: list[_Question] = []
    size = 0
    for question in questions:
        length = len(question.line)
        if part and (len(part) == _MOST_QUESTIONS or size + length > _MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(question)
        size += length
    yield part
