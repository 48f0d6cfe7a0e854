"""What attacks a server below gRPC: garbage, broken HTTP/2, floods, and clients that send half or never read."""

import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from tests.proof.conftest import Tried
from tests.proof.hostile.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET_STATUS,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    block,
    call,
    frame,
    headers,
    message,
    paths_are_text,
)
from tests.proof.hostile.victim import EXAMPLES, HOSTILE_GRAPHS, SERVICE, WATCH, Victim, witness
from tests.proof.seed import SEED
from tests.waiting import wait_until

REQUEST = job_service_pb2.GetStatusRequest(job_id="finished").SerializeToString()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    victim = Victim(tmp_path_factory.mktemp("victim"))
    victim.seed()
    yield victim
    victim.close()


@pytest.fixture
def unharmed(victim: Victim) -> Iterator[None]:
    """Others are served during the test, and behind it no more files are open and no more threads run than before."""
    before = victim.vitals()
    with witness(victim):
        yield
    victim.wait_until_as_before(before)
    victim.check_log()


def head(stream: int = 1, flags: int = END_HEADERS, content: bytes | None = None) -> bytes:
    return frame(HEADERS, flags, stream, block(headers()) if content is None else content)


_OPEN = PREFACE + frame(SETTINGS)

# Openings that no client of gRPC makes: what is sent before the client ends its side.
OPENINGS: dict[str, bytes] = {
    "nothing": b"",
    "garbage": random.Random(1).randbytes(100_000),
    "zeros": b"\0" * 100_000,
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/1.1 upgrade": b"POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xab" * 500,
    "half a preface": PREFACE[:11],
    "no settings": PREFACE + head(),
    "settings with half a setting": PREFACE + frame(SETTINGS, content=b"\0\1\0"),
    "settings on a stream": _OPEN + frame(SETTINGS, stream=1),
    "settings out of range": PREFACE + frame(SETTINGS, content=struct.pack(">HIHI", 4, 2**32 - 1, 5, 1)),
    "acknowledged settings with contents": _OPEN + frame(SETTINGS, ACK, content=b"\0\1\0\0\0\0"),
    "data on an idle stream": _OPEN + frame(DATA, stream=1, content=b"x"),
    "data on no stream": _OPEN + frame(DATA, content=b"x"),
    "headers on no stream": _OPEN + head(0),
    "headers on an even stream": _OPEN + head(2),
    "streams backwards": _OPEN + head(9) + head(3),
    "continuation of nothing": _OPEN + frame(CONTINUATION, END_HEADERS, 1, b"x"),
    "another frame amid headers": _OPEN + head(1, 0) + frame(PING, content=b"12345678"),
    "headers that never end": _OPEN + head(1, 0) + frame(CONTINUATION, 0, 1, block([("a", "b" * 100)])) * 2000,
    "empty continuations": _OPEN + head(1, 0) + frame(CONTINUATION, 0, 1) * 20_000,
    "a frame beyond its limit": _OPEN + frame(DATA, stream=1, content=b"x" * 70_000),
    "a frame that says it has 16 MB": _OPEN + frame(DATA, stream=1, size=2**24 - 1),
    "more padding than frame": _OPEN + frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + block(headers())),
    "no room for priority": _OPEN + frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, b"\0"),
    "depends on itself": _OPEN + frame(PRIORITY, stream=1, content=struct.pack(">IB", 1, 0)),
    "a promise": _OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2"),
    "an unknown frame": _OPEN + frame(0xEE, 0xFF, 7, b"x" * 100),
    "a window of nothing": _OPEN + frame(WINDOW_UPDATE, content=struct.pack(">I", 0)),
    "a window too wide": _OPEN + frame(WINDOW_UPDATE, content=struct.pack(">I", 2**31 - 1)) * 2,
    "reset of an idle stream": _OPEN + frame(RST_STREAM, stream=99, content=b"\0\0\0\0"),
    "a short reset": _OPEN + head() + frame(RST_STREAM, stream=1, content=b"\0"),
    "a long ping": _OPEN + frame(PING, content=b"x" * 9),
    "goodbye, and more": _OPEN + frame(GOAWAY, content=b"\0" * 8) + call(1, message(REQUEST)),
    "an index that is not there": _OPEN + head(content=b"\xff\xff\xff\xff\x0f"),
    "a text longer than its block": _OPEN + head(content=b"\x40\x7f\xff\xff\xff\x7f"),
    "bad Huffman": _OPEN + head(content=b"\x40\x84\xff\xff\xff\xff\x01a"),
    "a table of 4 GB": _OPEN + head(content=b"\x3f\xe1\xff\xff\xff\x0f" + block(headers())),
    "no headers at all": _OPEN + head(content=b""),
    "names in capitals": _OPEN + head(content=block([*headers(), ("X-Loud", "x")])),
    "a pseudo-header behind others": _OPEN + head(content=block([("a", "b"), *headers()])),
    "header bytes that are no text": _OPEN + head(content=block([*headers(), ("a", "\0\r\n")])),
    "two paths": _OPEN + head(content=block([*headers(), (":path", "/x")])),
    "a header of 1 MB": _OPEN
    + head(1, 0, block(headers()))
    + b"".join(frame(CONTINUATION, 0, 1, block([(f"a{n}", "x" * 16_000)])) for n in range(64))
    + frame(CONTINUATION, END_HEADERS, 1),
    "ten thousand headers": _OPEN
    + head(1, 0, block(headers()))
    + b"".join(frame(CONTINUATION, 0, 1, block([("a", "b")] * 500)) for _ in range(20))
    + frame(CONTINUATION, END_HEADERS, 1),
}


@pytest.mark.usefixtures("unharmed")
def test_broken_protocols(victim: Victim, tried: Tried) -> None:
    """Each of them, with the connection ended behind it: the server closes it too, and goes on."""
    for opening in OPENINGS.values():
        with Connection(victim.server.address, opening) as connection:
            connection.end()
            connection.wait_for_close()
    tried(hostile_connections=len(OPENINGS))


def test_a_path_that_is_no_text_ends_nothing(tmp_path: Path) -> None:
    """grpc.aio's server shuts down at such a call. Ours listens again, and who is connected is served on."""
    victim = Victim(tmp_path)
    victim.seed()
    try:
        _send_a_path_that_is_no_text(victim)
    finally:
        victim.close()


def _send_a_path_that_is_no_text(victim: Victim) -> None:
    fields = [(name, "/a\udcff/b" if name == ":path" else value) for name, value in headers()]
    encoded = block([(name, value.replace("\udcff", "~")) for name, value in fields]).replace(b"/a~/b", b"/a\xff/b")
    request = job_service_pb2.WatchProgressRequest(job_id=Victim.WAITING)
    channel = victim.open_channel()
    watch = job_service_pb2_grpc.JobServiceStub(channel).WatchProgress(request)
    next(watch)
    times = victim.server.log.read_text().count("listening again")
    with Connection.opened(victim.server.address) as connection:
        connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, encoded))
        wait_until(lambda: victim.server.log.read_text().count("listening again") > times, victim.server.log.read_text)
    victim.stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=Victim.WITNESS), timeout=60, wait_for_ready=True)
    victim.stub.Cancel(job_service_pb2.CancelRequest(job_id=Victim.WAITING), timeout=60)
    states = [event.state_changed.to for response in watch for event in response.events]
    assert states == [job_pb2.JOB_STATE_CANCELLED]
    channel.close()
    # What the calls of before held is given back.
    wait_until(lambda: not victim.call(SERVICE + "GetStatus", REQUEST).refused, lambda: str(victim.answers))


def test_mutated_frames(victim: Victim, tried: Tried) -> None:
    """A valid conversation with some bytes changed, cut or repeated, a few hundred times."""
    with witness(victim, patient=True):
        tried(hostile_connections=_send_mutated_frames(victim))
    victim.stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=Victim.WITNESS), timeout=60, wait_for_ready=True)


def _send_mutated_frames(victim: Victim) -> int:
    """On how many connections."""
    rng, sent = random.Random(SEED), 0
    valid = _OPEN + call(1, message(REQUEST)) + call(3, message(REQUEST)) + frame(PING, content=b"12345678")
    for _ in range(3 * EXAMPLES):
        data = bytearray(valid)
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(PREFACE), len(data))
            data[at : at + rng.choice([0, 0, 1, 9])] = rng.randbytes(rng.choice([1, 1, 3, 9]))
        if not paths_are_text(bytes(data)):
            # The test above.
            continue
        with Connection(victim.server.address, bytes(data)) as connection:
            connection.end()
            connection.wait_for_close()
        sent += 1
    return sent


# Calls that are no calls of gRPC: how they end, by gRPC's status or HTTP's.
CALLS: dict[str, tuple[bytes, set[str]]] = {
    "a valid one": (call(1, message(REQUEST)), {"0"}),
    "another content type": (call(1, message(REQUEST), content_type="application/json"), {"415", "0"}),
    "no content type": (call(1, message(REQUEST), content_type=None), {"415", "0", "13", "reset"}),
    "no te": (call(1, message(REQUEST), te=None), {"0", "13", "reset"}),
    "GET": (call(1, message(REQUEST), p_method="GET"), {"0", "12", "13", "reset", "405"}),
    "a method that is none": (call(1, message(REQUEST), p_method="\x7f"), {"13", "reset", "12"}),
    "no path": (call(1, message(REQUEST), p_path=None), {"12", "13", "reset"}),
    "an empty path": (call(1, message(REQUEST), p_path=""), {"12", "13", "reset"}),
    "a path of a folder": (call(1, message(REQUEST), p_path="/../../etc/passwd"), {"12"}),
    "a path of 4 kB": (call(1, message(REQUEST), p_path="/" + "a" * 4000), {"12"}),
    "an unknown method": (call(1, message(REQUEST), p_path=SERVICE + "Nothing"), {"12"}),
    "compressed garbage": (call(1, message(b"\xff" * 50, compressed=1), grpc_encoding="gzip"), {"13", "3"}),
    "compressed by nothing": (call(1, message(REQUEST, compressed=1)), {"13", "12", "3"}),
    "an unknown compression": (call(1, message(REQUEST, compressed=1), grpc_encoding="brotli"), {"12", "13"}),
    "a flag that is none": (call(1, message(REQUEST, compressed=7)), {"13", "3"}),
    "a message that says it is longer": (call(1, message(REQUEST, size=5000)), {"13", "3"}),
    "a message over the limit": (call(1, message(b"", size=17 << 20)), {"8"}),
    "a message of 4 GB": (call(1, message(b"", size=2**32 - 1)), {"8"}),
    "half a prefix": (call(1, b"\0\0"), {"13", "3"}),
    "no message": (call(1, b""), {"3", "13", "12"}),
    "two messages": (call(1, message(REQUEST) * 2), {"0", "13", "12"}),
    "an empty message": (call(1, message(b"")), {"3"}),
    **{
        f"a timeout of {timeout!r}": (call(1, message(REQUEST), grpc_timeout=timeout), {"0", "4", "13", "reset"})
        for timeout in ("99999999H", "9" * 60 + "S", "-1S", "0n", "1x", "", "S", "\xff", "1e9S")
    },
}


@pytest.mark.usefixtures("unharmed")
def test_calls_that_are_no_calls(victim: Victim, tried: Tried) -> None:
    """They get a status, and the connection, on which others may have calls too, goes on."""
    for name, (data, ends) in CALLS.items():
        with Connection.opened(victim.server.address) as connection:
            connection.send(data)
            found = connection.status(1)
            how = {found.get("grpc-status", ""), found.get(":status", ""), *({"reset"} & found.keys())}
            assert how & ends, (name, found)
            assert connection.answers_pings(), name
    tried(hostile_calls=len(CALLS))


def _streams(count: int) -> range:
    return range(1, 2 * count, 2)


FLOODS: dict[str, list[bytes]] = {
    "settings": [frame(SETTINGS, content=struct.pack(">HI", 3, 100))] * 20_000,
    "pings": [frame(PING, content=b"12345678")] * 20_000,
    "empty data": [head(), *[frame(DATA, stream=1)] * 20_000],
    "windows": [head(), *[frame(WINDOW_UPDATE, stream=1, content=struct.pack(">I", 1))] * 20_000],
    "priorities": [frame(PRIORITY, stream=n, content=struct.pack(">IB", 0, 1)) for n in _streams(20_000)],
    "rapid reset": [head(n) + frame(RST_STREAM, stream=n, content=struct.pack(">I", 8)) for n in _streams(5000)],
    "rapid calls, reset": [
        call(n, message(REQUEST)) + frame(RST_STREAM, stream=n, content=struct.pack(">I", 8)) for n in _streams(5000)
    ],
    "resets that the server has to make": [
        head(n) + frame(WINDOW_UPDATE, stream=n, content=struct.pack(">I", 0)) for n in _streams(3000)
    ],
    "unknown methods": [call(n, b"", p_path=f"/x/{n}") for n in _streams(2000)],
    "bad headers": [head(n, END_HEADERS | END_STREAM, block(headers(p_path=None))) for n in _streams(3000)],
}


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("name", FLOODS)
def test_floods(victim: Victim, tried: Tried, name: str) -> None:
    """The sender reads nothing meanwhile: what the server would answer must not pile up without end."""
    before, sent = victim.vitals(), 0
    with Connection.opened(victim.server.address) as connection:
        while sent < len(FLOODS[name]) and not connection.closed:
            connection.send(b"".join(FLOODS[name][sent : sent + 100]))
            sent += 100 * (not connection.closed)
        grown = victim.vitals().resident_kilobytes - before.resident_kilobytes
        assert grown < 100_000, f"{grown} kB"
    assert sent
    tried(hostile_frames=sent)


@pytest.mark.usefixtures("unharmed")
def test_hundreds_of_connections_that_send_half_of_something(victim: Victim, tried: Tried) -> None:
    """Slow loris: they hold a connection each, no thread, and nobody else is kept waiting."""
    halves = [b"", PREFACE[:5], _OPEN, _OPEN + head()[:20], _OPEN + head(), _OPEN + head() + frame(DATA, 0, 1, b"\0\0")]
    threads = victim.vitals().threads
    connections = [Connection(victim.server.address, half) for half in halves * 60]
    try:
        wait_until(lambda: victim.vitals().files > len(connections), lambda: str(victim.vitals()))
        for _ in range(20):
            assert not victim.call(SERVICE + "GetStatus", REQUEST).refused
        assert victim.vitals().threads <= threads + 8
    finally:
        for connection in connections:
            connection.__exit__(None, None, None)
    tried(hostile_connections=len(connections))


@pytest.mark.usefixtures("unharmed")
def test_thousands_of_streams_that_are_opened_and_dropped(victim: Victim, tried: Tried) -> None:
    """Watches and waits; at once or once they are served, cancelled or with their channel."""
    watch = job_service_pb2.WatchProgressRequest(job_id=Victim.WAITING).SerializeToString()
    wait = job_service_pb2.GetStatusRequest(job_id=Victim.WAITING)
    wait.wait_timeout.FromSeconds(600)
    served = 0
    for number in range(30):
        channel = victim.open_channel()
        watches: list[Any] = [channel.unary_stream(WATCH)(watch) for _ in range(100)]
        waits = [channel.unary_unary(GET_STATUS).future(wait.SerializeToString()) for _ in range(20)]
        if number % 3:
            # Most of the others never come to the server.
            served += sum(1 for one in watches if next(one))
        if number % 2:
            for one in (*watches, *waits):
                one.cancel()
        channel.close()
    tried(hostile_streams=served)
    # All places are free again.
    assert not victim.call(WATCH, watch).refused


@pytest.mark.usefixtures("unharmed")
def test_metadata_of_every_size(victim: Victim, tried: Tried) -> None:
    """What gRPC takes is served; what is larger is refused by gRPC, and nothing else happens."""
    sizes = [10, 1000, 7000, 20_000, 100_000, 900_000]
    for size in sizes:
        for metadata in (
            [("x-a", "b" * size)],
            [(f"x-{n}", "b" * 60) for n in range(size // 100)],
            [("x-bin", b"\0" * size)],
        ):
            answer = victim.call(SERVICE + "GetStatus", REQUEST, metadata=metadata)
            expected = (
                {grpc.StatusCode.OK} if size <= 1000 else {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
            )
            assert answer.code in expected, answer
    tried(hostile_requests=3 * len(sizes))


def test_readers_that_never_read(tmp_path: Path, tried: Tried) -> None:
    """Watches of a log of many large events whose clients take nothing: the server keeps a little for each of them,
    the job goes on, and others are served."""
    victim = Victim(tmp_path, config=HOSTILE_GRAPHS)
    try:
        victim.seed()
        job_id = victim.submit("many_large_events")
        job = victim.settled(job_id)
        assert job.state == job_pb2.JOB_STATE_SUCCEEDED
        size = sum(len(body) for _, body in _events(victim, job_id))
        assert size > 20_000_000
        for _ in range(3):
            victim.settled(victim.submit("many_large_events"))
        before = victim.vitals()
        readers = 40
        request = job_service_pb2.WatchProgressRequest(job_id=job_id, payload_format=job_pb2.PAYLOAD_FORMAT_JSON_TEXT)
        connections = [Connection.opened(victim.server.address, (4, 0)) for _ in range(readers)]
        with witness(victim) as served:
            for connection in connections:
                connection.send(call(1, message(request.SerializeToString()), p_path=WATCH))
            for _ in range(3):
                victim.settled(victim.submit("many_large_events"))
            grown = victim.vitals().resident_kilobytes - before.resident_kilobytes
        # A page and its message for each of them, and not the log.
        assert grown < readers * 4000, f"{grown} kB"
        assert served["witness"] > 5
        for connection in connections:
            connection.__exit__(None, None, None)
        victim.wait_until_as_before(before)
        victim.check_log()
        tried(readers_that_never_read=readers)
    finally:
        victim.close()


def _events(victim: Victim, job_id: str) -> list[tuple[str, bytes]]:
    rows = dict(victim.contents())["events"]
    return [(str(row[0]), field) for row in rows for field in row if isinstance(field, bytes) and row[0] == job_id]
