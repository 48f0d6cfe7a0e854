"""A client that cancels a job whose step stays for as long as it may."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories.history import BEGUN, STOPPED, TOLD, JobRecord
from tests.proof.histories.recording import JOBS_PATIENCE_SECONDS, Recorder
from tests.proof.histories.states import CANCELLED
from tests.proof.load.random_graphs import Outcome, effects_of, start

JOB = "given-grace"
GRACE_MILLISECONDS = 500


class Grace:
    """An actor of a workload. Its job is of the workflow `stays`."""

    def __init__(self, folder: Path) -> None:
        """The job's effects are left in a folder in `folder`."""
        self._folder = folder / JOB
        self._pause = threading.Event()
        self._cancelled = False

    def act(self, recorder: Recorder, watch: Callable[[str], None]) -> None:
        """Cancel it once its step runs; what the step notes is checked with the history."""
        self._folder.mkdir(parents=True)
        submit = job_service_pb2.SubmitJobRequest(
            workflow="stays",
            job_id=JOB,
            request_id=JOB,
            input=job_pb2.Payload(json_text=json.dumps(start(self._folder))),
        )
        recorder.ask("SubmitJob", submit)
        watch(JOB)
        self._wait_for_its_step(recorder)
        cancel = job_service_pb2.CancelRequest(job_id=JOB)
        cancel.grace_period.FromMilliseconds(GRACE_MILLISECONDS)
        recorder.ask("Cancel", cancel)
        assert recorder.settled(JOB).state == CANCELLED
        self._cancelled = True

    def is_over(self) -> bool:
        """Whether it was told that the job is CANCELLED, and the step is stopped."""
        return self._cancelled and STOPPED in dict(effects_of(self._folder))

    def records(self, recorder: Recorder) -> dict[str, JobRecord]:
        """Its job."""
        return {JOB: recorder.record(JOB, self._folder, Outcome(None, frozenset({BEGUN, TOLD, STOPPED})))}

    def _wait_for_its_step(self, recorder: Recorder) -> None:
        """Until it is told as running: it has begun by then."""
        give_up = time.monotonic() + JOBS_PATIENCE_SECONDS
        while not recorder.status(JOB).progress.active_steps:
            assert time.monotonic() < give_up, f"job {JOB} does not begin"
            self._pause.wait(0.005)
