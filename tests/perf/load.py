"""A load generator of its own process: keep-alive HTTP requests over raw sockets, as many as fit in a time.

usage: load.py HOST PORT SECONDS CONNECTIONS   request bytes on standard input; prints JSON {requests, seconds, bytes}.
It parses nothing but Content-Length, so that it costs little and never hides the server's speed. A chunked reply (a
long answer that the server makes for the first time) is read to its last chunk.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time


def exchange(sock: socket.socket, request: bytes) -> int:
    """Send one request, read one whole reply, return its size."""
    sock.sendall(request)
    data = sock.recv(1 << 18)
    while b"\r\n\r\n" not in data:
        data += sock.recv(1 << 18)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            missing = int(value) - len(body)
            size = len(head) + 4 + int(value)
            break
    else:
        if b"chunked" not in head.lower():
            raise SystemExit(f"no Content-Length in {head!r}")
        while not data.endswith(b"\r\n0\r\n\r\n"):
            got = sock.recv(1 << 18)
            if not got:
                raise SystemExit("connection closed in a reply")
            data += got
        return len(data)
    view = bytearray(1 << 18)
    while missing > 0:
        got = sock.recv_into(view, min(missing, len(view)))
        if not got:
            raise SystemExit("connection closed in a reply")
        missing -= got
    return size


def main() -> None:
    host, port, seconds, connections = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    request = sys.stdin.buffer.read()
    sockets = []
    for _ in range(connections):
        sock = socket.create_connection((host, port), timeout=60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets.append(sock)
    total = exchange(sockets[0], request)
    if connections == 1:
        requests, size = serial(sockets[0], request, seconds)
    else:
        requests, size = parallel(sockets, request, seconds, total)
    print(json.dumps({"requests": requests[0], "seconds": requests[1], "bytes": size}))


def serial(sock: socket.socket, request: bytes, seconds: float) -> tuple[tuple[int, float], int]:
    start = time.perf_counter()
    count = size = 0
    while time.perf_counter() - start < seconds:
        size += exchange(sock, request)
        count += 1
    return (count, time.perf_counter() - start), size


def parallel(
    sockets: list[socket.socket], request: bytes, seconds: float, reply_size: int
) -> tuple[tuple[int, float], int]:
    """All connections busy at once; every reply has the size of the first."""
    selector = selectors.DefaultSelector()
    left = {}
    for sock in sockets:
        sock.sendall(request)
        left[sock.fileno()] = reply_size
        selector.register(sock, selectors.EVENT_READ, sock)
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < seconds:
        for key, _ in selector.select(1.0):
            sock = key.data
            left[key.fd] -= len(sock.recv(1 << 18))
            if left[key.fd] <= 0:
                count += 1
                left[key.fd] = reply_size
                sock.sendall(request)
    return (count, time.perf_counter() - start), count * reply_size


if __name__ == "__main__":
    main()
