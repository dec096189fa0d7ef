"""What the upload handler does: makes a job and answers at once; finish.py does the rest.

The order matters. The job's request_id is the upload's, so that a handler that dies between the two lines
and is repeated finds the job it made.
"""

import argparse
from pathlib import Path

import uploads
from antidiffusion.v1 import protection_pb2
from protection import Connection, add_connection_flags, attempts


def accept(connection, database, upload, image):
    """The name of the upload's job."""
    request = protection_pb2.ProtectRequest(image=image, request_id=f"upload-{upload}",
                                            labels={"upload": upload})
    job = attempts(lambda: connection.service.CreateJob(request, metadata=connection.metadata,
                                                        timeout=30))
    uploads.add(database, upload, job.name)
    return job.name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--upload-id", required=True, metavar="ID")
    add_connection_flags(parser)
    options = parser.parse_args()
    print(accept(Connection(options.server, options.ca), uploads.connect(options.database),
                 options.upload_id, options.photo.read_bytes()))


if __name__ == "__main__":
    main()
