"""A server's health, by gRPC's own protocol for it."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from autopilot_client._channel import open_channel
from autopilot_client._errors import from_rpc


def ask_health(address: str, credentials: grpc.ChannelCredentials | None, *, timeout: float) -> str:
    """The status of a server as a whole: SERVING or NOT_SERVING. CallFailed; ServerUnreachable when nobody answers."""
    with open_channel(address, credentials) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise from_rpc(error, server=address, timeout=timeout) from None
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return name
