"""How many questions a second the client asks, beside `asyncio.gather` over the openai package alone, in one run.

The server is a process of its own on loopback and answers after a fixed delay. Both sides ask the same prompts with as many
requests in flight, and take turns. Ours also reads and writes its cache, keeps the accounts and checks every answer.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from flywheel.synthesize.cache import Answers
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.model_settings import ModelSettings

SERVER = """
import sys, time
from flywheel_tests.synthesize.scripted_server import ScriptedServer, completion
with ScriptedServer(lambda _: completion("An answer of some length. " * 20), delay=float(sys.argv[1])) as server:
    print(server.url, flush=True)
    time.sleep(3600)
"""


class Speed(NamedTuple):
    """Questions a second of wall time, and CPU seconds for a thousand questions."""

    a_second: float
    cpu: float


def measure(ask_all: Callable[[], Awaitable[None]], questions: int) -> Speed:
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(ask_all())  # type: ignore[arg-type]
    return Speed(questions / (time.perf_counter() - wall), (time.process_time() - cpu) * 1000 / questions)


def plain(url: str, prompts: list[str], concurrency: int) -> Callable[[], Awaitable[None]]:
    """The openai client and a semaphore."""

    async def ask_all() -> None:
        from openai import AsyncOpenAI

        room = asyncio.Semaphore(concurrency)
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

            async def ask(prompt: str) -> str | None:
                async with room:
                    made = await client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": prompt}], max_tokens=100
                    )
                    return made.choices[0].message.content

            await asyncio.gather(*(ask(prompt) for prompt in prompts))

    return ask_all


def ours(url: str, prompts: list[str], concurrency: int, folder: Path) -> Callable[[], Awaitable[None]]:
    """The project's client, with a budget that it keeps account of."""

    async def ask_all() -> None:
        settings = ModelSettings(
            model="m",
            base_url=url,
            key_env="",
            concurrency=concurrency,
            max_tokens=100,
            budget_dollars=1000.0,
            dollars_per_million_input=1.0,
            dollars_per_million_output=1.0,
        )
        model = OpenAIModel(settings, answers=Answers(folder / f"{time.monotonic_ns()}.sqlite", b"key"))
        await asyncio.gather(*(model.ask(prompt) for prompt in prompts))
        await model.close()

    return ask_all


def compare(delay: float, concurrency: int, questions: int, rounds: int = 3) -> None:
    """Print the median of each side and their ratio."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(delay)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        prompts = [f"Question {number}: " + "some words of context " * 20 for number in range(questions)]
        with tempfile.TemporaryDirectory() as folder:
            sides = {"openai": plain(url, prompts, concurrency), "flywheel": ours(url, prompts, concurrency, Path(folder))}
            for side in sides.values():
                measure(side, questions)
            found: dict[str, list[Speed]] = {name: [] for name in sides}
            for _ in range(rounds):
                for name, side in sides.items():
                    found[name].append(measure(side, questions))
        middle = {name: sorted(speeds)[rounds // 2] for name, speeds in found.items()}
        told = ", ".join(f"{name} {speed.a_second:,.0f}/s ({speed.cpu:.2f} CPU s a 1,000)" for name, speed in middle.items())
        ratio = middle["flywheel"].a_second / middle["openai"].a_second
        print(f"{concurrency} in flight, answers after {delay * 1000:g} ms: {told}; ratio {ratio:.2f}", flush=True)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    os.environ["NO_PROXY"] = "127.0.0.1"
    compare(delay=0.0, concurrency=32, questions=400)
    compare(delay=0.2, concurrency=32, questions=600)
    compare(delay=1.0, concurrency=100, questions=600)
