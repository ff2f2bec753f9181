"""Redis' certificate and its authority are replaced while a service is connected: no restart of it.

The bundled server has no TLS, so something in front of it has.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from shared.bus.opening import open_bus
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable
from tests.decision_builders import make_beat
from tests.support import eventually

BEAT = make_beat("risk", 1)
AUTHORITY = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -keyout {0}.key -out {0}.crt"
REQUEST = "openssl req -newkey rsa:2048 -nodes -keyout {0}.key -out {0}.csr -subj /CN=localhost"
SIGN = (
    "openssl x509 -req -in {0}.csr -CA {1}.crt -CAkey {1}.key -CAcreateserial -days 1 -out {0}.crt"
)


def run(command: str, folder: Path, *more: str) -> None:
    subprocess.run([*command.split(), *more], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path, name: str) -> str:
    """Return its certificate."""
    ours = ("-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    run(AUTHORITY.format(name), folder, *ours)
    return (folder / f"{name}.crt").read_text()


def make_certificate(folder: Path, name: str, authority: str) -> None:
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
    run(REQUEST.format(name), folder)
    run(SIGN.format(name, authority), folder, "-extfile", "names")


class Front:
    """TLS in front of a server: the certificate may be another one for the next connection."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.port, self.connections = 0, 0
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._open = set[asyncio.StreamWriter]()
        self._tasks = set[asyncio.Task[None]]()

    def show(self, folder: Path, name: str) -> None:
        """Have this certificate shown, as a server that was restarted with it does."""
        self._context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        for writer in self._open:
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Front]:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", ssl=self._context)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        path = self._server.url.removeprefix("unix://")
        below, above = await asyncio.open_unix_connection(path)
        self._open |= {writer, above}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(relay(reader, above))
                group.create_task(relay(below, writer))
        finally:
            self._open -= {writer, above}
            for each in (above, writer):
                each.close()


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_new_certificate_and_a_new_authority_are_taken_without_a_restart(
    tmp_path: Path,
) -> None:
    old, new = (make_authority(tmp_path, name) for name in ("old", "new"))
    for name, authority in (("first", "old"), ("second", "old"), ("third", "new")):
        make_certificate(tmp_path, name, authority)
    bundle = tmp_path / "ca.crt"
    bundle.write_text(old)
    with EmbeddedServer(tmp_path / "bus") as server:
        front = Front(server)
        front.show(tmp_path, "first")
        async with front.listening():
            config = BusConfig(url=f"rediss://127.0.0.1:{front.port}/0", tls_ca_file=str(bundle))
            bus = await open_bus(config, service="risk", instance="r1")

            async def is_published() -> bool:
                try:
                    await bus.publish([BEAT])
                except BusUnavailable as error:
                    raise AssertionError(str(error)) from error
                return True

            async def is_published_after(certificate: str) -> bool:
                before = front.connections
                front.show(tmp_path, certificate)
                await eventually(is_published, timeout_s=20)
                return front.connections > before

            await eventually(is_published)
            assert await is_published_after("second"), "of the same authority"
            front.show(tmp_path, "third")
            await eventually(lambda: is_refused(bus), timeout_s=20)
            bundle.write_text(old + new)
            await eventually(is_published, timeout_s=20, what="its authority is in the bundle now")
            assert await is_published_after("second"), "both authorities are trusted"
            bundle.write_text(new)
            assert await is_published_after("third")
            await bus.close()


async def is_refused(bus) -> bool:
    try:
        await bus.publish([BEAT])
    except BusUnavailable as error:
        return "certificate" in str(error).lower()
    return False
