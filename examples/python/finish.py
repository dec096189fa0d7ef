"""Follows the open jobs to their ends and stores their results: a process of its own, or several.

It may be killed at any time. The sequence of the last event is in the table, and a watch goes on after it;
a result is written before the job is forgotten, so a crash in between writes it once more.
"""

import argparse
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import uploads
from antidiffusion.v1 import protection_pb2
from protection import Connection, add_connection_flags, attempts, read_to_the_end, reason_of

EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


class Finisher:
    """Thread-safe; a call of `finish` a job."""

    def __init__(self, connection, database_path, folder):
        self.connection, self.folder = connection, folder
        self._path, self._local = database_path, threading.local()

    @property
    def database(self):
        if not hasattr(self._local, "database"):
            self._local.database = uploads.connect(self._path)
        return self._local.database

    def finish(self, upload, job, sequence):
        """Blocks until the job has ended and its result is stored."""
        try:
            result, image = self._watch(upload, job, sequence)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                print(f"{upload}: {error.details()}; later again", file=sys.stderr)
                return
            uploads.end(self.database, upload, "failed", f"{error.code().name} {reason_of(error)}")
            return
        self._store(upload, result, image)
        uploads.end(self.database, upload, "protected", result.mime_type)
        self._forget(job)

    def _watch(self, upload, job, sequence):
        last = sequence

        def remember(event):
            nonlocal last
            last = event.sequence
            uploads.remember(self.database, upload, last)
            print(f"{upload}: {last} {event.WhichOneof('event')}", flush=True)

        def once():
            request = protection_pb2.WatchJobRequest(name=job, from_sequence=last)
            return read_to_the_end(self.connection.service.WatchJob(
                request, metadata=self.connection.metadata), remember)

        return attempts(once)

    def _store(self, upload, result, image):
        """Whole or not at all."""
        path = self.folder / f"{upload}{EXTENSIONS[result.mime_type]}"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(image)
        temporary.replace(path)

    def _forget(self, job):
        """The server would do it by itself after --result-ttl."""
        request = protection_pb2.DeleteJobRequest(name=job)
        try:
            self.connection.service.DeleteJob(request, metadata=self.connection.metadata,
                                              timeout=30)
        except grpc.RpcError as error:
            print(f"{job}: {error.details()}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("folder", type=Path, help="for the results")
    parser.add_argument("--once", action="store_true", help="end when nothing is open")
    parser.add_argument("--parallel", type=int, default=16, help="watches at a time; default 16")
    add_connection_flags(parser)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    finisher = Finisher(Connection(options.server, options.ca), options.database, options.folder)
    with ThreadPoolExecutor(options.parallel) as pool:
        while rows := uploads.open_ones(finisher.database) or not options.once:
            if rows is True:
                time.sleep(1)
                continue
            list(pool.map(lambda row: finisher.finish(*row), rows))


if __name__ == "__main__":
    main()
