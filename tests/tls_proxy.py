"""Speaks TLS for a server on a unix socket, with an authority of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

MAKE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -keyout key.pem -out ca.crt "
    "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
)


@contextlib.contextmanager
def tls_in_front_of(socket: Path, folder: Path) -> Iterator[int]:
    """Yield the port; ``ca.crt`` in the folder is what it can be trusted by."""
    subprocess.run(MAKE.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "key.pem")
    loop = asyncio.new_event_loop()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, ssl.SSLError):
                while data := await reader.read(65_536):
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(socket)
        with contextlib.suppress(asyncio.CancelledError):  # the server is closed
            await asyncio.gather(pass_on(reader, outer), pass_on(inner, writer))

    server = loop.run_until_complete(asyncio.start_server(serve, "localhost", 0, ssl=context))
    port = int(server.sockets[0].getsockname()[1])
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
