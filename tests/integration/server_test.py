"""What a stranger's client sees of antidiffusiond: codes, details, streams, signals, metrics.

usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/integration/server_test.py
"""

import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from PIL import Image

from running_server import (
    MODELS,
    NOT_SERVING,
    SERVING,
    WAIT_S,
    Refusal,
    RunningServer,
    result_of,
    until,
)

SHORT = {"epochs": 1, "prompt_steps": 1, "pgd_steps": 2, "tuning_steps": 1}
ENDLESS = {"epochs": 1000, "prompt_steps": 1000, "pgd_steps": 1000, "tuning_steps": 1000}
MODEL = 'model="sd1-like"'


def picture(width=96, height=64):
    """A gradient with texture, RGB."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [(x * 2 + y) % 256, (x + y * 3) % 256, (x * y) % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def huge_png():
    """A complete PNG of 20000x20000: 1 bit a pixel, all zero."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))

    side = 20_000
    row = b"\0" * (1 + side // 8)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(row * side, 1)) + chunk(b"IEND", b""))


@pytest.fixture
def start(tmp_path):
    """Starts servers that end with the test."""
    servers = []

    def _start(*flags):
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        servers.append(RunningServer(folder, *flags))
        return servers[-1]

    yield _start
    for server in servers:
        server.close()


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory):
    server = RunningServer(tmp_path_factory.mktemp("server"), "--max-queue-size=1",
                           "--max-queue-bytes=100000")
    yield server
    server.close()


def begin_endless(server):
    """A call whose job has done a step and will not end by itself."""
    call = server.protect(server.request(encoded(picture()), options=ENDLESS))
    for event in call:
        if event.HasField("progress") and event.progress.step > 0:
            return call
    raise AssertionError("no progress")


def cancel(server, call):
    """Cancels, and waits until the worker is free."""
    call.cancel()
    until(lambda: server.metric("jobs_running") == 0, "the worker")


def test_reflection_describes_every_service(server):
    database = ProtoReflectionDescriptorDatabase(server.channel)
    assert set(database.get_services()) == {
        "antidiffusion.v1.ProtectionService", "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection"}
    health = server.pool.FindServiceByName("grpc.health.v1.Health")
    assert set(health.methods_by_name) == {"Check", "Watch"}


def test_lists_the_model(server):
    method = server.channel.unary_unary(
        "/antidiffusion.v1.ProtectionService/ListModels",
        response_deserializer=server.message("ListModelsResponse").FromString)
    models = method(b"")
    assert models.default_model == "sd1-like"
    assert [model.name for model in models.models] == ["sd1-like"]
    model = models.models[0]
    assert model.family == "sd1"
    assert len(model.digest) == 64
    assert model.devices and model.precision == "fp32"


def test_protects_within_the_budget(server):
    original = picture()
    events = list(server.protect(
        server.request(encoded(original), options={"budget_levels": 4, "seed": 1, **SHORT})))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "queued" and kinds[-2:] == ["result", "chunk"]
    sequences = [event.sequence for event in events[:-1]]
    assert sequences == sorted(set(sequences))
    assert events[-1].sequence == sequences[-1]
    result, image = result_of(events)
    after = Image.open(io.BytesIO(image))
    assert after.format == "PNG" and after.size == original.size
    difference = np.abs(np.asarray(after).astype(int) - np.asarray(original)).max()
    assert 0 < difference <= 4
    assert result.report.max_difference == difference
    assert result.report.budget == 4
    assert result.seed == 1


def test_equal_requests_give_equal_bytes(server):
    request = server.request(encoded(picture()), options={"seed": 7, **SHORT})
    assert server.result(request).image == server.result(request).image


@pytest.mark.parametrize(("image", "what"), [
    (b"", "nothing"),
    (b"GIF89a" + bytes(100), "a wrong format"),
    (b"\x89PNG\r\n\x1a\n" + bytes(50), "a broken header"),
    (encoded(picture())[:2000], "a truncated PNG"),
    (encoded(picture(), "JPEG")[:-200], "a truncated JPEG"),
    (encoded(picture(), "WEBP")[:-200], "a truncated WebP"),
    (encoded(picture(63, 200)), "a side under 64"),
    (huge_png(), "20000x20000"),
])
def test_bad_images_are_invalid(server, image, what):
    call = server.protect(server.request(image, options=SHORT))
    with pytest.raises(grpc.RpcError):
        for event in call:
            assert not event.HasField("result"), what
    refusal = Refusal(call)
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT, what
    assert refusal.reason == "INVALID_FIELD"
    assert refusal.violated_fields() == ["image"]


@pytest.mark.parametrize("budget", [0, 1000, -1, float("nan")])
def test_bad_budgets_are_invalid(server, budget):
    refusal = server.refusal(
        server.request(encoded(picture()), options={"budget_levels": budget}))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.violated_fields() == ["options.budget_levels"]
    assert refusal.info.metadata["limit"] == "(0, 32]"


def test_unknown_models_are_not_found(server):
    refusal = server.refusal(server.request(encoded(picture()), model="../sd1-like"))
    assert refusal.code == grpc.StatusCode.NOT_FOUND
    assert refusal.reason == "MODEL_NOT_FOUND"
    assert refusal.detail(error_details_pb2.ResourceInfo).resource_name == "../sd1-like"


def test_a_full_queue_says_when_to_come_back(server):
    running = begin_endless(server)
    waiting = server.protect(server.request(encoded(picture()), options=SHORT))
    assert next(waiting).queued.position == 1
    refusal = server.refusal(server.request(encoded(picture())))
    assert refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "QUEUE_FULL"
    delay = refusal.detail(error_details_pb2.RetryInfo).retry_delay
    assert int(refusal.trailers["grpc-retry-pushback-ms"]) == delay.ToMilliseconds() > 0
    waiting.cancel()
    until(lambda: server.metric("queue_depth") == 0, "the place in the queue")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    refusal = server.refusal(server.request(encoded(Image.fromarray(noise))))
    assert refusal.reason == "QUEUE_BYTES_FULL"
    cancel(server, running)


def test_a_deadline_is_kept_between_steps(server):
    call = server.protect(server.request(encoded(picture()), options=ENDLESS), timeout=2)
    with pytest.raises(grpc.RpcError) as error:
        list(call)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: server.metric("jobs_running") == 0, "the worker")
    assert server.metric(f'jobs_total{{{MODEL},outcome="expired"}}') >= 1


def test_a_killed_client_frees_the_worker(server):
    cancelled = f'jobs_total{{{MODEL},outcome="cancelled"}}'
    before = server.metric(cancelled)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import server_test, running_server, grpc
from google.protobuf import descriptor_pool
server = running_server.RunningServer.__new__(running_server.RunningServer)
server.channel = grpc.insecure_channel({server.address!r})
server.pool = descriptor_pool.DescriptorPool(
    running_server.ProtoReflectionDescriptorDatabase(server.channel))
call = server_test.begin_endless(server)
print("running", flush=True)
for event in call:
    pass
"""
    with subprocess.Popen([sys.executable, "-B", "-c", code], stdout=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"running\n"
        client.kill()
    until(lambda: server.metric("jobs_running") == 0, "the worker")
    assert server.metric(cancelled) == before + 1
    assert server.result(server.request(encoded(picture()), options=SHORT)).image


def test_health_is_serving(server):
    assert server.health() == SERVING
    assert server.health("antidiffusion.v1.ProtectionService") == SERVING
    with pytest.raises(grpc.RpcError) as error:
        server.health("unknown")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_the_accounts_balance(server):
    jobs = {outcome: server.metric(f'jobs_total{{{MODEL},outcome="{outcome}"}}')
            for outcome in ("accepted", "succeeded", "failed", "cancelled", "expired")}
    assert jobs.pop("accepted") == sum(jobs.values()) > 0
    assert server.metric("queue_depth") == server.metric("jobs_running") == 0


def test_promtool_finds_the_metrics_clean(server):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    checked = subprocess.run(["promtool", "check", "metrics"], input=server.metrics(), text=True,
                             capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_second_server_does_not_take_the_port(server):
    grpc_port = server.address.split(":")[1]
    for ports in ((grpc_port, 0), (0, server.metrics_port)):
        second = subprocess.run(
            [os.environ["ANTIDIFFUSIOND"], "--grpc-address=127.0.0.1",
             f"--model-repository={MODELS}", f"--grpc-port={ports[0]}",
             f"--metrics-port={ports[1]}"],
            capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert second.returncode == 1, ports
        assert "cannot listen" in second.stderr, ports


def test_the_log_holds_no_image_and_the_request_id(server):
    server.result(server.request(encoded(picture()), options=SHORT, request_id="upload 7\nforged"))
    log = server.log()
    assert 'request_id="upload 7\\u000aforged"' in log
    assert "PNG\n" not in log and "IHDR\0" not in log


def test_sigterm_lets_the_running_and_the_waiting_job_finish(start):
    server = start()
    watch = server.watch_health()
    assert next(watch) == SERVING
    medium = {"epochs": 2, "prompt_steps": 5, "pgd_steps": 5, "tuning_steps": 5}
    running = server.protect(server.request(encoded(picture()), options=medium))
    for event in running:
        if event.HasField("progress"):
            break
    waiting = server.protect(server.request(encoded(picture()), options=SHORT))
    assert next(waiting).HasField("queued")
    server.terminate()
    assert next(watch) == NOT_SERVING
    assert server.http("/readyz") == 503
    refusal = server.refusal(server.request(encoded(picture())))
    assert refusal.code == grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "DRAINING"
    assert refusal.detail(error_details_pb2.RetryInfo) is not None
    assert result_of(running).image
    assert result_of(waiting).image
    assert server.wait() == 0


@pytest.mark.parametrize("hurry", ["second signal", "drain timeout"])
def test_a_drain_can_be_cut_short(start, hurry):
    server = start("--drain-timeout=0" if hurry == "drain timeout" else "--drain-timeout=600")
    call = begin_endless(server)
    server.terminate()
    if hurry == "second signal":
        until(lambda: "draining" in server.log(), "the drain")
        server.process.send_signal(signal.SIGINT)
    with pytest.raises(grpc.RpcError) as error:
        list(call)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert server.wait() == 0
    assert hurry in server.log()


def begin_unread(server):
    """A call whose result waits for a reader that does not read: it is larger than the window."""
    channel = grpc.insecure_channel(
        server.address, options=[("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)])
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    request = server.request(encoded(Image.fromarray(noise)), options=SHORT)
    call = server.protect(request, channel=channel)
    until(lambda: server.metric(f'jobs_total{{{MODEL},outcome="succeeded"}}') == 1, "the result")
    return call


@pytest.mark.parametrize("limit", ["third signal", "time limit"])
def test_a_drain_that_does_not_end_is_given_up(start, limit):
    server = start("--drain-timeout=0" if limit == "time limit" else "--drain-timeout=600")
    call = begin_unread(server)
    server.terminate()
    if limit == "third signal":
        until(lambda: "draining" in server.log(), "the drain")
        server.terminate()
        until(lambda: "cancelling jobs" in server.log(), "the second signal")
        server.terminate()
    assert server.wait() == 1
    assert "exiting with jobs left" in server.log() and limit in server.log()
    assert call.code() == grpc.StatusCode.UNAVAILABLE


def resident_bytes(server):
    """Of the server and its worker."""
    total = 0
    for pid in (server.process.pid, *server.workers()):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        total += int(status.split("VmRSS:")[1].split()[0]) * 1024
    return total


def test_memory_does_not_grow_with_the_variety_of_sizes(start):
    server = start()
    options = {"epochs": 1, "prompt_steps": 0, "pgd_steps": 1, "tuning_steps": 1}

    def run_sizes(first):
        for i in range(first, first + 8):
            image = encoded(picture(800 + 64 * (i % 6), 600 + 8 * i))
            server.result(server.request(image, options=options))
        return resident_bytes(server)

    run_sizes(0)
    first = run_sizes(0)
    later = [run_sizes(8), run_sizes(16)]
    assert min(later) < 1.25 * first, (first, later)
