"""Events on the wire.

An event is serialized once, when it happens, and stored without its sequence, which is only known inside the
transaction. A watch puts the stored bytes and the sequence together: fields of a protobuf message may be concatenated.
"""

from autopilot.v1 import job_pb2, job_service_pb2

from autopilot_server.api import convert
from autopilot_server.api.payload import as_text, as_value
from autopilot_server.doorbell import StoredEvent
from autopilot_server.jobs.events import (
    CheckpointSaved,
    Event,
    EventKind,
    InterruptRaised,
    ProgressReported,
    StateChanged,
    StepFailed,
    StepFinished,
    StepStarted,
    TokenChunk,
)
from autopilot_server.jobs.job import Omitted, Payload
from autopilot_server.jobs.tenants import public
from autopilot_server.storage.store import EventDraft

# The largest payload of an event on the wire, in bytes: a Value takes more room than its text.
MAX_PAYLOAD = 2 << 20

# Tags: field number << 3 | wire type.
_SEQUENCE_TAG = bytes([job_pb2.ProgressEvent.SEQUENCE_FIELD_NUMBER << 3])
_EVENTS_TAG = bytes([job_service_pb2.WatchProgressResponse.EVENTS_FIELD_NUMBER << 3 | 2])
_THROUGH_TAG = bytes([job_service_pb2.WatchProgressResponse.THROUGH_SEQUENCE_FIELD_NUMBER << 3])


def encode_event(event: Event) -> EventDraft:
    """Serialize an event, without its sequence."""
    message = job_pb2.ProgressEvent(
        job_id=public(event.job_id),
        event_time=convert.timestamp(event.event_time),
        attempt=event.attempt,
        progress=convert.progress(event.progress),
    )
    has_payload = _set_kind(message, event.kind)
    return EventDraft(message.SerializeToString(), has_payload)


def _set_kind(message: job_pb2.ProgressEvent, kind: EventKind) -> bool:
    """Set what happened. Whether it carries a JSON value."""
    match kind:
        case StepStarted(step, run_id):
            message.step_started.step, message.step_started.step_run_id = step, run_id
        case StepFinished(step, run_id, update, taken):
            message.step_finished.CopyFrom(
                job_pb2.StepFinished(
                    step=step, step_run_id=run_id, update=as_text(update), duration=convert.duration(taken)
                )
            )
            return _is_value(update)
        case CheckpointSaved(checkpoint_id, superstep, next_steps):
            saved = message.checkpoint_saved
            saved.checkpoint_id, saved.superstep = checkpoint_id, superstep
            saved.next_steps.extend(next_steps)
        case StateChanged(from_state, to_state, error):
            changed = job_pb2.StateChanged(to=int(to_state), error=convert.job_error(error))  # type: ignore[arg-type]
            setattr(changed, "from", int(from_state or 0))
            message.state_changed.CopyFrom(changed)
        case StepFailed(step, run_id, error, taken):
            message.step_failed.CopyFrom(
                job_pb2.StepFailed(
                    step=step, step_run_id=run_id, error=convert.job_error(error), duration=convert.duration(taken)
                )
            )
        case InterruptRaised(question):
            message.interrupt_raised.interrupt.CopyFrom(convert.interrupt(question, as_text))
            return _is_value(question.value)
        case ProgressReported(step, text, fraction, data, dropped):
            message.progress_reported.CopyFrom(
                job_pb2.ProgressReported(
                    step=step, message=text, fraction=fraction, data=as_text(data), dropped=dropped
                )
            )
            return _is_value(data)
    return False


def _is_value(payload: Payload | None) -> bool:
    return payload is not None and not isinstance(payload, Omitted)


def token_message(chunk: TokenChunk) -> bytes:
    """A WatchProgressResponse's field with a token chunk."""
    message = job_pb2.ProgressEvent(
        job_id=public(chunk.job_id),
        event_time=convert.timestamp(chunk.event_time),
        attempt=chunk.attempt,
        token_chunk=job_pb2.TokenChunk(step=chunk.step, message_id=chunk.message_id, text=chunk.text),
    )
    body = message.SerializeToString()
    return _EVENTS_TAG + _varint(len(body)) + body


def event_field(event: StoredEvent, *, as_json: bool) -> bytes:
    """A WatchProgressResponse's field with a stored event. `as_json`: its JSON values as google.protobuf.Value."""
    body = _with_values(event.body) if as_json and event.has_payload else event.body
    sequence = _SEQUENCE_TAG + _varint(event.sequence)
    return b"".join((_EVENTS_TAG, _varint(len(body) + len(sequence)), body, sequence))


def through_field(sequence: int) -> bytes:
    """A WatchProgressResponse's `through_sequence`."""
    return _THROUGH_TAG + _varint(sequence) if sequence else b""


def _with_values(body: bytes) -> bytes:
    message = job_pb2.ProgressEvent.FromString(body)
    payload = _payload_of(message)
    if payload is not None and payload.WhichOneof("kind") == "json_text":
        written = as_value(payload.json_text)
        if written is not None and written.ByteSize() > MAX_PAYLOAD:
            written = as_text(Omitted(len(payload.json_text.encode())))
        if written is not None:
            payload.CopyFrom(written)
    return message.SerializeToString()


def _payload_of(message: job_pb2.ProgressEvent) -> job_pb2.Payload | None:
    match message.WhichOneof("kind"):
        case "step_finished":
            return message.step_finished.update
        case "interrupt_raised":
            return message.interrupt_raised.interrupt.value
        case "progress_reported":
            return message.progress_reported.data
        case _:
            return None


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
