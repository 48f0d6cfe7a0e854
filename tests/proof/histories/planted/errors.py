"""Errors that nobody expects."""

from dataclasses import replace

from autopilot.v1 import job_service_pb2

from tests.proof.histories.checkers import errors
from tests.proof.histories.history import History
from tests.proof.histories.planted.planting import call_of, found_by


@found_by(errors.errors_are_expected_ones)
def a_call_ends_with_an_internal_error(history: History) -> None:
    request = job_service_pb2.GetStatusRequest()
    history.calls.append(call_of("", "GetStatus", request, code="INTERNAL", reason="INTERNAL_ERROR"))


@found_by(errors.errors_are_expected_ones)
def a_call_ends_with_a_status_without_a_reason(history: History) -> None:
    request = job_service_pb2.GetStatusRequest()
    history.calls.append(call_of("", "GetStatus", request, code="NOT_FOUND"))


@found_by(errors.errors_are_expected_ones)
def a_call_breaks_while_the_server_is_there(history: History) -> None:
    assert history.absences
    request = job_service_pb2.GetStatusRequest()
    history.calls.append(call_of("", "GetStatus", request, code="UNAVAILABLE"))


@found_by(errors.errors_are_expected_ones)
def a_stream_breaks_while_the_server_is_there(history: History) -> None:
    assert history.absences
    place = max(range(len(history.streams)), key=lambda place: history.streams[place].started)
    history.streams[place] = replace(history.streams[place], end="UNAVAILABLE", reason="")
