"""Many requests at once, answers one by one: an event loop in a thread of its own, an ordinary iterator outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from queue import Empty, SimpleQueue

from capeval.backends import Batch
from capeval.backends.api.client import Wire, open_client
from capeval.backends.api.pace import Pace
from capeval.backends.api.settings import ApiSettings
from capeval.backends.api.tally import Tally

Job = Callable[[Wire], Awaitable[Batch]]


def answers(jobs: Sequence[Job], settings: ApiSettings, model: str, tally: Tally) -> Iterator[Batch]:
    """Do all jobs, at most `concurrency` at once; what is done is yielded at once.

    A job that fails lets those in flight end, and then raises. Leaving the iterator cancels them.
    """
    if not jobs:
        return
    done: SimpleQueue[Batch | BaseException | None] = SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(_all(jobs, settings, model, tally, done.put))
    thread = threading.Thread(target=_drive, args=(loop, task, done), name="capeval-api", daemon=True)
    thread.start()
    try:
        while True:
            batch, end = _taken(done)
            if batch:
                yield batch
            if isinstance(end, BaseException):
                raise end
            if end:
                return
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def _taken(done: SimpleQueue[Batch | BaseException | None]) -> tuple[Batch, BaseException | bool]:
    """Wait for one result, and take what else is there; and whether it is over, or what went wrong."""
    batch: Batch = []
    item = done.get()
    while True:
        if item is None or isinstance(item, BaseException):
            return batch, item or True
        batch += item
        try:
            item = done.get_nowait()
        except Empty:
            return batch, False


def _drive(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], done: SimpleQueue[Batch | BaseException | None]
) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(task)
        end = None
    except asyncio.CancelledError:
        end = None
    except BaseException as error:  # handed to whoever waits
        end = error
    loop.run_until_complete(loop.shutdown_asyncgens())
    done.put(end)


async def _all(
    jobs: Sequence[Job], settings: ApiSettings, model: str, tally: Tally, put: Callable[[Batch], None]
) -> None:
    waiting = iter(jobs)
    pace = Pace(
        concurrency=settings.concurrency,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )
    async with open_client(settings) as client:
        wire = Wire(settings=settings, model=model, client=client, pace=pace, tally=tally)

        async def work() -> None:
            for job in waiting:
                try:
                    put(await job(wire))
                except BaseException:
                    wire.stopping = True
                    raise
                if wire.stopping:
                    return

        workers = [asyncio.create_task(work()) for _ in range(min(settings.concurrency, len(jobs)))]
        try:
            failed = [e for e in await asyncio.gather(*workers, return_exceptions=True) if e is not None]
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    if failed:
        raise failed[0]
