"""Violations of: the watch is a log, in what watchers get."""

from dataclasses import replace
from typing import Any

from tests.proof.histories.checkers import streams
from tests.proof.histories.history import History
from tests.proof.histories.planted.planting import (
    changed,
    found_by,
    logs,
    set_events,
    set_log,
    set_message,
    stream_of,
    told_several,
)
from tests.proof.histories.states import SUCCEEDED


@found_by(streams.streams_are_gapless)
def a_stream_lacks_an_event(history: History) -> None:
    set_events(history, stream_of(history, told_several), lambda events: [events[0], *events[2:]])


@found_by(streams.streams_are_gapless)
def a_stream_has_an_event_twice(history: History) -> None:
    set_events(history, stream_of(history, told_several), lambda events: [events[0], *events])


@found_by(streams.streams_are_gapless)
def a_stream_is_not_in_order(history: History) -> None:
    set_events(history, stream_of(history, told_several), lambda events: [events[1], events[0], *events[2:]])


@found_by(streams.streams_are_gapless)
def a_stream_says_that_it_sent_more(history: History) -> None:
    place = stream_of(history, lambda stream: bool(stream.messages))
    parsed = history.streams[place].messages[-1].parsed()
    parsed.through_sequence += 1
    set_message(history, place, len(history.streams[place].messages) - 1, body=parsed.SerializeToString())


@found_by(streams.watchers_see_each_event_once)
def a_watcher_that_goes_on_gets_an_event_again(history: History) -> None:
    _shift(history, -1)


@found_by(streams.watchers_see_each_event_once)
def a_watcher_that_goes_on_misses_an_event(history: History) -> None:
    _shift(history, 1)


def _shift(history: History, by: int) -> None:
    """Let a stream that goes on from another begin elsewhere."""
    seen = set()
    for place, stream in enumerate(history.streams):
        who = (stream.watcher, stream.job_id)
        if who in seen and stream.after_sequence:
            history.streams[place] = replace(stream, after_sequence=stream.after_sequence + by)
            return
        seen.add(who)
    raise AssertionError("no watcher went on")


@found_by(streams.streams_agree_with_the_log)
def a_stream_tells_of_something_else_than_the_log(history: History) -> None:
    def change(events: list[Any]) -> list[Any]:
        return [changed(events[0], attempt=events[0].attempt + 1), *events[1:]]

    set_events(history, stream_of(history, told_several), change)


@found_by(streams.streams_agree_with_the_log)
def a_stream_told_of_an_event_that_is_lost(history: History) -> None:
    told = [(stream.job_id, message.parsed().events) for stream in history.streams for message in stream.messages]
    seen = {job_id for job_id, events in told if any(e.state_changed.to == SUCCEEDED for e in events)}
    log = next(log for log in logs(history) if log.job_id in seen and log.job.state == SUCCEEDED)
    set_log(history, log, log.events[:-1], renumber=True)


@found_by(streams.nothing_is_shown_before_it_is_stored)
def an_event_is_told_before_it_is_committed(history: History) -> None:
    place = stream_of(history, lambda stream: any(m.committed > 0 for m in stream.messages))
    messages = history.streams[place].messages
    at = next(i for i, message in enumerate(messages) if message.committed > 0)
    set_message(history, place, at, committed=messages[at].parsed().through_sequence - 1)


@found_by(streams.streams_end_with_the_job)
def a_stream_ends_early(history: History) -> None:
    place = stream_of(history, lambda stream: stream.end == "OK" and len(list(stream.events())) > 1)
    stream = history.streams[place]
    at = max(i for i, message in enumerate(stream.messages) if message.parsed().events)
    history.streams[place] = replace(stream, messages=stream.messages[:at])
