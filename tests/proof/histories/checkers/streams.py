"""The watch is a log: what watchers get of it."""

from tests.proof.histories.seen import Seen, Violations, who
from tests.proof.histories.states import FINISHED


def streams_are_gapless(seen: Seen) -> Violations:
    """Each message goes on where the one before ended, and says how far it goes; ordered, unique, without gaps."""
    for stream in seen.history.streams:
        place = stream.after_sequence
        for message in stream.messages:
            response = message.parsed()
            stored = [event.sequence for event in response.events if event.sequence]
            if stored != list(range(place + 1, place + 1 + len(stored))):
                yield f"{who(stream)} got {stored} after {place}"
            place = stored[-1] if stored else place
            if response.through_sequence != place:
                yield f"{who(stream)} was told that it has all up to {response.through_sequence}, and has {place}"


def watchers_see_each_event_once(seen: Seen) -> Violations:
    """A watcher that goes on after a break, however its streams ended, has each event exactly once."""
    place: dict[tuple[str, str], int] = {}
    for stream in seen.history.streams:
        key = (stream.watcher, stream.job_id)
        if key in place and stream.after_sequence != place[key]:
            yield f"{who(stream)} went on after {stream.after_sequence}, and had {place[key]}"
        place[key] = max((event.sequence for event in stream.events()), default=stream.after_sequence)


def streams_agree_with_the_log(seen: Seen) -> Violations:
    """Everybody sees the same: what was shown before a crash is what the log holds after it."""
    for stream in seen.history.streams:
        if (log := seen.logs.get(stream.job_id)) is None:
            continue
        for event in stream.events():
            if event.sequence > len(log.events):
                yield f"{who(stream)} saw event {event.sequence}, which is not in the log"
            elif event.sequence and event != log.events[event.sequence - 1]:
                yield f"{who(stream)} saw another event {event.sequence} than the log holds"


def nothing_is_shown_before_it_is_stored(seen: Seen) -> Violations:
    """When a message arrives, what it tells is in the database already."""
    for stream in seen.history.streams:
        for message in stream.messages:
            through = message.parsed().through_sequence
            if 0 <= message.committed < through:
                yield f"{who(stream)} saw event {through} when the database had {message.committed}"


def streams_end_with_the_job(seen: Seen) -> Violations:
    """A stream ends with OK after the event that finished the job, and at no other place."""
    for stream in seen.history.streams:
        if stream.end != "OK" or (log := seen.logs.get(stream.job_id)) is None:
            continue
        place = max((event.sequence for event in stream.events()), default=stream.after_sequence)
        if place >= len(log.states) or log.states[place][0] not in FINISHED:
            yield f"{who(stream)} ended after event {place}, where the job was not finished"
