"""Where the work runs: Dask workers on this machine or of a running cluster, and tasks that survive their death."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import Future as Started
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import resource_tracker
from multiprocessing.util import Finalize
from types import TracebackType
from typing import Any, Self, TypeVar

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Status, wait

from eeg_ingest.errors import StoppedError, UsageError
from eeg_ingest.outcome import Failed

RELEASE = version("eeg-ingest")
CONNECT_SECONDS = 15
POLL_SECONDS = 10
JOIN_SECONDS = 0.1  # while workers start: one that has joined gets work at once
LOST_SECONDS = 120  # without any worker, while a nanny or a cluster manager could start one
CRASHED = (
    "Reading crashed the worker process twice: expected a recording that the reader can read, found one that ends the "
    "process (a fault in the reader, or too little memory) or keeps it for 5 min and a second for each MB. Leave it "
    "out or convert it."
)

Item = TypeVar("Item")

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "DASK_LOGGING__TORNADO": "critical",
    # glibc: blocks of signal come from memory that the process keeps; fresh pages would cost a sixth of the time.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**27),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # in pages of 2 MB: an FFT goes over more memory than 4 kB pages map
    "PYTHONWARNINGS": "ignore",  # of a worker's libraries; what concerns a recording is in its row
}
_CONFIG = {
    # A task whose worker died is not tried again beside others: `Workers.run` repeats it alone, to know the culprit.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-ttl": None,  # readers may hold the GIL for minutes; the nanny sees a process die
    "distributed.deploy.lost-worker-timeout": "120s",  # a busy machine takes longer than 15 s to start one anew
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.limit": "1h",
    "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
}


class Workers:
    """Dask workers, started when the first task is run, or early, and stopped at the end of the `with` block.

    `scheduler` is the address of a running scheduler, or None for `count` processes on this machine.
    """

    def __init__(self, count: int, scheduler: str | None = None) -> None:
        self._count, self._scheduler = count, scheduler
        self._stack = ExitStack()
        self._client: Client | None = None
        self._cluster: LocalCluster | None = None
        self._starting: Started[LocalCluster] | None = None
        self._seen_alive = time.monotonic()
        self._finished_now: list[Future] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client = self._cluster = None
        if self._starting is not None:
            self._starting.exception()  # waits: what is half started cannot be stopped
        self._stack.close()

    def start_early(self) -> None:
        """Start the first worker, while this process does other things: there will be work for at least one."""
        if self._scheduler is None and self._starting is None:
            thread = ThreadPoolExecutor(1)
            self._starting = thread.submit(self._start, 1)
            thread.shutdown(wait=False)

    def run(
        self, task: Callable[[Sequence[Item]], list[Any]], items: Sequence[Item], *, batch: int = 1
    ) -> Iterator[tuple[Item, Any]]:
        """Yield each item with its outcome, in the order of completion.

        `task` takes a list of up to `batch` items and returns their outcomes. No more tasks are submitted than there
        are threads. The items of a worker that died are run again one by one, with nothing beside them; one that
        kills its worker again has the outcome Failed. Raises UsageError where no workers can be had, and StoppedError
        where they are lost.
        """
        if not items:
            return
        client = self._connect(len(items))
        size = max(1, min(batch, len(items) // (4 * self._threads(client))))
        waiting = deque(list(items[i : i + size]) for i in range(0, len(items), size))
        suspects: deque[list[Item]] = deque()
        running: dict[Future, list[Item]] = {}
        try:
            while waiting or running or suspects:
                while waiting and len(running) < self._threads(client):
                    chunk = waiting.popleft()
                    running[client.submit(task, chunk, pure=False)] = chunk
                # Given up before, they would hold the next task back for the 10 ms in which Dask collects messages.
                self._finished_now.clear()
                if not running:
                    yield from self._alone(client, task, suspects.popleft())
                for chunk, outcomes in self._collect(client, running):
                    if outcomes is None:
                        suspects += [[item] for item in chunk]
                    else:
                        yield from zip(chunk, outcomes, strict=True)
        except (CancelledError, OSError):  # lost while tasks ran, or while asking the scheduler
            raise StoppedError(
                "The work stopped: expected the scheduler to run until the end, found the connection closed. "
                "Start it and run the same command again."
            ) from None
        finally:
            self._finished_now.clear()
            if running and client.status == "running":
                client.cancel(list(running), force=True)

    def _alone(self, client: Client, task: Callable[..., list[Any]], item: list[Item]) -> Iterator[tuple[Item, Any]]:
        running = {client.submit(task, item, pure=False): item}
        while running:
            for _, outcomes in self._collect(client, running):
                yield item[0], outcomes[0] if outcomes is not None else Failed(CRASHED)

    def _collect(
        self, client: Client, running: dict[Future, list[Item]]
    ) -> Iterator[tuple[list[Item], list[Any] | None]]:
        """Wait a while, and take out what has finished, with its outcomes, or None where its worker died of it."""
        for future in self._finished(client, running):
            try:
                outcomes = future.result(timeout=POLL_SECONDS)
            except KilledWorker:
                outcomes = None
            except TimeoutError:  # its worker has died with the result: the scheduler runs it again
                continue
            self._finished_now.append(future)
            yield running.pop(future), outcomes

    def _finished(self, client: Client, running: dict[Future, list[Item]]) -> list[Future]:
        """Wait a while for futures to finish; in the order of submission."""
        self._replace_lost_workers()
        if running:
            with suppress(TimeoutError):
                missing = self._cluster is not None and self._threads(client) < len(self._cluster.worker_spec)
                seconds = JOIN_SECONDS if missing else POLL_SECONDS
                wait(list(running), timeout=seconds, return_when="FIRST_COMPLETED")
        # Not "lost": its worker died, the scheduler has yet to say what becomes of it, and its result would block.
        finished = [future for future in running if future.status in ("finished", "error", "cancelled")]
        if finished or client.nthreads():
            self._seen_alive = time.monotonic()
        elif time.monotonic() - self._seen_alive > LOST_SECONDS:
            raise StoppedError(
                f"The work stopped: expected workers, found none for {LOST_SECONDS} s. Look at why they end, and "
                "run the same command again."
            )
        return finished

    def _replace_lost_workers(self) -> None:
        """Start those anew that Dask gave up, because they died while they started or took long for it."""
        if self._cluster is None:
            return
        for name, nanny in list(self._cluster.workers.items()):
            if nanny.status in (Status.closing, Status.closed, Status.failed):
                self._cluster.workers.pop(name, None)
        wanted = len(self._cluster.worker_spec)
        if len(self._cluster.workers) < wanted:
            self._cluster.scale(wanted)

    def _threads(self, client: Client) -> int:
        """Threads of all workers now, at least 1; where the scheduler runs in this process, without asking it."""
        if self._cluster is not None:
            threads: int = self._cluster.scheduler.total_nthreads
        else:
            threads = sum(client.nthreads().values())
        return max(1, threads)

    def _connect(self, n_items: int) -> Client:
        """Return the client; no more processes are started than there are items."""
        wanted = min(self._count, n_items)
        if self._client is None and self._scheduler:
            self._client = self._join(self._scheduler)
            self._seen_alive = time.monotonic()
        elif self._client is None:
            self._cluster = self._starting.result() if self._starting else self._start(wanted)
            self._client = self._stack.enter_context(Client(self._cluster))
            self._seen_alive = time.monotonic()
        if self._cluster is not None and len(self._cluster.workers) < wanted:
            self._cluster.scale(wanted)
        return self._client

    def _join(self, address: str) -> Client:
        _silence_dask()
        problem = None
        try:
            client = self._stack.enter_context(Client(address, timeout=CONNECT_SECONDS))
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            problem = (str(error) or type(error).__name__).splitlines()[0]
        if problem is not None:
            gc.collect()  # the client that failed: Dask deadlocks where it is collected while another one starts
            raise UsageError(
                f"The scheduler {address} cannot be used: expected a Dask scheduler with workers within "
                f"{CONNECT_SECONDS} s, found: {problem}. Start it (dask scheduler, dask worker), or leave "
                "--scheduler out."
            )
        for worker, found in client.run(version, "eeg-ingest", on_error="return").items():
            if found != RELEASE:
                raise UsageError(
                    f"The worker {worker} cannot be used: expected eeg-ingest {RELEASE} on it, found {found}. Install "
                    "the same release there."
                )
        if "dashboard" in client.scheduler_info(n_workers=0)["services"]:
            _show_dashboard(client.dashboard_link)
        return client

    def _start(self, count: int) -> LocalCluster:
        _silence_dask()
        folder = tempfile.mkdtemp(prefix="eeg-ingest-")
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # Once more at the end of this process: after a stop midway, workers may live that long.
        Finalize(None, shutil.rmtree, (folder, True), exitpriority=-10)
        self._stack.enter_context(dask.config.set({**_CONFIG, "temporary-directory": folder}))
        self._stack.enter_context(_environment_kept())
        dashboard = find_spec("bokeh") is not None
        with _without_interrupts():
            cluster = self._stack.enter_context(
                LocalCluster(
                    n_workers=0,  # one that dies while it starts would end the build with the cluster
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",  # a free port of this machine, for the scheduler
                    scheduler_kwargs={"dashboard": dashboard},
                    local_directory=folder,
                    silence_logs=logging.CRITICAL,
                    preload=["eeg_ingest.preload"],  # while the plan is made
                )
            )
        cluster.scale(count)
        if dashboard:
            _show_dashboard(cluster.dashboard_link)
        else:  # Dask has plain pages all the same
            page = cluster.dashboard_link.removesuffix("/status") + "/info/main/workers.html"
            _show_dashboard(f"{page} (its graphs need pip install 'eeg-ingest[dashboard]')")
        return cluster


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Take back what starting workers sets in this process's environment."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back. Threads and processes that start meanwhile never get it: only this process stops, in order."""
    resource_tracker.ensure_running()  # started later, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _silence_dask() -> None:
    """Keep Dask's own messages, about workers that die or stop, from stderr; for good, as some come after the end."""
    own = ("distributed.client", "tornado.application")  # to which Dask gives a level of their own
    for name in ("distributed", "tornado", "asyncio", *own):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _show_dashboard(link: str) -> None:
    print(f"Dashboard: {link}", file=sys.stderr, flush=True)  # noqa: T201
