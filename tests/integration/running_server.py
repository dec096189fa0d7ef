"""antidiffusiond as a child process, and a client that learns the service by reflection."""

import os
import re
import signal
import subprocess
import time
import typing
import urllib.request
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests/golden/models"
PROTECT = "/antidiffusion.v1.ProtectionService/Protect"
LIST_MODELS = "/antidiffusion.v1.ProtectionService/ListModels"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"  # HealthCheckResponse on the wire
WAIT_S = 120  # for anything: longer means that it will never come


def until(condition, what):
    """Waits for a condition of another process."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def _parent_and_state(pid):
    """Of a process; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0]


def is_alive(pid):
    found = _parent_and_state(pid)
    return found is not None and found[1] not in "ZX"


class Result(typing.NamedTuple):
    facts: object  # the message ProtectionResult
    image: bytes


def result_of(events):
    """The result at the end of a stream that ended well."""
    facts, image = None, b""
    for event in events:
        if event.HasField("result"):
            facts = event.result
        elif event.HasField("chunk"):
            assert event.chunk.offset == len(image) and 0 < len(event.chunk.data) <= 1 << 20
            image += event.chunk.data
    assert facts is not None and len(image) == facts.image_bytes > 0
    return Result(facts, image)


class RunningServer:
    """One tiny model, loopback, free ports; more flags, and a channel with credentials, on demand."""

    def __init__(self, folder, *flags, credentials=None):
        self.log_path = folder / "server.log"
        ports = folder / "ports"
        any_port = () if any(flag.startswith("--grpc-port=") for flag in flags) else ("--grpc-port=0",)
        command = [
            os.environ["ANTIDIFFUSIOND"], "--grpc-address=127.0.0.1", *any_port,
            "--metrics-port=0", f"--port-file={ports}", f"--model-repository={MODELS}",
            "--load-model=sd1-like", "--precision=fp32", "--threads=1", "--max-job-passes=0",
            *flags,
        ]
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: ports.exists() or self.process.poll() is not None, "the ports")
        assert self.process.poll() is None, self.log()
        values = dict(line.split("=") for line in ports.read_text().split())
        self.address = f"127.0.0.1:{values['GRPC_PORT']}"
        self.metrics_port = int(values["METRICS_PORT"])
        self.channel = self.connect(credentials)
        until(lambda: self.http("/readyz") == 200, "the models")
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))

    def connect(self, credentials=None):
        """A channel, with a connection of its own."""
        options = [("grpc.enable_retries", 0),
                   ("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200),
                   ("grpc.initial_reconnect_backoff_ms", 200)]
        if credentials is None:
            return grpc.insecure_channel(self.address, options=options)
        return grpc.secure_channel(self.address, credentials, options=options)

    def log(self):
        return self.log_path.read_text(encoding="utf-8")

    def http(self, path):
        """The status code of a GET."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}",
                                        timeout=WAIT_S) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics",
                                    timeout=WAIT_S) as reply:
            return reply.read().decode()

    def metric(self, series):
        """The value of a series, or the sum of all series of a family that match the labels given."""
        name, _, labels = series.partition("{")
        wanted = [label for label in labels.rstrip("}").split(",") if label]
        values = [
            float(value)
            for found, value in re.findall(
                rf"^antidiffusion_{name}(\{{.*\}}|) (\S+)$", self.metrics(), re.MULTILINE)
            if all(label in found for label in wanted)
        ]
        assert values, f"no series {series}"
        return sum(values)

    def message(self, name):
        """The class of a message, as the server describes it."""
        return message_factory.GetMessageClass(
            self.pool.FindMessageTypeByName(f"antidiffusion.v1.{name}"))

    def request(self, image, **fields):
        return self.message("ProtectRequest")(image=image, **fields)

    def protect(self, request, timeout=None, channel=None, metadata=None):
        """The call, an iterator over the events; over another channel than the usual one if given."""
        method = (channel or self.channel).unary_stream(
            PROTECT, request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.message("JobEvent").FromString)
        return method(request, timeout=timeout, metadata=metadata)

    def result(self, request, **how):
        """The result of a whole call."""
        return result_of(self.protect(request, **how))

    def refusal(self, request, timeout=None, **how):
        """The error of a call that must fail before its first event."""
        call = self.protect(request, timeout, **how)
        try:
            event = next(call)
        except grpc.RpcError:
            return Refusal(call)
        raise AssertionError(f"not refused: {event}")

    def health(self, service="", channel=None):
        method = (channel or self.channel).unary_unary("/grpc.health.v1.Health/Check")
        request = b"" if not service else b"\x0a" + bytes([len(service)]) + service.encode()
        return method(request)

    def watch_health(self):
        return self.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")

    def workers(self):
        """The process ids of its worker processes."""
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if is_alive(pid)
                and (_parent_and_state(pid) or (0, ""))[0] == self.process.pid]

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """The exit code."""
        return self.process.wait(WAIT_S)

    def close(self):
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Refusal:
    """Code and google.rpc details of a failed call."""

    def __init__(self, call):
        self.code = call.code()
        self.message = call.details()
        self.trailers = {key: value for key, value in call.trailing_metadata() or ()}
        self._status = rpc_status.from_call(call)
        self.info = self.detail(error_details_pb2.ErrorInfo)
        assert self.info is not None, "every error carries an ErrorInfo"
        assert self.info.domain == "antidiffusion"
        self.reason = self.info.reason

    def detail(self, kind):
        for packed in self._status.details:
            if packed.Is(kind.DESCRIPTOR):
                found = kind()
                packed.Unpack(found)
                return found
        return None

    def violated_fields(self):
        bad = self.detail(error_details_pb2.BadRequest)
        return [violation.field for violation in bad.field_violations] if bad else []
