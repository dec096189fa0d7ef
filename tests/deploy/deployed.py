"""What the tests of this folder read: kustomizations as kubectl builds them, programs, the flags."""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
LAYERS = ["base", "production", "durable", *(f"overlays/{name}" for name in OVERLAYS)]


def tool(name):
    """The path of a program, beside this Python or on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: scripts/setup --tests")
    return found


@functools.cache
def built(layer):
    """Every document that a layer builds to."""
    output = subprocess.run(
        [tool("kubectl"), "kustomize", str(KUBERNETES / layer)],
        check=True, capture_output=True, text=True,
    ).stdout
    return list(yaml.safe_load_all(output))


def one(layer, kind, name="antidiffusion"):
    """The resource of a layer; fails where there is not exactly one."""
    found = [resource for resource in built(layer)
             if resource["kind"] == kind and resource["metadata"]["name"] == name]
    assert len(found) == 1, f"{layer} has {len(found)} of {kind} {name}"
    return found[0]


def has(layer, kind):
    return any(resource["kind"] == kind for resource in built(layer))


def pod(layer):
    return one(layer, "Deployment")["spec"]["template"]["spec"]


def server(layer):
    containers = pod(layer)["containers"]
    assert len(containers) == 1
    return containers[0]


@functools.cache
def help_text():
    return subprocess.run([os.environ["ANTIDIFFUSIOND"], "--help"], check=True,
                          capture_output=True, text=True).stdout


@functools.cache
def flags_of_help():
    """Every flag of `antidiffusiond --help`, without the dashes."""
    return set(re.findall(r"^ +(?:-\w,)?--([a-z][a-z0-9-]+)", help_text(), re.MULTILINE))


def twin(variable):
    """The flag whose environment twin a variable is."""
    return variable.removeprefix("ANTIDIFFUSION_").lower().replace("_", "-")


def flags(container):
    """Flag -> value, from arguments and environment."""
    given = {}
    for variable in container.get("env", []):
        if variable["name"].startswith("ANTIDIFFUSION_"):
            given[twin(variable["name"])] = variable["value"]
    for argument in container.get("args", []):
        name, _, value = argument.partition("=")
        assert name.startswith("--"), argument
        name = name.removeprefix("--")
        assert name not in given, f"{name} is given twice: the argument hides the variable"
        given[name] = value
    return given
