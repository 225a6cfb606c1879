"""Turns and money under cancellation: nothing leaks."""

import asyncio

from flywheel.synthesize.cache import Answers
from flywheel.synthesize.cost import Purse
from flywheel.synthesize.pace import Pace
from flywheel.synthesize.spending import Spending


def test_a_cancelled_waiter_gives_its_turn_to_the_next() -> None:
    async def run() -> list[str]:
        pace, order = Pace(1), []
        await pace.start()

        async def wait(name: str) -> None:
            await pace.start()
            order.append(name)

        first, second, third = (asyncio.create_task(wait(name)) for name in ("first", "second", "third"))
        await asyncio.sleep(0)
        first.cancel()
        pace.finish()
        second.cancel()
        await asyncio.wait([first, second, third])
        return order

    assert asyncio.run(run()) == ["third"]


def test_a_retry_goes_before_those_who_wait() -> None:
    async def run() -> list[str]:
        pace, order = Pace(1), []
        await pace.start()

        async def wait(name: str, *, retry: bool) -> None:
            await pace.start(retry=retry)
            order.append(name)
            pace.finish()

        tasks = [asyncio.create_task(wait("new", retry=False)), asyncio.create_task(wait("retry", retry=True))]
        await asyncio.sleep(0)
        pace.finish()
        await asyncio.wait(tasks)
        return order

    assert asyncio.run(run()) == ["retry", "new"]


def test_a_burst_of_429s_halves_the_pace_once_and_one_is_the_least() -> None:
    pace = Pace(8)

    for _ in range(5):
        pace.slow_down(0)
    assert pace.limit == 4

    for epoch in range(1, 10):
        pace.slow_down(epoch)
    assert pace.limit == 1


def test_a_question_waits_for_change_before_the_budget_is_called_spent(answers: Answers) -> None:
    async def run() -> float:
        purse = Purse(1.0, Spending(answers))
        held = asyncio.Event()

        async def first() -> None:
            async with purse.put_aside(0.9) as reserved:
                held.set()
                await asyncio.sleep(0)
                reserved.spent = 0.1

        async def second() -> None:
            await held.wait()
            async with purse.put_aside(0.9) as reserved:
                reserved.spent = 0.2

        await asyncio.gather(first(), second())
        return Spending(answers).total

    assert abs(asyncio.run(run()) - 0.3) < 1e-9


def test_a_cancelled_attempt_costs_what_was_put_aside(answers: Answers) -> None:
    async def run() -> float:
        purse = Purse(1.0, Spending(answers))

        async def attempt() -> None:
            async with purse.put_aside(0.4):
                await asyncio.Event().wait()

        task = asyncio.create_task(attempt())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return Spending(answers).total

    assert asyncio.run(run()) == 0.4


def test_what_a_killed_process_had_put_aside_stays_out_of_the_budget(answers: Answers) -> None:
    assert Spending(answers).put_aside("of the killed process", 0.7, budget=1.0)
    answers.close()

    later = Spending(answers)

    assert later.total == 0.7
    assert not later.put_aside("too much", 0.4, budget=1.0)
    assert later.put_aside("the rest", 0.3, budget=1.0)
