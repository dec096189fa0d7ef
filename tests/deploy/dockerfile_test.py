"""Holds the Dockerfile to hadolint, to the manifests and to what the programs load. No image is built.

usage: ANTIDIFFUSIOND=... ANTIDIFFUSION_WORKER=... ANTIDIFFUSION=... python -m pytest dockerfile_test.py
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from deployed import OVERLAYS, ROOT, pod, server, tool

DOCKERFILE = ROOT / "Dockerfile"
TEXT = DOCKERFILE.read_text()
PROGRAMS = {"antidiffusiond": "ANTIDIFFUSIOND", "antidiffusion-worker": "ANTIDIFFUSION_WORKER",
            "antidiffusion": "ANTIDIFFUSION"}
# Every Debian has them.
ESSENTIAL = {"libc6", "libgcc-s1"}

def installed_packages():
    """Debian packages of the last stage."""
    last = TEXT.rpartition("\nFROM ")[2]
    listed = re.search(r"--no-install-recommends \\\n((?: +\S+ \\\n)+)", last).group(1)
    return set(listed.replace("\\", " ").split())


def needed_libraries(program):
    """Paths of the libraries that a program names itself; those of .venv are copied into the image."""
    named = set(re.findall(r"\(NEEDED\).*\[(.+)\]", subprocess.run(
        ["readelf", "-d", program], check=True, capture_output=True, text=True).stdout))
    resolved = dict(re.findall(r"^\s*(\S+) => (/\S+)", subprocess.run(
        ["ldd", program], check=True, capture_output=True, text=True).stdout, re.MULTILINE))
    return {resolved[library] for library in named if "/.venv/" not in resolved[library]}


def packages_of(libraries):
    """Debian packages. With a merged /usr the loader says /lib where dpkg knows /usr/lib, or reversed."""
    spellings = {path: {path, str(Path(path).resolve()), str(Path(path).resolve()).removeprefix("/usr")}
                 for path in libraries}
    found = dict(reversed(line.split(": ", 1)) for line in subprocess.run(
        ["dpkg-query", "--search", *set().union(*spellings.values())],
        check=False, capture_output=True, text=True).stdout.splitlines())
    packages = set()
    for path, candidates in spellings.items():
        owners = {found[candidate].partition(":")[0] for candidate in candidates if candidate in found}
        assert owners, f"{path} belongs to no package"
        packages |= owners
    return packages


def test_hadolint_is_content():
    result = subprocess.run(
        [tool("hadolint"), "--config", str(ROOT / ".hadolint.yaml"), str(DOCKERFILE)],
        capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_base_images_have_a_precise_tag_and_are_the_same():
    images = set(re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE))
    assert len(images) == 1
    assert re.fullmatch(r"debian:12\.[0-9]+-slim", images.pop())


def test_packages_are_those_whose_libraries_the_programs_load():
    needed = packages_of(set().union(
        *(needed_libraries(os.environ[variable]) for variable in PROGRAMS.values())))
    if any(re.fullmatch(r"lib(a|t|ub)san\d+", package) for package in needed):
        pytest.skip("a sanitizer's build links other libraries than the image's")
    assert needed - ESSENTIAL == installed_packages()


def test_every_program_is_built_and_installed():
    for program in PROGRAMS:
        assert re.search(rf'"\$folder/bin/{program}"', TEXT), program
        assert re.search(rf"scripts/build .*\b{program}( |$)", TEXT, re.MULTILINE), program
    # torch is loaded by the worker alone.
    assert 'deploy/collect_libraries /runtime "$folder/bin/antidiffusion-worker"' in TEXT


def test_user_and_ports_are_those_of_the_deployment():
    user = pod("base")["securityContext"]["runAsUser"]
    assert f"\nUSER {user}:{user}\n" in TEXT
    ports = " ".join(str(port["containerPort"]) for port in server("base")["ports"])
    assert f"\nEXPOSE {ports}\n" in TEXT


@pytest.mark.parametrize("name", OVERLAYS)
def test_commands_of_the_deployment_are_in_the_image(name):
    debian = {"cp", "sleep"}  # coreutils
    ours = {"verify-models"}
    assert "/runtime/opt/antidiffusion/bin/verify-models" in TEXT
    assert "PATH=/opt/antidiffusion/bin:$PATH" in TEXT
    layer = f"overlays/{name}"
    commands = [container["command"][0] for container in pod(layer)["initContainers"]]
    commands.append(server(layer)["lifecycle"]["preStop"]["exec"]["command"][0])
    assert set(commands) <= debian | ours
    assert "command" not in server(layer)
    assert 'ENTRYPOINT ["antidiffusiond"]' in TEXT


def test_the_image_names_its_models_and_their_tokenizers():
    """The defaults are those of the tree it was built in, which is not in the image."""
    models = re.search(r" ANTIDIFFUSION_MODEL_REPOSITORY=(\S+)", TEXT).group(1)
    assert f" ANTIDIFFUSION_TOKENIZERS={models}/tokenizers " in TEXT
    for name in ("clip", "open_clip"):
        assert (ROOT / "models/tokenizers" / name).is_dir()


def test_the_health_check_is_the_client():
    check = re.search(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", TEXT)
    assert json.loads(check.group(1))[:2] == ["antidiffusion", "health"]


def test_what_is_copied_is_in_the_context():
    """.dockerignore lets through every folder that the build reads."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines()
               if line.startswith("!")}
    cmake = (ROOT / "CMakeLists.txt").read_text()
    for folder in re.findall(r"add_subdirectory\((\w+)\)", cmake):
        assert {folder, f"{folder}/CMakeLists.txt"} & allowed, folder
    for path in allowed:
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\bdeploy/\w+", TEXT):
        assert path in allowed, path
