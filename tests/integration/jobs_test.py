"""Jobs as a stranger's client sees them: retries, lost streams, killed servers, drains.

usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/integration/jobs_test.py
"""

import os
import signal
import sqlite3
import stat
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from running_server import Refusal, RunningServer, result_of, until
from server_test import ENDLESS, SHORT, encoded, picture

SERVICE = "/antidiffusion.v1.ProtectionService/"
LONG = {"epochs": 1, "prompt_steps": 5, "pgd_steps": 40, "tuning_steps": 5}


class Jobs:
    """The job RPCs of a server."""

    def __init__(self, server):
        self.server = server

    def call(self, method, request, answer):
        call = self.server.channel.unary_unary(
            SERVICE + method, request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.server.message(answer).FromString)
        return call(request, timeout=120)

    def create(self, **fields):
        fields.setdefault("options", SHORT)
        return self.call("CreateJob", self.server.request(encoded(picture()), **fields), "Job")

    def get(self, name):
        return self.call("GetJob", self.server.message("GetJobRequest")(name=name), "Job")

    def list(self, **fields):
        return self.call("ListJobs", self.server.message("ListJobsRequest")(**fields),
                         "ListJobsResponse")

    def cancel(self, name):
        return self.call("CancelJob", self.server.message("CancelJobRequest")(name=name), "Job")

    def delete(self, name):
        call = self.server.channel.unary_unary(
            SERVICE + "DeleteJob", request_serializer=lambda message: message.SerializeToString())
        return call(self.server.message("DeleteJobRequest")(name=name), timeout=120)

    def events(self, method, request):
        call = self.server.channel.unary_stream(
            SERVICE + method, request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.server.message("JobEvent").FromString)
        return call(request, timeout=120)

    def watch(self, name, from_sequence=0):
        return self.events("WatchJob", self.server.message("WatchJobRequest")(
            name=name, from_sequence=from_sequence))

    def download(self, name, offset=0):
        return self.events("DownloadResult", self.server.message("DownloadResultRequest")(
            name=name, offset=offset))

    def image(self, name):
        return result_of(self.download(name)).image

    def state(self, name):
        job = self.get(name)
        return job.DESCRIPTOR.enum_types_by_name["State"].values_by_number[job.state].name

    def finish(self, name):
        """The job once it has ended."""
        try:
            for _ in self.watch(name):
                pass
        except grpc.RpcError:
            pass
        return self.get(name)


@pytest.fixture
def start(tmp_path):
    """Starts servers, one after the other on the same store, that end with the test."""
    servers = []

    def _start(*flags, durable=True):
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        if durable:
            flags = (f"--job-store=sqlite:{tmp_path / 'jobs.db'}", *flags)
        servers.append(RunningServer(folder, *flags))
        return servers[-1], Jobs(servers[-1])

    yield _start
    for server in servers:
        server.close()


@pytest.fixture(name="jobs", scope="module")
def _jobs(tmp_path_factory):
    server = RunningServer(tmp_path_factory.mktemp("jobs"))
    yield Jobs(server)
    server.close()


def kill(server):
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()


def refused(function, *arguments, **fields):
    with pytest.raises(grpc.RpcError) as error:
        function(*arguments, **fields)
    return Refusal(error.value)


def test_a_job_is_created_watched_and_fetched(jobs):
    job = jobs.create(labels={"user": "7"}, options={"seed": 1, **SHORT})
    events = list(jobs.watch(job.name))
    numbers = [event.sequence for event in events if not event.HasField("chunk")]
    assert numbers == sorted(set(numbers))
    assert events[0].queued.job == job.name
    image = result_of(events).image
    assert jobs.image(job.name) == image
    rest = list(jobs.download(job.name, offset=100))
    assert b"".join(event.chunk.data for event in rest) == image[100:]
    whole = jobs.get(job.name)
    assert whole.result.image_bytes == len(image)
    assert whole.labels == {"user": "7"}
    assert whole.sequence == events[-1].sequence
    refusal = refused(lambda: list(jobs.download(job.name, offset=len(image) + 1)))
    assert refusal.violated_fields() == ["offset"]


def test_a_lost_watch_goes_on_from_its_sequence(jobs):
    name = jobs.create(options={"seed": 2, **LONG}).name
    watch = jobs.watch(name)
    seen = [next(watch).sequence for _ in range(3)]
    watch.cancel()
    rest = [event.sequence for event in jobs.watch(name, seen[-1]) if not event.HasField("chunk")]
    assert rest and min(rest) > max(seen)
    assert len(set(seen + rest)) == len(seen + rest)
    assert list(jobs.watch(name, rest[-1])) == []


def test_a_retry_joins_its_job(jobs):
    options = {"seed": 3, **SHORT}
    name = jobs.create(request_id="upload-3", options=options).name
    assert jobs.create(request_id="upload-3", options=options).name == name
    refusal = refused(jobs.create, request_id="upload-3", options={"seed": 4, **SHORT})
    assert refusal.code == grpc.StatusCode.ALREADY_EXISTS
    assert refusal.reason == "REQUEST_ID_REUSED"
    jobs.finish(name)
    assert jobs.create(request_id="upload-3", options=options).name == name
    result = jobs.server.result(jobs.server.request(
        encoded(picture()), request_id="upload-3", options=options))
    assert result.image == jobs.image(name)


def test_jobs_are_listed_by_pages(jobs):
    for _ in range(3):
        jobs.finish(jobs.create(options={"seed": 5, **SHORT}).name)
    names, token = [], ""
    while True:
        page = jobs.list(page_size=2, page_token=token)
        assert len(page.jobs) <= 2
        names += [job.name for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert len(names) == len(set(names)) >= 3
    assert names == [job.name for job in jobs.list().jobs]
    assert refused(jobs.list, page_token="x").violated_fields() == ["page_token"]


def test_a_job_is_cancelled_and_deleted(jobs):
    name = jobs.create(options={"seed": 6, **ENDLESS}).name
    until(lambda: jobs.state(name) == "RUNNING", "the worker")
    assert refused(jobs.delete, name).reason == "JOB_NOT_ENDED"
    jobs.cancel(name)
    assert refused(lambda: list(jobs.watch(name))).reason == "JOB_CANCELLED"
    assert jobs.state(name) == "CANCELLED"
    jobs.delete(name)
    refusal = refused(jobs.get, name)
    assert refusal.code == grpc.StatusCode.NOT_FOUND
    assert refusal.detail(error_details_pb2.ResourceInfo).resource_name == name


def test_an_equal_request_is_answered_from_the_cache(jobs):
    hits = jobs.server.metric("result_cache_hits_total")
    options = {"seed": 7, **SHORT}
    first = jobs.finish(jobs.create(options=options).name)
    second = jobs.finish(jobs.create(options=options).name)
    assert first.name != second.name
    assert jobs.server.metric("result_cache_hits_total") == hits + 1
    assert (jobs.image(first.name)
            == jobs.image(second.name))


def test_killed_servers_lose_no_accepted_job(start, tmp_path):
    server, jobs = start()
    done = jobs.finish(jobs.create(request_id="done", options={"seed": 1, **SHORT}).name)
    image = jobs.image(done.name)
    running = jobs.create(request_id="running", options={"seed": 2, **LONG}).name
    until(lambda: jobs.get(running).progress.step > 0, "a step")
    waiting = [jobs.create(request_id=f"waiting-{i}", options={"seed": 10 + i, **SHORT}).name
               for i in range(3)]
    known = jobs.get(running).sequence
    kill(server)

    assert stat.S_IMODE(os.stat(tmp_path / "jobs.db").st_mode) == 0o600

    server, jobs = start()
    assert jobs.image(done.name) == image
    assert jobs.create(request_id="done", options={"seed": 1, **SHORT}).name == done.name
    events = list(jobs.watch(running, known))
    assert result_of(events).image == jobs.image(running)
    assert min(event.sequence for event in events) > known, "numbers go on"
    for name in [running, *waiting]:
        assert jobs.finish(name).state == done.state, name
    assert jobs.get(running).attempts == 2
    starts = [jobs.get(name).start_time.ToNanoseconds() for name in waiting]
    assert starts == sorted(starts), "in their order"
    assert server.metric('jobs_total{outcome="restored"}') == 4
    assert server.metric('jobs_total{outcome="succeeded"}') == 4
    for job in jobs.list().jobs:
        jobs.delete(job.name)
    server.terminate()
    assert server.wait() == 0
    with sqlite3.connect(tmp_path / "jobs.db") as database:
        left = [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("jobs", "blobs", "blob_chunks")]
    assert left == [0, 0, 0], "no image outlives its jobs"


def test_a_job_that_runs_in_two_killed_servers_fails(start):
    server, jobs = start()
    name = jobs.create(options=ENDLESS).name
    for _ in range(2):
        until(lambda: jobs.get(name).progress.step > 0, "a step")
        kill(server)
        server, jobs = start()
    refusal = refused(lambda: list(jobs.watch(name)))
    assert refusal.code == grpc.StatusCode.INTERNAL
    assert refusal.reason == "SERVER_LOST_TWICE"
    assert server.metric('jobs_total{outcome="failed"}') == 1


def test_a_drain_leaves_jobs_to_the_next_start(start):
    server, jobs = start("--drain-timeout=0")
    running = jobs.create(options={"seed": 1, **ENDLESS}).name
    until(lambda: jobs.get(running).progress.step > 0, "a step")
    waiting = jobs.create(options={"seed": 2, **SHORT}).name
    watch = jobs.watch(waiting)
    assert next(watch).HasField("queued")
    server.terminate()
    refusal = refused(lambda: list(watch))
    assert refusal.code == grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "SERVER_SHUTDOWN"
    assert server.wait() == 75

    server, jobs = start()
    assert jobs.get(running).attempts <= 1, "the first was no loss"
    jobs.cancel(running)
    assert jobs.finish(waiting).attempts == 1
    assert jobs.state(waiting) == "SUCCEEDED"
    server.terminate()
    assert server.wait() == 0


def test_a_store_serves_one_server(start, tmp_path):
    start()
    folder = tmp_path / "second"
    folder.mkdir()
    with pytest.raises(AssertionError, match="database is locked"):
        RunningServer(folder, f"--job-store=sqlite:{tmp_path / 'jobs.db'}")


def test_a_full_disk_refuses_jobs_and_loses_none(start, monkeypatch):
    """The daemon with faults in its store: the second and third write fail."""
    faulty = os.environ["ANTIDIFFUSIOND_FAULTY"]
    worker = Path(os.environ["ANTIDIFFUSIOND"]).with_name("antidiffusion-worker")
    monkeypatch.setenv("ANTIDIFFUSIOND", faulty)
    monkeypatch.setenv("ANTIDIFFUSION_FAULTS", "disk_full@write=2..3;slow_write=20ms")
    server, jobs = start(f"--worker-program={worker}")
    first = jobs.create(request_id="first", options={"seed": 1, **LONG}).name
    until(lambda: server.metric("job_store_failures_total") == 1, "its claim")
    refusal = refused(jobs.create, request_id="second", options={"seed": 2, **SHORT})
    assert refusal.code == grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "STORE_FAILED"
    assert refusal.detail(error_details_pb2.RetryInfo) is not None
    second = jobs.create(request_id="second", options={"seed": 2, **SHORT}).name
    kill(server)

    monkeypatch.setenv("ANTIDIFFUSION_FAULTS", "")
    server, jobs = start(f"--worker-program={worker}")
    for name in (first, second):
        jobs.finish(name)
        assert jobs.state(name) == "SUCCEEDED", name
