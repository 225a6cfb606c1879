"""The answer cache: keys without text, writes that survive, erasure down to the bytes."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import FlywheelError
from flywheel.records import to_batch
from flywheel.synthesize import cache
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.driver import synthesize
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.synthesizers.paraphrase import Paraphrase
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chats
from flywheel_tests.synthesize.scripted_server import HANG, ScriptedServer, completion


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_a_key_depends_on_the_content_and_the_secret_and_not_on_the_order(tmp_path: Path) -> None:
    ours, theirs = Answers(tmp_path / "a", b"ours"), Answers(tmp_path / "b", b"theirs")
    key = ours.key({"model": "m", "messages": [{"role": "user", "content": "hi"}]})

    assert key == ours.key({"messages": [{"content": "hi", "role": "user"}], "model": "m"})
    assert key != ours.key({"messages": [{"content": "ho", "role": "user"}], "model": "m"})
    assert key != theirs.key({"model": "m", "messages": [{"role": "user", "content": "hi"}]})


def test_erasing_a_seed_takes_its_answers_off_the_disk_and_leaves_the_others(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.sqlite", b"key")
    answers.put("k1", b"canary-of-a", seed="a")
    answers.put("k2", b"canary-of-both", seed="a")
    answers.put("k3", b"canary-of-b", seed="b")
    answers.get("k2", seed="b")
    assert b"canary-of-a" in on_disk(tmp_path)

    assert answers.erase(["b", "nobody"]) == 2

    assert answers.get("k1") == b"canary-of-a"
    assert answers.get("k2") is None
    assert answers.get("k3") is None
    answers.close()
    assert b"canary-of-b" not in on_disk(tmp_path)
    assert b"canary-of-a" in on_disk(tmp_path)


def test_erasing_under_a_reader_says_that_bytes_remain_and_removes_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_PATIENCE", 0.01)
    answers = Answers(tmp_path / "answers.sqlite", b"key")
    answers.put("k", b"canary", seed="a")
    reader = sqlite3.connect(tmp_path / "answers.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM answers").fetchall()

    with pytest.raises(FlywheelError, match="erase again"):
        answers.erase(["a"])
    reader.close()
    answers.erase(["a"])

    assert b"canary" not in on_disk(tmp_path)


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from flywheel.synthesize.cache import Answers; a = Answers(sys.argv[1], b'key');"
        "[a.put(f'{sys.argv[2]}-{n}', b'x', seed='s') for n in range(200)]"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "answers.sqlite")]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: subprocess.run([*command, name], check=True), "abc"))

    assert len(Answers(tmp_path / "answers.sqlite", b"key")) == 600


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    Answers(tmp_path / "answers.sqlite", b"key").put("k", b"x")

    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"this is no database" * 100)

    with pytest.raises(FlywheelError, match="Move it away"):
        Answers(tmp_path / "answers.sqlite", b"key").get("k")


RUN = """
import sys
from pathlib import Path
from flywheel.records import to_batch
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.driver import synthesize
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.synthesizers.paraphrase import Paraphrase
from flywheel_tests.synthesize.conversations import chats

settings = ModelSettings(model="m", base_url=sys.argv[1], key_env="", concurrency=1, max_tokens=100)
model = OpenAIModel(settings, answers=Answers(sys.argv[2], b"key"))
list(synthesize([to_batch(chats(6))], Paraphrase(tones=("formal",)), name="p", model=model, concurrency=1))
"""


def test_a_run_killed_in_the_middle_is_not_asked_again_what_was_answered(tmp_path: Path, serve: Serve, connect: Connect) -> None:
    killed = False
    server = serve(
        lambda request: HANG if not killed and "number 3," in request.prompt else completion(f"Re: {request.prompt[-20:]}")
    )

    first = subprocess.Popen([sys.executable, "-c", RUN, server.url, str(tmp_path / "answers.sqlite")], start_new_session=True)
    server.wait_for(4)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    killed = True
    model = connect(server, model="m", concurrency=1)
    again = synthesize([to_batch(chats(6))], Paraphrase(tones=("formal",)), name="p", model=model, concurrency=1)

    assert sum(batch.height for batch in again) == 6
    assert (model.cost.cached, model.cost.answers) == (3, 3)
    numbers = [prompt.split("number ")[1][0] for prompt in server.prompts]
    assert numbers == ["0", "1", "2", "3", "3", "4", "5"]


def asked(*models: OpenAIModel) -> list[str]:
    """Each model's answer to the same question, one after the other."""

    async def in_turn() -> list[str]:
        answers = [await model.ask("Say it.") for model in models]
        for model in models:
            await model.close()
        return answers

    return asyncio.run(in_turn())


OTHERS: dict[str, dict[str, Any]] = {
    "model": {"model": "scripted-2"},
    "temperature": {"temperature": 0.8},
    "seed": {"seed": 8},
    "longest answer": {"max_tokens": 101},
}


@pytest.mark.parametrize("other", OTHERS)
def test_an_answer_of_one_model_under_one_setting_is_no_answer_of_another(other: str, serve: Serve, connect: Connect) -> None:
    server: ScriptedServer = serve(lambda _: completion(f"Number {len(server.requests)}."))
    model, another = connect(server, temperature=0.7, seed=7), connect(server, **{"temperature": 0.7, "seed": 7, **OTHERS[other]})

    assert asked(model, another, model) == ["Number 1.", "Number 2.", "Number 1."]


def test_an_answer_of_one_endpoint_is_no_answer_of_another(serve: Serve, connect: Connect) -> None:
    models = [connect(serve(lambda _, name=name: completion(name))) for name in ("here", "there")]

    assert asked(*models) == ["here", "there"]


def test_the_same_words_under_a_schema_or_with_tools_are_another_question(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion("[]"))
    model = connect(server)

    async def every_way() -> None:
        await model.ask("Say it.")
        await model.reply("Say it.", tools=['{"name": "now"}'])
        await model.json("Say it.", {"type": "array"})
        await model.json("Say it.", {"type": "array", "maxItems": 3})
        await model.close()

    asyncio.run(every_way())

    assert len(server.requests) == 4


def test_no_prompt_is_in_the_cache(tmp_path: Path, serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion("An answer."))
    list(synthesize([to_batch(chats(3))], Paraphrase(), name="p", model=connect(server)))

    assert b"An answer." in on_disk(tmp_path)
    assert b"Question number" not in on_disk(tmp_path)
