"""A process that starts others by fork, so that a test can kill dozens without paying for their imports.

It reads a job in each line of its input. Nothing here uses TensorStore before the fork, which it would not survive.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from eeg_store import Store, StoreError, WindowReader


def _recordings() -> Any:
    name = "store_conftest"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("conftest.py"))
    if spec is None or spec.loader is None:
        raise FileNotFoundError("conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.Recordings()


RECORDINGS = _recordings()


def write(path: str, names: list[str], n_seconds: int) -> int:
    """Reserve and write recordings, as a build does."""
    store = Store.open(path, "a")
    slots = store.reserve([RECORDINGS.request(name, n_seconds) for name in names])
    for slot in slots.values():
        if not store.is_committed(slot.recording):
            RECORDINGS.write(store, slot)
    return 0


def reserve(path: str, kill_at: int) -> int:
    """Reserve, and die before the rename of file number `kill_at`."""
    replace = Path.replace
    renames = 0

    def counted(self: Path, target: Path) -> Path:
        nonlocal renames
        if renames == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        renames += 1
        return replace(self, target)

    Path.replace = counted  # type: ignore[method-assign, assignment]  # this process only
    montages = [("T7",), ("T7", "T8")]
    requests = [RECORDINGS.request(f"r{index}", 100 * index + 1, montages[index % 2]) for index in range(6)]
    Store.open(path, "a").reserve(requests)
    return 0


def fork_after_reading(path: str) -> int:
    """Read, fork, and read again: 7 if the child is told what to do."""
    store = Store.open(path)
    array = store.arrays()[0].path
    WindowReader(store).read_seconds(array, 0, 1)
    child = os.fork()
    if child == 0:
        try:
            WindowReader(store).read_seconds(array, 0, 1)
        except StoreError as error:
            os._exit(7 if "'spawn' or 'forkserver'" in str(error) else 1)
        os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Answer `["wait", pid]` with the exit code and any other job with the id of its process."""
    jobs = {job.__name__: job for job in (write, reserve, fork_after_reading)}
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        if name == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(arguments[0], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                try:
                    os._exit(jobs[name](*arguments))
                except BaseException:  # noqa: BLE001  # the child must end here, whatever happened
                    traceback.print_exc()
                    os._exit(1)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
