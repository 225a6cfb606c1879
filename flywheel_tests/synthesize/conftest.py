"""What the synthesis tests share."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from flywheel.synthesize.cache import Answers
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.roles import connect as connect_roles
from flywheel_tests.synthesize.scripted_server import ScriptedServer, completion

Serve = Callable[..., ScriptedServer]
Connect = Callable[..., OpenAIModel]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that stop with the test: `serve(script)`."""
    with ExitStack() as servers:
        yield lambda script, **how: servers.enter_context(ScriptedServer(script, **how))


@pytest.fixture(scope="session", autouse=True)
def _warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first request of a process builds the `openai` package's types, which takes longer than some tests' timeouts."""
    with ScriptedServer(lambda _: completion()) as server:
        settings = ModelSettings(model="warm", base_url=server.url, key_env="")
        model = OpenAIModel(settings, answers=Answers(tmp_path_factory.mktemp("warm") / "answers", b"key"))
        asyncio.run(model.ask("Ready?"))


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Answers]:
    cache = Answers(tmp_path / "answers.sqlite", b"key")
    yield cache
    cache.close()


@pytest.fixture
def connect(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """An impatient model on a server: `connect(server, concurrency=1)`. A million tokens cost $1 in and $2 out."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def connected(
        server: ScriptedServer,
        *,
        longest_wait: float = 0.05,
        roles: Mapping[str, Mapping[str, object]] | None = None,
        **settings: object,
    ) -> OpenAIModel:
        chosen: dict[str, object] = {
            "model": "scripted-1",
            "base_url": server.url,
            "key_env": "",
            "timeout": 10.0,
            "deadline": 60.0,
            "max_tokens": 100,
            "dollars_per_million_input": 1.0,
            "dollars_per_million_output": 2.0,
        }

        def made(own: Mapping[str, object]) -> ModelSettings:
            return ModelSettings(**{**chosen, **own})  # type: ignore[arg-type]

        others = {role: made(own) for role, own in (roles or {}).items()}
        return connect_roles(made(settings), others, answers=answers, backoff=0.01, longest_wait=longest_wait)

    return connected
