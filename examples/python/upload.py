"""Protects one photograph while its upload waits.

The request_id is the upload's own: whoever repeats the upload, or restarts this program, gets the result
of the work that was done already instead of doing it twice.
"""

import argparse
import sys
from pathlib import Path

import grpc
from antidiffusion.v1 import protection_pb2
from protection import Connection, add_connection_flags, attempts, read_to_the_end, reason_of


def protect(connection, image, request_id, timeout=None, on_event=lambda event: None):
    """The ProtectionResult of one image, and what it became; grpc.RpcError when there is none."""
    request = protection_pb2.ProtectRequest(image=image, request_id=request_id)

    def once():
        # Leaving this function in any way closes the call, which cancels the work on the server.
        return read_to_the_end(connection.service.Protect(
            request, metadata=connection.metadata, timeout=timeout), on_event)

    return attempts(once)


def show(event):
    kind = event.WhichOneof("event")
    if kind == "queued":
        print(f"queued, {event.queued.position} before it", file=sys.stderr)
    elif kind == "progress":
        print(f"{event.progress.stage} {event.progress.fraction:.0%}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--request-id", required=True, metavar="ID")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="of an attempt")
    add_connection_flags(parser)
    options = parser.parse_args()
    connection = Connection(options.server, options.ca)
    try:
        result, image = protect(connection, options.photo.read_bytes(), options.request_id,
                                options.timeout, show)
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name} {reason_of(error)}: {error.details()}")
    options.output.write_bytes(image)
    print(f"{result.mime_type}, at most {result.report.max_difference} levels, "
          f"PSNR {result.report.psnr:.1f} dB")


if __name__ == "__main__":
    main()
