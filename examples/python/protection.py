"""What the examples share: a connection, who is calling, and when to try again."""

import os
import random
import time

import grpc
from antidiffusion.v1 import protection_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

ATTEMPTS = 8


def add_connection_flags(parser):
    parser.add_argument("--server", default="127.0.0.1:8001", metavar="HOST:PORT")
    parser.add_argument("--ca", metavar="FILE", help="PEM of the authority: speaks TLS")


class Connection:
    """One for the whole process: it is thread-safe, and a channel is expensive."""

    def __init__(self, server, ca=None, api_key=os.environ.get("ANTIDIFFUSION_API_KEY")):
        options = [
            ("grpc.enable_retries", 0),  # `attempts` below is the only one that repeats
            ("grpc.keepalive_time_ms", 30_000),  # a dead connection must be noticed
        ]
        if ca:
            with open(ca, "rb") as file:
                credentials = grpc.ssl_channel_credentials(file.read())
            channel = grpc.secure_channel(server, credentials, options)
        else:
            channel = grpc.insecure_channel(server, options)
        self.service = protection_pb2_grpc.ProtectionServiceStub(channel)
        self.metadata = [("authorization", f"Bearer {api_key}")] if api_key else []


def read_to_the_end(events, on_event):
    """The ProtectionResult and the image of a Protect or WatchJob call.

    A call that breaks before the last byte is made again: it brings the result once more. (DownloadResult
    would go on from a byte.)
    """
    result, image = None, bytearray()
    for event in events:
        if event.HasField("result"):
            result = event.result
        elif event.HasField("chunk"):
            image += event.chunk.data
        else:
            on_event(event)
    assert result and len(image) == result.image_bytes, "a call that ends well has a result"
    return result, bytes(image)


def reason_of(error):
    """The machine-readable reason (docs/api.md), or None: then the server never answered."""
    for detail in getattr(rpc_status.from_call(error), "details", []):
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return None


def _delay_of(error):
    """Seconds that the server asks to wait; None: it does not say, negative: do not try again."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-retry-pushback-ms":
            return int(value) / 1000
    for detail in getattr(rpc_status.from_call(error), "details", []):
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return retry.retry_delay.ToTimedelta().total_seconds()
    return None


def attempts(call):
    """`call()`, again while the error says that it may succeed later.

    Safe for calls with a request_id: the server takes a repeated one for the same job.
    """
    backoff = 0.5
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except grpc.RpcError as error:
            delay = _delay_of(error)
            again = error.code() == grpc.StatusCode.UNAVAILABLE or (
                error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and delay is not None)
            if not again or attempt == ATTEMPTS or (delay is not None and delay < 0):
                raise
            wait = max(delay or 0, backoff) * random.uniform(1, 1.2)
            backoff = min(2 * backoff, 30)
            time.sleep(wait)
