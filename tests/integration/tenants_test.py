"""Keys, client certificates and changes of both, as plain grpcio meets them.

usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/integration/tenants_test.py
"""

import json
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from running_server import LIST_MODELS, SERVING, WAIT_S, RunningServer, until
from server_test import ENDLESS, SHORT, encoded, picture

KEY_FILE = "keys.json"
CHANGES = 6  # of certificates, under load


@pytest.fixture(name="start")
def _start(tmp_path):
    """Starts servers that end with the test."""
    servers = []

    def begin(*flags, credentials=None):
        servers.append(RunningServer(tmp_path, *flags, credentials=credentials))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


def new_key():
    """A key and its hash, as the operator gets them."""
    lines = subprocess.run([os.environ["ANTIDIFFUSIOND"], "--new-api-key"], check=True, text=True,
                           capture_output=True).stdout.split()
    assert lines[0] == "key" and lines[2] == "sha256"
    return lines[1], lines[3]


def write(path, text):
    """At once, as a careful operator does."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, encoding="utf-8")
    beside.rename(path)


def bearer(key):
    return [("authorization", f"Bearer {key}")]


def small_request(server, **options):
    return server.request(encoded(picture()), options={**SHORT, **options})


def test_keys_open_the_service_and_follow_the_file(start, tmp_path):
    old, old_hash = new_key()
    new, new_hash = new_key()
    file = tmp_path / KEY_FILE
    write(file, json.dumps({"tenants": [{"name": "site", "key_sha256": [old_hash]}]}))
    server = start(f"--api-key-file={file}")
    assert server.health() == SERVING  # without a key

    missing = server.refusal(small_request(server))
    assert (missing.code, missing.reason) == (grpc.StatusCode.UNAUTHENTICATED, "KEY_MISSING")
    unknown = server.refusal(small_request(server), metadata=bearer(new))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN")
    assert server.result(small_request(server), metadata=bearer(old)).image
    assert server.result(small_request(server), metadata=[("x-api-key", old)]).image

    write(file, "{")  # a slip of the pen
    until(lambda: "not taken up" in server.log(), "the broken file to be noticed")
    assert server.result(small_request(server), metadata=bearer(old)).image
    write(file, json.dumps({"tenants": [{"name": "site", "key_sha256": [new_hash]}]}))
    until(lambda: "API key file taken up" in server.log(), "the new file")
    assert server.result(small_request(server), metadata=bearer(new)).image
    assert server.refusal(small_request(server), metadata=bearer(old)).reason == "KEY_UNKNOWN"
    for key in (old, new):
        assert key not in server.log()


def test_a_tenant_sees_its_own_jobs_only(start, tmp_path):
    mine, mine_hash = new_key()
    theirs, theirs_hash = new_key()
    file = tmp_path / KEY_FILE
    write(file, json.dumps({"tenants": [{"name": "mine", "key_sha256": [mine_hash]},
                                        {"name": "theirs", "key_sha256": [theirs_hash]}]}))
    server = start(f"--api-key-file={file}")

    def call(method, request, answer, key):
        rpc = server.channel.unary_unary(
            f"/antidiffusion.v1.ProtectionService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=server.message(answer).FromString)
        return rpc(request, metadata=bearer(key))

    name = call("CreateJob", small_request(server), "Job", mine).name
    assert len(name) == 32  # 128 random bits
    for method in ("GetJob", "CancelJob", "DeleteJob"):
        request = server.message(f"{method}Request")(name=name)
        with pytest.raises(grpc.RpcError) as caught:
            call(method, request, "Job", theirs)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    everything = server.message("ListJobsRequest")()
    assert [job.name for job in call("ListJobs", everything, "ListJobsResponse", mine).jobs] == [name]
    assert not call("ListJobs", everything, "ListJobsResponse", theirs).jobs
    job = server.message("GetJobRequest")(name=name)
    until(lambda: call("GetJob", job, "Job", mine).state == 3, "the job to succeed")


def test_rights_and_rates_are_those_of_the_key(start, tmp_path):
    reader, reader_hash = new_key()
    eager, eager_hash = new_key()
    file = tmp_path / KEY_FILE
    write(file, json.dumps({"tenants": [
        {"name": "reader", "key_sha256": [reader_hash], "rights": ["models"]},
        {"name": "eager", "key_sha256": [eager_hash], "requests_per_second": 0.001, "burst": 1}]}))
    server = start(f"--api-key-file={file}")
    lacking = server.refusal(small_request(server), metadata=bearer(reader))
    assert (lacking.code, lacking.reason) == (grpc.StatusCode.PERMISSION_DENIED, "RIGHT_MISSING")
    assert server.channel.unary_unary(LIST_MODELS)(b"", metadata=bearer(reader))

    assert server.result(small_request(server), metadata=bearer(eager)).image
    hasty = server.refusal(small_request(server), metadata=bearer(eager))
    assert (hasty.code, hasty.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TENANT_RATE")
    assert int(hasty.trailers["grpc-retry-pushback-ms"]) > 900_000


class Authority:
    """Certificates by the openssl program."""

    def __init__(self, folder, name):
        self.folder = folder / name
        self.folder.mkdir()
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
                  "-days", "2", "-subj", f"/CN={name}")
        self.root = (self.folder / "ca.pem").read_bytes()

    def issue(self, name, alternative_names):
        """The paths of key and certificate."""
        key, request, pem, extensions = (f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj",
                  f"/CN={name}")
        (self.folder / extensions).write_text(f"subjectAltName={alternative_names}\n",
                                              encoding="ascii")
        self._run("x509", "-req", "-in", request, "-CA", "ca.pem", "-CAkey", "ca.key",
                  "-CAcreateserial", "-days", "1", "-extfile", extensions, "-out", pem)
        return self.folder / key, self.folder / pem

    def _run(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


def tls(root, client=None):
    key, certificate = (path.read_bytes() for path in client) if client else (None, None)
    return grpc.ssl_channel_credentials(root, key, certificate)


def install(pair, folder):
    """As the server's; the paths of key and certificate there."""
    targets = folder / "server.key", folder / "server.pem"
    for source, target in zip(pair, targets):
        write(target, source.read_text(encoding="ascii"))
    return targets


def test_client_certificates_are_tenants(start, tmp_path):
    authority = Authority(tmp_path, "authority")
    key, certificate = install(authority.issue("server", "IP:127.0.0.1"), tmp_path)
    uploads = authority.issue("uploads", "URI:spiffe://site/uploads")
    stranger = authority.issue("stranger", "DNS:stranger.site")
    file = tmp_path / KEY_FILE
    write(file, json.dumps({"tenants": [{"name": "uploads",
                                         "identities": ["spiffe://site/uploads"]}]}))
    server = start("--log-format=json", "--grpc-use-ssl=true", "--grpc-use-ssl-mutual=true",
                   f"--grpc-server-key={key}",
                   f"--grpc-server-cert={certificate}",
                   f"--grpc-root-cert={authority.folder / 'ca.pem'}", f"--api-key-file={file}",
                   credentials=tls(authority.root, uploads))
    assert server.health() == SERVING
    assert server.result(small_request(server)).image

    other = server.connect(tls(authority.root, stranger))
    refused = server.refusal(small_request(server), channel=other)
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "KEY_MISSING")
    for bad in (tls(authority.root), None):  # no certificate; no TLS
        with pytest.raises(grpc.RpcError) as caught:
            next(server.protect(small_request(server), channel=server.connect(bad)))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    for line in server.log().splitlines():  # failed handshakes do not break it
        assert json.loads(line)


def test_a_new_certificate_leaves_open_streams_alone(start, tmp_path):
    before, after = Authority(tmp_path, "before"), Authority(tmp_path, "after")
    key, certificate = install(before.issue("server", "IP:127.0.0.1"), tmp_path)
    server = start("--grpc-use-ssl=true", f"--grpc-server-key={key}",
                   f"--grpc-server-cert={certificate}", credentials=tls(before.root))
    call = server.protect(server.request(encoded(picture()), options=ENDLESS))
    until(lambda: next(call).HasField("progress"), "the work to begin")
    ends = server.metric("tls_certificate_expiry_timestamp_seconds")

    new_key_path, new_certificate = after.issue("server", "IP:127.0.0.1")
    write(certificate, new_certificate.read_text(encoding="ascii"))  # half of the change
    until(lambda: "certificates not taken up" in server.log(), "the mismatch to be noticed")
    grpc.channel_ready_future(server.connect(tls(before.root))).result(WAIT_S)
    write(key, new_key_path.read_text(encoding="ascii"))
    until(lambda: "certificates taken up" in server.log(), "the new pair")
    grpc.channel_ready_future(server.connect(tls(after.root))).result(WAIT_S)
    assert server.metric("tls_certificate_expiry_timestamp_seconds") >= ends

    assert next(call).HasField("progress")  # on the connection of the old certificate
    call.cancel()


def test_no_handshake_fails_while_certificates_change(start, tmp_path):
    """Prints how many there were; docs/testing.md has the figures."""
    authorities = Authority(tmp_path, "one"), Authority(tmp_path, "two")
    pairs = [authority.issue("server", "IP:127.0.0.1") for authority in authorities]
    key, certificate = install(pairs[0], tmp_path)
    both = tls(b"".join(authority.root for authority in authorities))
    server = start("--grpc-use-ssl=true", f"--grpc-server-key={key}",
                   f"--grpc-server-cert={certificate}", credentials=both)
    call = server.protect(server.request(encoded(picture()), options=ENDLESS))
    until(lambda: next(call).HasField("progress"), "the work to begin")

    enough = threading.Event()

    def shake_hands():
        count = 0
        while not enough.is_set():
            with server.connect(both) as channel:
                assert server.health(channel=channel) == SERVING
            count += 1
        return count

    def met(authority):
        with server.connect(tls(authority.root)) as channel:
            grpc.channel_ready_future(channel).result(WAIT_S)

    with ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(shake_hands) for _ in range(2)]
        for change in range(1, CHANGES + 1):
            install(pairs[change % 2], tmp_path)
            met(authorities[change % 2])
        enough.set()
        print(CHANGES, "changes,", sum(client.result() for client in clients), "handshakes")
    assert next(call).HasField("progress")
    call.cancel()
