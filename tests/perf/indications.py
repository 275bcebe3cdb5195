"""How many indications a second go to one listener: matching, encoding and confirmed delivery over loopback; and the
ratio to a bare loop that posts the same bytes to the same listener, one request at a time.

The provider runs here over a store of machines, the listener in a process of its own. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path as File

import uvloop

sys.path.insert(0, str(File(__file__).parents[1]))
from cim_pool import ROOT, SmallPool

from cim_provider.indications.delivery import MAX_QUEUED
from cim_provider.indications.service import Indications
from cim_provider.operations.api import Operation
from cim_provider.schema.objects import INTEROP, Instance
from xenapi_core.clock import RealClock

LISTENER = """
import asyncio, re
import uvloop
BODY = b'<CIM><MESSAGE><SIMPLEEXPRSP><EXPMETHODRESPONSE NAME="ExportIndication"/></SIMPLEEXPRSP></MESSAGE></CIM>'
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(BODY) + BODY
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            await reader.readexactly(int(re.search(rb"Content-Length: (\\d+)", head)[1]))
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.run(main())
"""


async def bare(port: int, body: bytes, count: int) -> float:
    """Requests a second when nothing is done but to post `body` over one connection and to read each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    start = time.perf_counter()
    for _ in range(count):
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(answer.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
    seconds = time.perf_counter() - start
    writer.close()
    await writer.wait_closed()
    return count / seconds


async def measure(machines: int, rounds: int, port: int) -> None:
    pool = SmallPool()
    for n in range(machines):
        pool.vm(f"vm-{n}")
    service = Indications(pool.provider, RealClock())
    await service.start()

    def create(classname: str, **values: object) -> object:
        call = Operation("CreateInstance", INTEROP, {}, ROOT, pool.provider)
        return pool.provider.writers[classname].create(call, Instance(classname, values))

    query = "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ComputerSystem"
    chosen = create("CIM_IndicationFilter", Query=query, QueryLanguage="WQL")
    handler = create("CIM_ListenerDestinationCIMXML", Destination=f"http://127.0.0.1:{port}")
    made = create("CIM_IndicationSubscription", Filter=chosen, Handler=handler)
    if not hasattr(made, "keys"):
        await made
    (channel,) = service.delivery.channels.values()
    clock = RealClock()
    best, sent = 0.0, b""
    for number in range(rounds):
        cpu, start, done = time.process_time(), time.perf_counter(), channel.number
        txn = pool.store.begin()
        for n in range(machines):
            txn.update(pool.refs[f"vm-{n}"], name_description=f"round {number}")
        pool.store.commit(txn)
        while channel.number < done + machines or channel.queue:
            sent = b"".join(channel.queue[0]) if channel.queue else sent
            await clock.sleep(0.001)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"{machines} indications: {machines / seconds:,.0f}/s, {cpu / machines * 1e6:.0f} us of CPU each")
        best = max(best, machines / seconds)
    alone = await bare(port, sent, machines)
    print(f"a bare loop posts {len(sent):,} bytes {alone:,.0f} times a second: ratio {best / alone:.2f}")
    print(f"lost: {channel.lost}")
    await service.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.machines > MAX_QUEUED:
        parser.error(f"at most {MAX_QUEUED}: more do not fit into the queue")
    with subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True) as listener:
        try:
            port = int(listener.stdout.readline())
            uvloop.run(measure(options.machines, options.rounds, port))
        finally:
            listener.terminate()


if __name__ == "__main__":
    main()
