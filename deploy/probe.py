"""Exit 0 if an HTTP server on this machine's loopback answers 200: ``probe.py PORT PATH``.

Container health checks run it every few seconds, so it imports only what it must.
"""

import socket
import sys

TIMEOUT_S = 2.0


def main(port: str, path: str) -> int:
    """Ask once; print what was wrong."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", int(port)), TIMEOUT_S) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.sendall(request.encode())
            answer = b""
            while len(answer) < 4096 and (part := connection.recv(4096)):
                answer += part
    except OSError as error:
        print(f"no answer on port {port}: {error}")
        return 1
    status, _, rest = answer.partition(b"\r\n")
    print(status.decode(errors="replace"), rest.rpartition(b"\r\n\r\n")[2].decode(errors="replace"))
    return 0 if status.split(b" ")[1:2] == [b"200"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
