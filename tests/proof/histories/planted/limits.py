"""Violations of: as many jobs run at once as may."""

from tests.proof.histories.checkers import limits
from tests.proof.histories.history import History
from tests.proof.histories.planted.planting import found_by, succeeded


@found_by(limits.as_many_with_a_key_run_as_may)
def one_job_more_runs_all_the_while(history: History) -> None:
    log = succeeded(history)
    for number in range(int(log.job.concurrency_key.split()[0])):
        history.jobs[f"{log.job_id}-{number}"] = log.record
