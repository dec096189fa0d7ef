"""Holds deploy/ and the Dockerfile to each other, to the server and to their own formats.

    manifests_test.py SOURCE_DIR

Needs kubectl (for kustomize), hadolint, kubernetes-validate and PyYAML: scripts/setup --tests.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import kubernetes_validate
import yaml

ROOT = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else ".").resolve()
BASE = ROOT / "deploy" / "kubernetes" / "base"
DOCKERFILE = ROOT / "Dockerfile"

# The oldest and the newest release whose schemas are held by the validator, and one between.
KUBERNETES_VERSIONS = ("1.29", "1.33", "1.37")


def tool(name):
    """The path of a program, beside this Python or on PATH."""
    beside = pathlib.Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: scripts/setup --tests")
    return found


def build(folder):
    output = subprocess.run(
        [tool("kubectl"), "kustomize", str(folder)], check=True, capture_output=True, text=True
    ).stdout
    return [resource for resource in yaml.safe_load_all(output) if resource]


def seconds_of(args, flag):
    return int(next(a.split("=", 1)[1] for a in args if a.startswith(flag + "=")))


class BaseTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.resources = build(BASE)
        cls.by_kind = {resource["kind"]: resource for resource in cls.resources}
        cls.pod = cls.by_kind["Deployment"]["spec"]["template"]["spec"]
        cls.server = cls.pod["containers"][0]

    def test_every_file_is_a_resource_of_the_kustomization(self):
        listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
        files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
        self.assertEqual(set(listed), files)
        self.assertEqual(len(self.resources), len(files))

    def test_resources_are_valid_and_know_no_other_field(self):
        for resource in self.resources:
            for version in KUBERNETES_VERSIONS:
                with self.subTest(kind=resource["kind"], version=version):
                    kubernetes_validate.validate(resource, version, strict=True)

    def test_the_image_has_a_tag_and_all_containers_share_it(self):
        images = {c["image"] for c in self.pod["containers"] + self.pod["initContainers"]}
        self.assertEqual(len(images), 1)
        self.assertRegex(images.pop(), r"^antidiffusion:[0-9]+\.[0-9]+\.[0-9]+")

    def test_runs_with_as_little_as_it_can(self):
        security = self.pod["securityContext"]
        self.assertTrue(security["runAsNonRoot"])
        self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertFalse(self.pod["automountServiceAccountToken"])
        self.assertFalse(self.by_kind["ServiceAccount"]["automountServiceAccountToken"])
        for container in self.pod["containers"] + self.pod["initContainers"]:
            own = container["securityContext"]
            self.assertTrue(own["readOnlyRootFilesystem"])
            self.assertFalse(own["allowPrivilegeEscalation"])
            self.assertEqual(own["capabilities"], {"drop": ["ALL"]})

    def test_has_one_gpu_and_bounded_memory(self):
        resources = self.server["resources"]
        self.assertEqual(resources["limits"]["nvidia.com/gpu"], "1")
        self.assertIn("memory", resources["limits"])
        self.assertIn("memory", resources["requests"])
        self.assertIn("cpu", resources["requests"])

    def test_the_grace_period_outlasts_the_drain(self):
        pause = int(self.server["lifecycle"]["preStop"]["exec"]["command"][1])
        drain = seconds_of(self.server["args"], "--drain-timeout")
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], pause + drain)

    def test_probes_ask_the_paths_of_the_http_port(self):
        probes = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
        for probe, path in probes.items():
            http = self.server[probe]["httpGet"]
            self.assertEqual((http["path"], http["port"]), (path, "metrics"))
            self.assertIn(f'"{path}"', self.server_sources(), path)

    def test_service_pod_and_flags_agree_on_ports_and_labels(self):
        ports = {p["name"]: p["containerPort"] for p in self.server["ports"]}
        self.assertEqual(ports["grpc"], seconds_of(self.server["args"], "--grpc-port"))
        self.assertEqual(ports["metrics"], seconds_of(self.server["args"], "--metrics-port"))
        service = self.by_kind["Service"]["spec"]
        self.assertEqual({p["targetPort"]: p["port"] for p in service["ports"]}, ports)
        self.assertEqual(service["ports"][0]["appProtocol"], "grpc")
        labels = self.by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
        self.assertEqual({**labels, **service["selector"]}, labels)

    def test_the_server_has_every_flag_that_is_given(self):
        for argument in self.server["args"]:
            self.assertIn('"' + argument.split("=", 1)[0] + '"', self.server_sources())

    def test_volumes_that_are_mounted_are_there(self):
        volumes = {volume["name"]: volume for volume in self.pod["volumes"]}
        for container in self.pod["containers"] + self.pod["initContainers"]:
            for mount in container["volumeMounts"]:
                self.assertIn(mount["name"], volumes)
        claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
        self.assertEqual(claim, self.by_kind["PersistentVolumeClaim"]["metadata"]["name"])

    @staticmethod
    def server_sources():
        return "".join(path.read_text() for path in (ROOT / "server").glob("*.cc"))


class DockerfileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = DOCKERFILE.read_text()

    def test_hadolint_is_content(self):
        result = subprocess.run(
            [tool("hadolint"), "--config", str(ROOT / ".hadolint.yaml"), str(DOCKERFILE)],
            capture_output=True, text=True, check=False,
        )
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_base_images_have_a_precise_tag_and_are_the_same(self):
        images = set(re.findall(r"^FROM (\S+)", self.text, re.MULTILINE))
        self.assertEqual(len(images), 1)
        self.assertRegex(images.pop(), r"^debian:12\.[0-9]+-slim$")

    def test_user_and_ports_are_those_of_the_deployment(self):
        pod = next(r for r in build(BASE) if r["kind"] == "Deployment")["spec"]["template"]["spec"]
        user = pod["securityContext"]["runAsUser"]
        self.assertIn(f"\nUSER {user}:{user}\n", self.text)
        ports = " ".join(str(p["containerPort"]) for p in pod["containers"][0]["ports"])
        self.assertIn(f"\nEXPOSE {ports}\n", self.text)

    def test_commands_of_the_deployment_are_in_the_image(self):
        check = re.search(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", self.text)
        self.assertEqual(json.loads(check.group(1))[:2], ["antidiffusion", "health"])
        self.assertIn('ENTRYPOINT ["antidiffusiond"]', self.text)

    def test_what_is_copied_is_in_the_context(self):
        """.dockerignore lets through every folder that the build reads."""
        allowed = {
            line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines()
            if line.startswith("!")
        }
        cmake = (ROOT / "CMakeLists.txt").read_text()
        for folder in re.findall(r"add_subdirectory\((\w+)\)", cmake):
            self.assertTrue({folder, f"{folder}/CMakeLists.txt"} & allowed, folder)
        for path in allowed:
            self.assertTrue((ROOT / path).exists(), path)


if __name__ == "__main__":
    unittest.main()
