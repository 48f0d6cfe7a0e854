"""Values of a workflow on their way into events, which are never lost for a value's sake."""

from autopilot_server.engine.values import NotJsonError, to_json, type_name
from autopilot_server.jobs.job import Omitted, Payload


def event_payload(value: object, limit_bytes: int) -> Payload:
    """A value as JSON text; Omitted when it is larger than the limit, its type's name when it cannot be written."""
    try:
        text = to_json(value)
    except NotJsonError as error:
        text = to_json({"__type__": type_name(value), "error": str(error)})
    # UTF-8 takes no fewer bytes than the text has characters, and is only measured where it matters.
    if len(text) * 4 > limit_bytes and (size := len(text.encode())) > limit_bytes:
        return Omitted(size)
    return text
