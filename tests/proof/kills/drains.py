"""A client in whose time the server is told to stop, again and again."""

import signal
import threading
import time
from collections.abc import Callable

from autopilot.v1 import job_service_pb2

from tests.proof.histories.history import JobRecord
from tests.proof.histories.recording import PATIENCE_SECONDS, Recorder
from tests.proof.histories.states import CANCELLED, RUNNING
from tests.proof.kills.lives import Lives


class Drains:
    """An actor of a workload. Its job takes one step after the other, so that each drain meets it at work."""

    def __init__(self, lives: Lives, times: int) -> None:
        """Tell the server of `lives` to stop so many times."""
        self._lives, self._times = lives, times
        self._pause = threading.Event()

    def act(self, recorder: Recorder, watch: Callable[[str], None]) -> None:
        """Until it was told often enough; then its job is cancelled and deleted."""
        job = {"job_id": "drained"}
        submit = job_service_pb2.SubmitJobRequest(
            workflow="turns_for_ever", request_id="drained", step_limit=1_000_000, **job
        )
        recorder.ask("SubmitJob", submit)
        for _ in range(self._times):
            self._wait_until_it_runs(recorder)
            self._lives.end_with(signal.SIGTERM)
        recorder.ask("Cancel", job_service_pb2.CancelRequest(**job))
        assert recorder.settled("drained").state == CANCELLED
        recorder.ask("DeleteJob", job_service_pb2.DeleteJobRequest(allow_missing=True, **job))
        recorder.history.deleted.add("drained")

    def records(self, recorder: Recorder) -> dict[str, JobRecord]:
        """It leaves none."""
        return {}

    def _wait_until_it_runs(self, recorder: Recorder) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while recorder.status("drained").state != RUNNING:
            assert time.monotonic() < give_up, "the job that was given back is not taken up"
            self._pause.wait(0.005)
