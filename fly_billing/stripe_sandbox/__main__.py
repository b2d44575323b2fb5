"""The command `python -m fly_billing.stripe_sandbox`: reads the options and calls `server.run`."""

import argparse
from pathlib import Path

from fly_billing.stripe_sandbox.server import run, stop_when_stdin_closes
from fly_billing.stripe_sandbox.store import StoreNotUsable


def main() -> None:
    """Run the sandbox until it is interrupted."""
    flags = argparse.ArgumentParser(prog="python -m fly_billing.stripe_sandbox", description="A local Stripe.")
    flags.add_argument("--host", default="127.0.0.1", help="address to listen on")
    flags.add_argument("--port", type=int, default=12111, help="port to listen on; 0 picks a free one")
    flags.add_argument("--store", type=Path, required=True, help="SQLite file for all state")
    flags.add_argument(
        "--ready-file", type=Path, help="file to write the address to, once the server accepts connections"
    )
    flags.add_argument("--quiet", action="store_true", help="do not print the address")
    flags.add_argument("--stop-with-parent", action="store_true", help="stop when stdin closes")
    given = flags.parse_args()
    if given.stop_with_parent:
        stop_when_stdin_closes()
    try:
        run(given.host, given.port, given.store, quiet=given.quiet, ready_file=given.ready_file)
    except StoreNotUsable as problem:
        flags.exit(2, f"{flags.prog}: {problem}\n")


if __name__ == "__main__":
    main()
