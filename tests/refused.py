"""A refusal as a client sees it."""

from typing import Any

from google.rpc import error_details_pb2
from grpc_status import rpc_status


class Refused:
    """An error of a call. What no service has said, such as one of the transport, has no reason."""

    def __init__(self, error: Any) -> None:
        """Read the details of a `grpc.RpcError`."""
        status = rpc_status.from_call(error)
        self.code = error.code()
        self.message = error.details() or ""
        self.reason, self.metadata = "", dict[str, str]()
        self.violations: dict[str, str] = {}
        self.retry: float | None = None
        """After how many seconds to try again."""
        for detail in status.details if status is not None else ():
            self._take(detail)

    def _take(self, detail: Any) -> None:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            assert (info.domain, self.reason) == ("autopilot", "")
            self.reason, self.metadata = info.reason, dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            self.violations = {v.field: v.description for v in bad.field_violations}
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            self.retry = delay.seconds + delay.nanos / 1e9
