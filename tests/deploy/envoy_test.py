"""deploy/envoy: its structure, and that it fits the service. No Envoy runs here."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

ROOT = Path(__file__).resolve().parents[2]
ENVOY = ROOT / "deploy/envoy"
SERVICE = "antidiffusion.v1.ProtectionService"
VERBS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def config():
    return yaml.safe_load((ENVOY / "envoy.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The descriptor of the service, out of the set that Envoy would read."""
    path = tmp_path_factory.mktemp("envoy") / "antidiffusion.pb"
    subprocess.run([ENVOY / "make_descriptor", path], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:  # in the order of their imports
        pool.Add(file)
    return pool.FindServiceByName(SERVICE)


def manager(config):
    (listener,) = config["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    (found,) = chain["filters"]
    return found["typed_config"]


def route_of(method):
    """Verb, path and body of a method's google.api.http."""
    options = descriptor_pb2.MethodOptions.FromString(method.GetOptions().SerializeToString())
    rule = options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return verb, getattr(rule, verb) if verb else "", rule.body


def test_every_rpc_has_a_route_of_its_own(service):
    routes = {method.name: route_of(method) for method in service.methods}
    assert len(routes) == 9
    assert all(verb in VERBS for verb, _, _ in routes.values()), routes
    assert len({(verb, path) for verb, path, _ in routes.values()}) == len(routes)


def test_the_variables_of_a_route_are_fields_of_its_request(service):
    for method in service.methods:
        verb, path, body = route_of(method)
        for variable in re.findall(r"\{(\w+)\}", path):
            assert variable in method.input_type.fields_by_name, (method.name, variable)
        assert bool(body) == (verb == "post"), method.name


def test_the_table_of_the_readme_has_every_route(service):
    text = (ENVOY / "README.md").read_text(encoding="utf-8")
    for method in service.methods:
        verb, path, _ = route_of(method)
        assert f"`{verb.upper()} {path.replace('{name}', 'NAME')}`" in text, method.name
        assert method.name in text


def test_the_filter_serves_the_service_and_the_router_is_last(config):
    transcoder, router = (entry["typed_config"] for entry in manager(config)["http_filters"])
    assert transcoder["@type"].endswith("grpc_json_transcoder.v3.GrpcJsonTranscoder")
    assert transcoder["services"] == [SERVICE]
    assert f":{transcoder['proto_descriptor']}:" in (ENVOY / "README.md").read_text(encoding="utf-8")
    assert router["@type"].endswith("router.v3.Router")


def test_the_routes_lead_the_service_to_a_cluster_that_speaks_http_2(config):
    (host,) = manager(config)["route_config"]["virtual_hosts"]
    clusters = {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}
    prefixes = {route["match"]["prefix"]: route["route"] for route in host["routes"]}
    assert f"/{SERVICE}/" in prefixes
    for route in prefixes.values():
        assert route["timeout"] == "0s"  # a job takes as long as it takes
        options = clusters[route["cluster"]]["typed_extension_protocol_options"]
        (protocol,) = options.values()
        assert "http2_protocol_options" in protocol["explicit_http_config"]


def test_a_whole_image_fits_into_the_buffers(config):
    largest = 32 * 1024 * 1024 * 4 // 3
    resources = config["static_resources"]
    for holder in resources["listeners"] + resources["clusters"]:
        assert holder["per_connection_buffer_limit_bytes"] > largest
