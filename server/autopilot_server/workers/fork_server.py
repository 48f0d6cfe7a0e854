"""The process that workers are forked from: it has imported everything and loaded the workflows, and runs no job.

A worker then starts in milliseconds, and shares its memory with the others. Where loading the workflows has left
threads or open files, which do not survive a fork or must not be shared, each worker loads them anew instead.
"""

import gc
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from autopilot_server import logs
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.errors import StartupError
from autopilot_server.workers import worker
from autopilot_server.workers.command import command
from autopilot_server.workers.link import packed, receive_exactly
from autopilot_server.workers.messages import Exited, Fork, Forked, Load, Loaded, Refused
from autopilot_server.workers.parent import end_with_parent, leave_signals_to_parent, outlive_parent

log = logging.getLogger(__name__)

_THREAD_LOOKS = 50


def main() -> None:
    """The process's whole life. Its argument is the number of the socket to the server."""
    control = socket.socket(fileno=int(sys.argv[1]))
    load: Load = receive_exactly(control)
    end_with_parent(load.parent)
    leave_signals_to_parent()
    logs.configure(level=load.settings.log_level, log_format=load.settings.log_format, process="workflows")
    worker.import_for(load.settings)
    # OpenBLAS, which comes with NumPy, has threads and gets along with forks.
    threads, files, folder = _threads(), _open_files(), os.getcwd()
    try:
        registry = worker.load_registry(load.settings)
    except StartupError as error:
        control.sendall(packed(Refused(str(error))))
        return
    control.sendall(packed(Loaded(registry.descriptors, [str(file) for file in registry.files])))
    forks = _wait_for_threads(threads) and _open_files() <= files
    if not forks:
        log.warning(
            "the workflows' modules leave threads or open files behind: each worker loads them anew, which takes longer"
        )
    ForkServer(control, registry if forks else None, folder).serve()


class ForkServer:
    """Forks workers when the server asks for them, and tells it how they end."""

    def __init__(self, control: socket.socket, registry: Registry | None, folder: str) -> None:
        """`registry`: what the workers run; None: each has to load it, in `folder`."""
        self._control, self._registry = control, registry
        self._workers: dict[int, str] = {}
        self._folder = folder
        self._wakes, waker = socket.socketpair()
        for end in (self._wakes, waker):
            end.setblocking(False)
        self._waker = waker
        # Whatever handlers the workflows' modules have set.
        leave_signals_to_parent()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        # What was loaded is shared with the workers as long as nobody writes to it: also the collector must not.
        gc.collect()
        gc.freeze()

    def serve(self) -> None:
        """Until the server is gone; then all workers, and what their steps have started, are ended."""
        outlive_parent()
        try:
            self._serve()
        finally:
            # Nobody reads any more which of them has ended.
            signal.set_wakeup_fd(-1)
            for worker in self._workers:
                _end_group(worker)

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._control, self._wakes], [], [])
            if self._wakes in ready:
                self._wakes.recv(4096)
            self._reap()
            if self._control in ready and not self._fork():
                return

    def _fork(self) -> bool:
        """Carry out one request. False: the server is gone."""
        _, files, _, _ = socket.recv_fds(self._control, 1, 3)
        if not files:
            return False
        request: Fork = receive_exactly(self._control)
        pid = os.fork()
        if pid == 0:
            self._become_worker(request, *files)
        for file in files:
            os.close(file)
        self._workers[pid] = request.worker_id
        self._control.sendall(packed(Forked(pid)))
        return True

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            # Whatever else ends here was started by the workflows' modules.
            if (worker_id := self._workers.pop(pid, None)) is not None:
                _end_group(pid)
                self._control.sendall(packed(Exited(worker_id, os.waitstatus_to_exitcode(status))))

    def _become_worker(self, request: Fork, link: int, stacks: int, notes: int) -> None:
        """In the child: never returns."""
        code = 1
        try:
            parent = os.getppid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._control, self._wakes, self._waker):
                end.close()
            # A group of its own: what the workflow's code starts is ended with it.
            os.setsid()
            for kind, most in request.limits:
                _limit(kind, most)
            if self._registry is None:
                os.chdir(self._folder)
                _load_anew(link, stacks, notes, parent)
            else:
                worker.run(link, stacks, notes, parent, self._registry)
                code = 0
        finally:
            # Not by way of the frames above, which are the fork server's.
            os._exit(code)


def _limit(kind: int, most: int) -> None:
    """Let this process use no more of a resource."""
    if kind == resource.RLIMIT_CPU:
        # SIGXCPU ends it, by which the server knows why; SIGKILL what does not end by that. It leaves no core.
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        resource.setrlimit(kind, (most, most + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    else:
        resource.setrlimit(kind, (most, most))


def _end_group(worker: int) -> None:
    """End what a dead worker's steps had started and did not end; as long as it lives the number is not given again."""
    with suppress(ProcessLookupError):
        os.killpg(worker, signal.SIGKILL)


def _load_anew(*numbers: int) -> None:
    """Become a process that shares nothing with the fork server. `numbers`: of its files, and its parent's."""
    for file in numbers[:-1]:
        os.set_inheritable(file, True)
    os.execv(sys.executable, [*command(worker.__name__, "main"), *map(str, numbers)])  # noqa: S606 - this program


def _threads() -> int:
    """How many threads this process has, those of libraries included."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()


def _wait_for_threads(most: int) -> bool:
    """Whether there are no more than `most`: one that has just ended is still there for a moment."""
    for _ in range(_THREAD_LOOKS):
        if _threads() <= most:
            return True
        time.sleep(0.01)
    return False


def _open_files() -> set[str]:
    """What is open, by its number and by what the kernel calls it."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").is_dir() else ():
        try:
            found.add(f"{entry.name} {os.readlink(entry)}")
        except OSError:
            # The one that the listing itself had open.
            continue
    return found
