"""Holds every kustomization to the schemas of Kubernetes, to the server's flags and to each other.

Needs kubectl (for kustomize) and kubernetes-validate: scripts/setup --tests.
usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/deploy/kubernetes_test.py
"""

import jsonschema
import kubernetes_validate
import pytest
import yaml

from custom_resources import SCHEMAS
from deployed import (KUBERNETES, LAYERS, OVERLAYS, ROOT, built, flags, flags_of_help, has, one, pod,
                      server)

# The oldest and the newest release whose schemas are held by the validator, and one between.
RELEASES = ("1.29", "1.33", "1.37")
END_OF_LAST_JOBS_S = 20  # what the server itself gives them after the drain: docs/api.md
LABELS = {"app.kubernetes.io/name": "antidiffusion"}
GPU_OVERLAYS = [name for name in OVERLAYS if name != "cpu-demo"]

every_layer = pytest.mark.parametrize("layer", LAYERS)
every_overlay = pytest.mark.parametrize("layer", [f"overlays/{name}" for name in OVERLAYS])
every_gpu_overlay = pytest.mark.parametrize("layer", [f"overlays/{name}" for name in GPU_OVERLAYS])


def test_overlays_are_those_of_the_documentation():
    assert OVERLAYS == ["cpu-demo", "gpu", "gpu-autoscaled", "mig"]


@every_layer
def test_every_file_is_named_by_its_kustomization(layer):
    folder = KUBERNETES / layer
    text = (folder / "kustomization.yaml").read_text()
    kustomization = yaml.safe_load(text)
    named = {*kustomization.get("resources", []), *kustomization.get("patchesStrategicMerge", []),
             *(patch["path"] for patch in kustomization.get("patchesJson6902", [])),
             *(file for made in kustomization.get("configMapGenerator", []) for file in made["files"])}
    assert named == {path.name for path in folder.iterdir()
                     if path.is_file() and path.name != "kustomization.yaml"}


@every_layer
def test_layers_use_only_what_old_and_new_kustomize_know(layer):
    kustomization = yaml.safe_load((KUBERNETES / layer / "kustomization.yaml").read_text())
    assert set(kustomization) <= {"apiVersion", "kind", "bases", "resources", "images",
                                  "configMapGenerator", "patchesStrategicMerge", "patchesJson6902"}
    # The old one leaves an empty document where a patch deletes a resource.
    assert all(isinstance(resource, dict) and resource for resource in built(layer))


@every_layer
def test_resources_are_valid_and_know_no_other_field(layer):
    for resource in built(layer):
        if resource["kind"] in SCHEMAS:
            jsonschema.validate(resource, SCHEMAS[resource["kind"]])
            continue
        for release in RELEASES:
            kubernetes_validate.validate(resource, release, strict=True)


@pytest.mark.parametrize(("kind", "layer", "break_it"), [
    ("ServiceMonitor", "production", lambda spec: spec["endpoints"][0].update(intervall="15s")),
    ("ScaledObject", "overlays/gpu-autoscaled",
     lambda spec: spec["triggers"][0]["metadata"].update(ignoreNullValues=False)),
    ("ScaledObject", "overlays/gpu-autoscaled", lambda spec: spec.update(minReplicas=2)),
])
def test_the_schemas_of_custom_resources_find_a_wrong_field(kind, layer, break_it):
    resource = yaml.safe_load(yaml.safe_dump(one(layer, kind)))
    break_it(resource["spec"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(resource, SCHEMAS[kind])


@every_overlay
def test_the_image_has_a_tag_and_all_containers_share_it(layer):
    images = {c["image"] for c in pod(layer)["containers"] + pod(layer)["initContainers"]}
    assert len(images) == 1
    suffix = "" if layer == "overlays/cpu-demo" else "-cuda"
    assert images.pop() == f"antidiffusion:0.1.0{suffix}"


@every_layer
def test_runs_with_as_little_as_it_can(layer):
    security = pod(layer)["securityContext"]
    assert security["runAsNonRoot"] and security["runAsUser"] == security["fsGroup"] == 65532
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(layer)["automountServiceAccountToken"] is False
    assert one(layer, "ServiceAccount")["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod(layer))
    for container in pod(layer)["containers"] + pod(layer)["initContainers"]:
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}


@every_layer
def test_memory_is_bounded(layer):
    for container in pod(layer)["containers"] + pod(layer)["initContainers"]:
        resources = container["resources"]
        assert "memory" in resources["limits"]
        assert {"memory", "cpu"} <= set(resources["requests"])


@every_gpu_overlay
def test_a_pod_has_one_device_of_a_node_that_has_them(layer):
    def devices(resources):
        return {key: value for key, value in resources.items() if key.startswith("nvidia.com/")}

    resources = server(layer)["resources"]
    name = "nvidia.com/mig-3g.40gb" if layer == "overlays/mig" else "nvidia.com/gpu"
    assert devices(resources["requests"]) == devices(resources["limits"]) == {name: "1"}
    assert flags(server(layer))["device"] == "cuda:0"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod(layer)[
        "tolerations"]
    terms = pod(layer)["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert all(expression["key"].startswith("nvidia.com/")
               for term in terms for expression in term["matchExpressions"])


def test_both_gpu_overlays_ask_for_the_same_device():
    texts = {(KUBERNETES / "overlays" / name / "device.yaml").read_text()
             for name in ("gpu", "gpu-autoscaled")}
    assert len(texts) == 1


def test_the_demo_needs_no_device_no_secret_and_no_operator():
    assert flags(server("overlays/cpu-demo"))["device"] == "cpu"
    text = yaml.safe_dump(built("overlays/cpu-demo"))
    for absent in ("nvidia.com", "secretName", "persistentVolumeClaim", "monitoring.coreos.com",
                   "keda.sh"):
        assert absent not in text


@every_layer
def test_the_grace_period_outlasts_the_drain(layer):
    pause = int(server(layer)["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = int(flags(server(layer))["drain-timeout"])
    assert pod(layer)["terminationGracePeriodSeconds"] > pause + drain + END_OF_LAST_JOBS_S


@every_layer
def test_probes_ask_paths_of_the_server(layer):
    probes = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    endpoint = (ROOT / "server/http_endpoint.cc").read_text()
    for probe, path in probes.items():
        http = server(layer)[probe]["httpGet"]
        assert (http["path"], http["port"]) == (path, "metrics")
        assert f'"{path}"' in endpoint
        assert path in (ROOT / "docs/api.md").read_text()


@every_layer
def test_every_flag_exists(layer):
    assert set(flags(server(layer))) <= flags_of_help()


@every_layer
def test_services_pod_and_flags_agree_on_ports_and_labels(layer):
    given = flags(server(layer))
    ports = {port["name"]: port["containerPort"] for port in server(layer)["ports"]}
    assert ports == {"grpc": int(given["grpc-port"]), "metrics": int(given["metrics-port"])}
    spec = one(layer, "Deployment")["spec"]
    assert spec["selector"]["matchLabels"] == LABELS
    assert spec["template"]["metadata"]["labels"] == LABELS
    service = one(layer, "Service")["spec"]
    headless = one(layer, "Service", "antidiffusion-headless")["spec"]
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    assert {port["targetPort"]: port["port"] for port in headless["ports"]} == {"grpc": ports["grpc"]}
    assert headless["clusterIP"] == "None" and "clusterIP" not in service
    for each in (service, headless):
        assert each["selector"] == LABELS
        assert each["ports"][0]["appProtocol"] == "grpc"


@every_layer
def test_the_policy_lets_calls_and_scrapes_in_and_little_out(layer):
    policy = one(layer, "NetworkPolicy")["spec"]
    assert policy["podSelector"] == {"matchLabels": LABELS}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    inward = {port["port"]: rule["from"] for rule in policy["ingress"] for port in rule["ports"]}
    assert set(inward) == {port["name"] for port in server(layer)["ports"]}
    assert all(inward.values()), "an empty list would let everybody in"
    outward = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert outward == {53, 4318}
    assert all(rule["to"] for rule in policy["egress"])


@every_layer
def test_the_budget_lets_a_node_drain_and_keeps_the_others(layer):
    budget = one(layer, "PodDisruptionBudget")["spec"]
    assert budget["selector"] == {"matchLabels": LABELS}
    assert budget["maxUnavailable"] == 1 and "minAvailable" not in budget
    if has(layer, "ScaledObject"):
        assert one(layer, "ScaledObject")["spec"]["minReplicaCount"] > budget["maxUnavailable"]
        assert "replicas" not in one(layer, "Deployment")["spec"]


def test_a_job_store_belongs_to_one_pod():
    for layer in LAYERS:
        deployment = one(layer, "Deployment")["spec"]
        if "job-store" not in flags(server(layer)):
            continue
        assert deployment["replicas"] == 1 and not has(layer, "ScaledObject")
        assert deployment["strategy"] == {"type": "Recreate"}
        store = flags(server(layer))["job-store"]
        mounts = {m["mountPath"]: m["name"] for m in server(layer)["volumeMounts"]}
        folder = store.removeprefix("sqlite:").rpartition("/")[0]
        assert mounts[folder] == "jobs"
        claim = one(layer, "PersistentVolumeClaim", "antidiffusion-jobs")
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


@every_layer
def test_volumes_and_claims_are_there_and_used(layer):
    volumes = {volume["name"]: volume for volume in pod(layer)["volumes"]}
    mounted = {mount["name"] for container in pod(layer)["containers"] + pod(layer)["initContainers"]
               for mount in container["volumeMounts"]}
    assert mounted == set(volumes)
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values()
              if "persistentVolumeClaim" in volume}
    assert claims == {resource["metadata"]["name"] for resource in built(layer)
                      if resource["kind"] == "PersistentVolumeClaim"}
    tmp = {mount["mountPath"]: mount for mount in server(layer)["volumeMounts"]}["/tmp"]
    assert "readOnly" not in tmp and "emptyDir" in volumes[tmp["name"]]


def test_keys_and_certificates_are_folders_that_can_be_renewed():
    container = server("production")
    given = flags(container)
    assert given["grpc-use-ssl"] == "true"
    volumes = {volume["name"]: volume for volume in pod("production")["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    for flag in ("api-key-file", "grpc-server-cert", "grpc-server-key"):
        mount = mounts[given[flag].rpartition("/")[0]]
        assert mount["readOnly"] is True and "subPath" not in mount
        assert "secret" in volumes[mount["name"]]


@every_overlay
def test_weights_are_verified_last_and_are_read_only_afterwards(layer):
    verify = pod(layer)["initContainers"][-1]
    program, repository, sums = verify["command"]
    assert (program, repository) == ("verify-models", flags(server(layer))["model-repository"])
    mounts = {mount["mountPath"]: mount for mount in verify["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(layer)["volumes"]}
    checksums = volumes[mounts[sums.rpartition("/")[0]]["name"]]["configMap"]["name"]
    assert "SHA256SUMS" in one(layer, "ConfigMap", checksums)["data"]
    for container in (verify, server(layer)):
        assert {m["mountPath"]: m for m in container["volumeMounts"]}["/models"]["readOnly"] is True


def test_each_pod_is_scraped_once():
    monitor = one("production", "ServiceMonitor")["spec"]
    assert [(e["port"], e["path"]) for e in monitor["endpoints"]] == [("metrics", "/metrics")]
    services = [r for r in built("production") if r["kind"] == "Service"]
    key = monitor["selector"]["matchExpressions"][0]["key"]
    chosen = [s for s in services if key not in s["metadata"]["labels"]]
    assert [s["metadata"]["name"] for s in chosen] == ["antidiffusion"]
    assert "metrics" in {port["name"] for port in chosen[0]["spec"]["ports"]}


def test_pods_are_counted_by_the_queue():
    spec = one("overlays/gpu-autoscaled", "ScaledObject")["spec"]
    assert spec["scaleTargetRef"]["name"] == one("overlays/gpu-autoscaled", "Deployment")[
        "metadata"]["name"]
    assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
    trigger = spec["triggers"][0]
    assert trigger["metricType"] == "AverageValue"  # the sum over all, divided by the pods
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert "antidiffusion_queue_depth" in trigger["metadata"]["query"]
    assert "`queue_depth" in (ROOT / "docs/api.md").read_text()
