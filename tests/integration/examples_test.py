"""The examples of examples/ as a backend would run them, against the real server.

usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/integration/examples_test.py
"""

import os
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from running_server import ROOT, WAIT_S, RunningServer, until

EXAMPLES = ROOT / "examples/python"
BUDGET = 6


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stubs")
    subprocess.run([sys.executable, "-B", EXAMPLES / "generate.py", folder], check=True,
                   timeout=WAIT_S)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = RunningServer(tmp_path_factory.mktemp("server"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    y, x = np.mgrid[0:80, 0:96]
    planes = [(x // 3 + y // 5) % 256, (x * y // 97) % 256, (x // 2 + y) % 256]
    Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8)).save(path)
    return path


def start(stubs, server, script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-B", EXAMPLES / script, *map(str, arguments), f"--server={server.address}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=dict(os.environ, PYTHONPATH=str(stubs)))


def run(stubs, server, script, *arguments):
    """What it printed; it must end well."""
    process = start(stubs, server, script, *arguments)
    text, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, text
    return text


def assert_protected(photo, path):
    with Image.open(photo) as original, Image.open(path) as image:
        difference = np.abs(np.asarray(original, dtype=int) - np.asarray(image, dtype=int)).max()
        assert 0 < difference <= BUDGET


def rows(database):
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT id, state, message FROM uploads ORDER BY id").fetchall()


def test_an_upload_is_protected_while_it_waits(stubs, server, photo, tmp_path):
    text = run(stubs, server, "upload.py", photo, tmp_path / "out.png", "--request-id=first")
    assert "queued" in text and "image/png, at most" in text
    assert_protected(photo, tmp_path / "out.png")


def test_a_repeated_upload_gets_the_work_that_was_done(stubs, server, photo, tmp_path):
    run(stubs, server, "upload.py", photo, tmp_path / "a.png", "--request-id=again")
    accepted = server.metric('jobs_total{outcome="accepted"}')
    run(stubs, server, "upload.py", photo, tmp_path / "b.png", "--request-id=again")
    assert server.metric('jobs_total{outcome="accepted"}') == accepted
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_cannot_be_protected_is_told_with_its_reason(stubs, server, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    process = start(stubs, server, "upload.py", text, tmp_path / "out.png", "--request-id=text")
    output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "INVALID_ARGUMENT INVALID_FIELD" in output


def test_uploads_are_accepted_at_once_and_finished_by_a_worker(stubs, server, photo, tmp_path):
    database = tmp_path / "uploads.db"
    jobs = {run(stubs, server, "accept.py", database, photo, f"--upload-id={upload}")
            for upload in ("1", "2", "1")}  # the second 1: the handler was repeated
    assert len(jobs) == 2
    run(stubs, server, "finish.py", database, tmp_path / "results", "--once")
    assert rows(database) == [("1", "protected", "image/png"), ("2", "protected", "image/png")]
    for upload in ("1", "2"):
        assert_protected(photo, tmp_path / f"results/{upload}.png")
    request = server.message("GetJobRequest")(name=jobs.pop().strip())
    with pytest.raises(Exception, match="JOB_NOT_FOUND|not|NOT_FOUND"):  # it was forgotten
        server.channel.unary_unary(
            "/antidiffusion.v1.ProtectionService/GetJob",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=server.message("Job").FromString)(request, timeout=WAIT_S)


def test_a_worker_that_is_killed_goes_on_where_it_was(stubs, server, photo, tmp_path):
    database, results = tmp_path / "uploads.db", tmp_path / "results"
    with Image.open(photo) as known:  # a result that is kept would answer at once
        photo = tmp_path / "mirrored.png"
        known.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photo)
    run(stubs, server, "accept.py", database, photo, "--upload-id=3")
    killed = start(stubs, server, "finish.py", database, results, "--once")
    first = killed.stdout.readline()  # it has dealt with an event, and stored its sequence
    killed.kill()
    killed.communicate()
    if rows(database)[0][1] == "protected":
        pytest.fail(f"the job had ended already: {first}")
    text = run(stubs, server, "finish.py", database, results, "--once")
    last = int(first.split()[1])
    assert all(int(line.split()[1]) > last for line in text.splitlines())
    assert rows(database) == [("3", "protected", "image/png")]
    assert_protected(photo, results / "3.png")


def test_a_worker_waits_for_a_server_that_is_not_there(stubs, photo, tmp_path):
    running = RunningServer(tmp_path, f"--job-store=sqlite:{tmp_path / 'jobs.db'}")
    database, results = tmp_path / "uploads.db", tmp_path / "results"
    run(stubs, running, "accept.py", database, photo, "--upload-id=4")
    port = running.address.rpartition(":")[2]
    running.process.kill()
    running.process.wait()
    finisher = start(stubs, running, "finish.py", database, results, "--once")
    (tmp_path / "ports").unlink()
    again = RunningServer(tmp_path, f"--job-store=sqlite:{tmp_path / 'jobs.db'}",
                          f"--grpc-port={port}")
    try:
        text, _ = finisher.communicate(timeout=WAIT_S)
        assert finisher.returncode == 0, text
        assert_protected(photo, results / "4.png")
    finally:
        again.close()


def test_the_go_example_compiles(tmp_path):
    missing = [tool for tool in ("go", "protoc", "protoc-gen-go", "protoc-gen-go-grpc")
               if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"SKIPPED ALOUD: the Go example is not compiled, there is no {missing}")
    folder = tmp_path / "go"
    shutil.copytree(ROOT / "examples/go", folder)
    import google.api.http_pb2  # only where it is needed
    apis = os.path.dirname(google.api.http_pb2.__file__)
    mapping = "Mantidiffusion/v1/protection.proto=example.com/upload/protectionpb"
    subprocess.run(
        ["protoc", f"-I{ROOT / 'proto'}", f"-I{apis}/../..", f"--go_out={folder}",
         f"--go-grpc_out={folder}", "--go_opt=module=example.com/upload",
         "--go-grpc_opt=module=example.com/upload", f"--go_opt={mapping}",
         f"--go-grpc_opt={mapping}", "antidiffusion/v1/protection.proto"], check=True)
    subprocess.run(["go", "mod", "tidy"], cwd=folder, check=True)
    subprocess.run(["go", "vet", "./..."], cwd=folder, check=True)
