"""A proxy that tells when the first byte of each order came to it: one clock for all processes.

    python -m tests.bench.stamping_proxy PORT

It prints the port that it listens on, then a JSON line for each POST that it passes on to PORT:
its path, and the time in ns. What a client puts on the wire is measured outside the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time


class StampingProxy:
    """Passes bytes between clients and one port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass(reader, back, True), self._pass(there, writer, False))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_request: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                now_ns = time.time_ns()
                writer.write(data)
                if is_request and data.startswith(b"POST "):
                    path = data.split(b" ", 2)[1].split(b"?")[0].decode()
                    print(json.dumps({"path": path, "ns": now_ns}), flush=True)
        writer.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(StampingProxy(int(sys.argv[1])).serve())
