"""antidiffusiond and its worker processes: who ends with whom, and what a caller sees of it.

usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/integration/workers_test.py
"""

import os
import signal
import subprocess
from pathlib import Path

import grpc
import pytest

from running_server import RunningServer, is_alive, result_of, until
from server_test import ENDLESS, SHORT, begin_endless, encoded, picture

# The real engine with faults: built beside the tests.
FAULTY = Path(os.environ["ANTIDIFFUSIOND"]).parents[1] / "tests/antidiffusion-worker-faulty"
MEDIUM = {"epochs": 2, "prompt_steps": 5, "pgd_steps": 10, "tuning_steps": 5, "seed": 5}
DIED = 'worker_restarts_total{device="cpu",reason="WORKER_DIED"}'


@pytest.fixture(name="server")
def _server(tmp_path):
    server = RunningServer(tmp_path, "--device=cpu")
    yield server
    server.close()


def begin(server, options):
    """A call whose job has done a step."""
    call = server.protect(server.request(encoded(picture()), options=options))
    for event in call:
        if event.HasField("progress") and event.progress.step > 0:
            return call
    raise AssertionError("no progress")


def test_the_daemon_needs_no_torch():
    libraries = subprocess.run(["ldd", os.environ["ANTIDIFFUSIOND"]], capture_output=True,
                               text=True, check=True).stdout
    assert "libgrpc" in libraries
    for name in ("libtorch", "libc10", "libcuda", "libcudnn"):
        assert name not in libraries


def test_a_job_survives_the_kill_of_its_worker(server):
    undisturbed = server.result(server.request(encoded(picture()), options=MEDIUM))
    (worker,) = server.workers()
    call = begin(server, MEDIUM)
    os.kill(worker, signal.SIGKILL)
    assert result_of(call).image == undisturbed.image
    assert server.metric(DIED) == 1
    (replacement,) = server.workers()
    assert replacement != worker


@pytest.mark.parametrize(("fault", "reason"), [
    ("hang@job=2,step=2", "WORKER_HUNG"),
    ("sticky@job=2,step=2", "DEVICE_FAULT"),
    ("crash@job=2,step=2", "WORKER_DIED"),
])
def test_a_fault_of_the_real_engine_costs_no_job(tmp_path, monkeypatch, fault, reason):
    monkeypatch.setenv("ANTIDIFFUSION_FAULTS", f"{fault};once={tmp_path / 'mark'}")
    server = RunningServer(tmp_path, "--device=cpu", f"--worker-program={FAULTY}",
                           "--worker-hang-timeout=2", "--result-cache=false")
    try:
        request = server.request(encoded(picture()), options=MEDIUM)
        assert server.result(request).image == server.result(request).image
        assert server.metric(f'worker_restarts_total{{device="cpu",reason="{reason}"}}') == 1
    finally:
        server.close()


def test_out_of_memory_leaves_the_worker_alive(tmp_path, monkeypatch):
    monkeypatch.setenv("ANTIDIFFUSION_FAULTS", "oom@job=1")
    server = RunningServer(tmp_path, "--device=cpu", f"--worker-program={FAULTY}")
    try:
        workers = server.workers()
        with pytest.raises(grpc.RpcError) as error:
            server.result(server.request(encoded(picture()), options=SHORT))
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert server.result(server.request(encoded(picture()), options=SHORT)).image
        assert server.workers() == workers
    finally:
        server.close()


def test_readiness_follows_an_idle_worker(server):
    watch = server.watch_health()
    next(watch)
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    next(watch)  # not serving
    next(watch)  # and serving again
    assert server.http("/readyz") == 200
    assert server.result(server.request(encoded(picture()), options=SHORT)).image


def test_workers_end_with_a_killed_daemon(server):
    call = begin_endless(server)
    (worker,) = server.workers()
    server.process.kill()
    until(lambda: not is_alive(worker), "the end of the worker")
    call.cancel()


def test_signals_of_the_terminal_leave_the_worker_to_the_daemon(server):
    call = begin(server, MEDIUM)
    (worker,) = server.workers()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(worker, number)
    assert result_of(call).image
    assert server.workers() == [worker]
    server.terminate()
    assert server.wait() == 0
    assert not is_alive(worker)


def test_a_cancel_stops_the_worker_before_its_next_step(server):
    call = begin(server, ENDLESS)
    (worker,) = server.workers()
    call.cancel()
    until(lambda: server.metric("jobs_running") == 0, "the worker")
    assert server.result(server.request(encoded(picture()), options=SHORT)).image
    assert server.workers() == [worker]


def test_two_workers_of_one_device_have_names_of_their_own(tmp_path):
    server = RunningServer(tmp_path, "--device=cpu,cpu", "--self-test-interval=0.1")
    try:
        assert len(server.workers()) == 2
        assert server.metric('worker_up{device="cpu#0"}') == 1
        assert server.metric('worker_up{device="cpu#1"}') == 1
        assert server.result(server.request(encoded(picture()), options=SHORT)).image
        assert server.metric("worker_restarts_total") == 0
    finally:
        server.close()


@pytest.mark.parametrize("program", ["/no/such/program", "/etc"])
def test_a_worker_program_that_cannot_run_is_an_error(tmp_path, program):
    refused = subprocess.run(
        [os.environ["ANTIDIFFUSIOND"], "--grpc-port=0", "--metrics-port=0",
         f"--model-repository={tmp_path}", f"--worker-program={program}"],
        capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert program in refused.stderr
