"""The comparison partner of the getter benchmark: Python's own threaded XML-RPC server, answering the same call."""

from __future__ import annotations

import sys
from socketserver import ThreadingMixIn
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer


class Server(ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go when the measurement ends."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class KeepAlive(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write per reply, as a careful user would configure it
    disable_nagle_algorithm = True


def main() -> None:
    server = Server(("127.0.0.1", 0), KeepAlive, logRequests=False)
    server.register_function(lambda session, vm: {"Status": "Success", "Value": "Running"}, "VM.get_power_state")
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
