"""Checks a port before a command listens on it, so that a port in use is one line. Not here: the servers."""

from __future__ import annotations

import errno

from fly_billing.errors import ActionableError

LARGEST_PORT = 65535
_REASONS = {
    errno.EADDRINUSE: "another program uses it: end that program, or choose another port with --port",
    errno.EACCES: "only root may listen there: choose a port above 1023 with --port",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


class PortNotUsable(ActionableError):
    """A command can't listen on the port. The message gives the reason and the fix."""


def refuse_unusable_port(host: str, port: int) -> None:
    """Raise PortNotUsable if no server can listen on this port now. Port 0 stands for any free port."""
    import socket  # here, because every command reads LARGEST_PORT

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as problem:
        raise PortNotUsable(f"{host} is not an address to listen on: {problem.strerror}") from problem
    except OSError as problem:
        reason = _REASONS.get(problem.errno or 0, problem.strerror)
        raise PortNotUsable(f"can't listen on port {port} of {host}: {reason}") from problem
