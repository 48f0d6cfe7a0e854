import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_PENDING: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_INTERRUPTED: _ClassVar[JobState]
    JOB_STATE_CANCELLING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIEW_UNSPECIFIED: _ClassVar[View]
    VIEW_BASIC: _ClassVar[View]
    VIEW_FULL: _ClassVar[View]

class PayloadFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYLOAD_FORMAT_UNSPECIFIED: _ClassVar[PayloadFormat]
    PAYLOAD_FORMAT_JSON: _ClassVar[PayloadFormat]
    PAYLOAD_FORMAT_JSON_TEXT: _ClassVar[PayloadFormat]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_PENDING: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_INTERRUPTED: JobState
JOB_STATE_CANCELLING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
VIEW_UNSPECIFIED: View
VIEW_BASIC: View
VIEW_FULL: View
PAYLOAD_FORMAT_UNSPECIFIED: PayloadFormat
PAYLOAD_FORMAT_JSON: PayloadFormat
PAYLOAD_FORMAT_JSON_TEXT: PayloadFormat

class Job(_message.Message):
    __slots__ = ("job_id", "workflow", "thread_id", "state", "labels", "priority", "input", "output", "error", "interrupts", "progress", "attempt", "max_attempts", "checkpoint_id", "latest_sequence", "create_time", "scheduled_time", "start_time", "update_time", "end_time", "expire_time", "etag", "workflow_revision", "failed_attempts", "next_steps", "next_attempt_time", "concurrency_key")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_REVISION_FIELD_NUMBER: _ClassVar[int]
    FAILED_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_STEPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    workflow: str
    thread_id: str
    state: JobState
    labels: _containers.ScalarMap[str, str]
    priority: int
    input: Payload
    output: Payload
    error: JobError
    interrupts: _containers.RepeatedCompositeFieldContainer[Interrupt]
    progress: Progress
    attempt: int
    max_attempts: int
    checkpoint_id: str
    latest_sequence: int
    create_time: _timestamp_pb2.Timestamp
    scheduled_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    etag: str
    workflow_revision: str
    failed_attempts: int
    next_steps: _containers.RepeatedScalarFieldContainer[str]
    next_attempt_time: _timestamp_pb2.Timestamp
    concurrency_key: str
    def __init__(self, job_id: _Optional[str] = ..., workflow: _Optional[str] = ..., thread_id: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., input: _Optional[_Union[Payload, _Mapping]] = ..., output: _Optional[_Union[Payload, _Mapping]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., interrupts: _Optional[_Iterable[_Union[Interrupt, _Mapping]]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., checkpoint_id: _Optional[str] = ..., latest_sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scheduled_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., workflow_revision: _Optional[str] = ..., failed_attempts: _Optional[int] = ..., next_steps: _Optional[_Iterable[str]] = ..., next_attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., concurrency_key: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("fraction", "active_steps", "completed_steps", "estimated_total_steps", "elapsed", "estimated_remaining", "message")
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_STEPS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_STEPS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_REMAINING_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    fraction: float
    active_steps: _containers.RepeatedScalarFieldContainer[str]
    completed_steps: int
    estimated_total_steps: int
    elapsed: _duration_pb2.Duration
    estimated_remaining: _duration_pb2.Duration
    message: str
    def __init__(self, fraction: _Optional[float] = ..., active_steps: _Optional[_Iterable[str]] = ..., completed_steps: _Optional[int] = ..., estimated_total_steps: _Optional[int] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., estimated_remaining: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., message: _Optional[str] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("json", "json_text", "omitted")
    JSON_FIELD_NUMBER: _ClassVar[int]
    JSON_TEXT_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    json: _struct_pb2.Value
    json_text: str
    omitted: Omitted
    def __init__(self, json: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., json_text: _Optional[str] = ..., omitted: _Optional[_Union[Omitted, _Mapping]] = ...) -> None: ...

class Omitted(_message.Message):
    __slots__ = ("size_bytes",)
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    def __init__(self, size_bytes: _Optional[int] = ...) -> None: ...

class Interrupt(_message.Message):
    __slots__ = ("interrupt_id", "step", "value", "create_time", "response_schema", "step_run_id")
    INTERRUPT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STEP_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    interrupt_id: str
    step: str
    value: Payload
    create_time: _timestamp_pb2.Timestamp
    response_schema: _struct_pb2.Struct
    step_run_id: str
    def __init__(self, interrupt_id: _Optional[str] = ..., step: _Optional[str] = ..., value: _Optional[_Union[Payload, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., response_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., step_run_id: _Optional[str] = ...) -> None: ...

class JobError(_message.Message):
    __slots__ = ("reason", "message", "step", "exception_type", "traceback")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    EXCEPTION_TYPE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    step: str
    exception_type: str
    traceback: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., step: _Optional[str] = ..., exception_type: _Optional[str] = ..., traceback: _Optional[str] = ...) -> None: ...

class RetryPolicy(_message.Message):
    __slots__ = ("max_attempts", "initial_backoff", "max_backoff", "backoff_multiplier")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_BACKOFF_FIELD_NUMBER: _ClassVar[int]
    MAX_BACKOFF_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    initial_backoff: _duration_pb2.Duration
    max_backoff: _duration_pb2.Duration
    backoff_multiplier: float
    def __init__(self, max_attempts: _Optional[int] = ..., initial_backoff: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_backoff: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., backoff_multiplier: _Optional[float] = ...) -> None: ...

class ProgressEvent(_message.Message):
    __slots__ = ("job_id", "sequence", "event_time", "attempt", "progress", "state_changed", "step_started", "step_finished", "step_failed", "interrupt_raised", "progress_reported", "checkpoint_saved", "token_chunk")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    STEP_STARTED_FIELD_NUMBER: _ClassVar[int]
    STEP_FINISHED_FIELD_NUMBER: _ClassVar[int]
    STEP_FAILED_FIELD_NUMBER: _ClassVar[int]
    INTERRUPT_RAISED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_REPORTED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SAVED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_CHUNK_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    sequence: int
    event_time: _timestamp_pb2.Timestamp
    attempt: int
    progress: Progress
    state_changed: StateChanged
    step_started: StepStarted
    step_finished: StepFinished
    step_failed: StepFailed
    interrupt_raised: InterruptRaised
    progress_reported: ProgressReported
    checkpoint_saved: CheckpointSaved
    token_chunk: TokenChunk
    def __init__(self, job_id: _Optional[str] = ..., sequence: _Optional[int] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., state_changed: _Optional[_Union[StateChanged, _Mapping]] = ..., step_started: _Optional[_Union[StepStarted, _Mapping]] = ..., step_finished: _Optional[_Union[StepFinished, _Mapping]] = ..., step_failed: _Optional[_Union[StepFailed, _Mapping]] = ..., interrupt_raised: _Optional[_Union[InterruptRaised, _Mapping]] = ..., progress_reported: _Optional[_Union[ProgressReported, _Mapping]] = ..., checkpoint_saved: _Optional[_Union[CheckpointSaved, _Mapping]] = ..., token_chunk: _Optional[_Union[TokenChunk, _Mapping]] = ...) -> None: ...

class StateChanged(_message.Message):
    __slots__ = ("to", "error")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    to: JobState
    error: JobError
    def __init__(self, to: _Optional[_Union[JobState, str]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., **kwargs) -> None: ...

class StepStarted(_message.Message):
    __slots__ = ("step", "step_run_id")
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEP_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    step: str
    step_run_id: str
    def __init__(self, step: _Optional[str] = ..., step_run_id: _Optional[str] = ...) -> None: ...

class StepFinished(_message.Message):
    __slots__ = ("step", "step_run_id", "update", "duration")
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEP_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    step: str
    step_run_id: str
    update: Payload
    duration: _duration_pb2.Duration
    def __init__(self, step: _Optional[str] = ..., step_run_id: _Optional[str] = ..., update: _Optional[_Union[Payload, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StepFailed(_message.Message):
    __slots__ = ("step", "step_run_id", "error", "duration")
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEP_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    step: str
    step_run_id: str
    error: JobError
    duration: _duration_pb2.Duration
    def __init__(self, step: _Optional[str] = ..., step_run_id: _Optional[str] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class InterruptRaised(_message.Message):
    __slots__ = ("interrupt",)
    INTERRUPT_FIELD_NUMBER: _ClassVar[int]
    interrupt: Interrupt
    def __init__(self, interrupt: _Optional[_Union[Interrupt, _Mapping]] = ...) -> None: ...

class ProgressReported(_message.Message):
    __slots__ = ("step", "message", "fraction", "data", "dropped")
    STEP_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    step: str
    message: str
    fraction: float
    data: Payload
    dropped: int
    def __init__(self, step: _Optional[str] = ..., message: _Optional[str] = ..., fraction: _Optional[float] = ..., data: _Optional[_Union[Payload, _Mapping]] = ..., dropped: _Optional[int] = ...) -> None: ...

class CheckpointSaved(_message.Message):
    __slots__ = ("checkpoint_id", "superstep", "next_steps")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    SUPERSTEP_FIELD_NUMBER: _ClassVar[int]
    NEXT_STEPS_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    superstep: int
    next_steps: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, checkpoint_id: _Optional[str] = ..., superstep: _Optional[int] = ..., next_steps: _Optional[_Iterable[str]] = ...) -> None: ...

class TokenChunk(_message.Message):
    __slots__ = ("step", "message_id", "text")
    STEP_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    step: str
    message_id: str
    text: str
    def __init__(self, step: _Optional[str] = ..., message_id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("checkpoint_id", "parent_checkpoint_id", "superstep", "source", "next_steps", "create_time", "values")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    SUPERSTEP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_STEPS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    parent_checkpoint_id: str
    superstep: int
    source: str
    next_steps: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    values: Payload
    def __init__(self, checkpoint_id: _Optional[str] = ..., parent_checkpoint_id: _Optional[str] = ..., superstep: _Optional[int] = ..., source: _Optional[str] = ..., next_steps: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., values: _Optional[_Union[Payload, _Mapping]] = ...) -> None: ...

class Workflow(_message.Message):
    __slots__ = ("name", "description", "revision", "input_schema", "output_schema", "steps", "mermaid", "max_running_jobs", "max_running_jobs_per_key")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    MERMAID_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_JOBS_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_JOBS_PER_KEY_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    revision: str
    input_schema: _struct_pb2.Struct
    output_schema: _struct_pb2.Struct
    steps: _containers.RepeatedScalarFieldContainer[str]
    mermaid: str
    max_running_jobs: int
    max_running_jobs_per_key: int
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., revision: _Optional[str] = ..., input_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., output_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., steps: _Optional[_Iterable[str]] = ..., mermaid: _Optional[str] = ..., max_running_jobs: _Optional[int] = ..., max_running_jobs_per_key: _Optional[int] = ...) -> None: ...
