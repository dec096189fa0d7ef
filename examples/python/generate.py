"""Generates the Python classes of the service: generate.py FOLDER"""

import sys
from pathlib import Path

import google.api.http_pb2
import grpc_tools
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[2] / "proto"


def generate(folder):
    """antidiffusion/v1/protection_pb2.py and protection_pb2_grpc.py below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    google_apis = Path(google.api.http_pb2.__file__).parents[2]
    code = protoc.main([
        "protoc", f"-I{PROTO}", f"-I{google_apis}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}", f"--python_out={folder}",
        f"--grpc_python_out={folder}", "antidiffusion/v1/protection.proto"
    ])
    if code != 0:
        raise SystemExit(code)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    generate(Path(sys.argv[1]))
