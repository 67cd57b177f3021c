"""A stand-in for a CryoSPARC server, on the loopback: for the real client libraries 4.7.1 and 5.0.3 to talk to.

It is NOT CryoSPARC. It was written from the source of the client libraries: what they send and expect is real, how a
server would answer to it is not known beyond that. Its own check is the one that users have met on real servers: an
output must have every required field with the right name, type and shape (a reply of a 4.7 server: "422 Invalid
dataset; missing the following required fields: {('location/micrograph_shape', '<u4', (2,))}").

Version 4 speaks JSON-RPC on three ports (base + 2, 3, 5), version 5 REST on the base port; the client of 5 takes all
paths and verbs from the server's ``/openapi.json``, so those here are our own.

Runs in the environment of the client library, for its ``Dataset``: python cryosparc_stand_in VERSION PORT FOLDER.
FOLDER has ``exposures.cs``, what job J2 puts out as ``exposures``; it gets ``state.json`` after every request, and the
saved outputs as ``J3_picks.cs``. Project P1 has its folder at FOLDER/project.
"""

from __future__ import annotations

import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from instance import Instance
from version4 import Version4
from version5 import Version5


def main() -> None:
    """Serve until killed."""
    version, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    handler = Version4 if version.startswith("4") else Version5
    handler.instance = Instance(folder)
    ports = [port + 2, port + 3, port + 5] if handler is Version4 else [port]
    servers = [ThreadingHTTPServer(("127.0.0.1", number), handler) for number in ports]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
