"""The contract of a release, in the place of today's: what a client has that was generated then."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import descriptor_pool, duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.internal import builder

# In the pool, before files that import them.
_IMPORTED = (duration_pb2, struct_pb2, timestamp_pb2)


def use_contract(file: Path) -> None:
    """Make the modules `autopilot.v1.…_pb2` from a FileDescriptorSet. Before anything imports them."""
    for described in FileDescriptorSet.FromString(file.read_bytes()).file:
        if described.name.startswith("autopilot/"):
            _module(described.name, described.SerializeToString())
    service: Any = sys.modules["autopilot.v1.job_service_pb2"]
    stubs = ModuleType("autopilot.v1.job_service_pb2_grpc")
    vars(stubs)["JobServiceStub"] = _stub(service.DESCRIPTOR.services_by_name["JobService"], service)
    sys.modules[stubs.__name__] = stubs


def _module(file: str, serialized: bytes) -> None:
    """As generated code does it."""
    name = f"{file.removesuffix('.proto').replace('/', '.')}_pb2"
    module = ModuleType(name)
    descriptor = descriptor_pool.Default().AddSerializedFile(serialized)
    vars(module)["DESCRIPTOR"] = descriptor
    builder.BuildMessageAndEnumDescriptors(descriptor, vars(module))
    builder.BuildTopDescriptorsAndMessages(descriptor, name, vars(module))
    for message in descriptor.message_types_by_name:
        _as_then(vars(module)[message])
    sys.modules[name] = module


def _as_then(message: Any) -> None:
    """Let today's code run over a message of then: fields that it had not got are read as nothing, and not given when
    there is nothing to give."""
    make, fields = message.__init__, message.DESCRIPTOR.fields_by_name

    def init(self: Any, **given: Any) -> None:
        make(self, **{name: value for name, value in given.items() if name in fields or value})

    def missing(_: Any, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)

    message.__init__, message.__getattr__ = init, missing


def _stub(service: Any, messages: ModuleType) -> type:
    class JobServiceStub:
        def __init__(self, channel: Any) -> None:
            for method in service.methods:
                make = channel.unary_stream if method.server_streaming else channel.unary_unary
                called = make(
                    f"/{service.full_name}/{method.name}",
                    request_serializer=getattr(messages, method.input_type.name).SerializeToString,
                    response_deserializer=getattr(messages, method.output_type.name).FromString,
                )
                setattr(self, method.name, called)

    return JobServiceStub
