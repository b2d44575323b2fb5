"""The command `python -m fly_billing.stripe_sandbox`: flags in, `server.run` out."""

import argparse
from pathlib import Path

from fly_billing.stripe_sandbox.server import run, stop_when_stdin_closes


def main() -> None:
    """Run the sandbox until it is interrupted."""
    flags = argparse.ArgumentParser(prog="python -m fly_billing.stripe_sandbox", description="A local Stripe.")
    flags.add_argument("--host", default="127.0.0.1", help="address to listen on")
    flags.add_argument("--port", type=int, default=12111, help="port to listen on; 0 takes a free one")
    flags.add_argument("--store", type=Path, required=True, help="the SQLite file that holds all state")
    flags.add_argument("--ready-file", type=Path, help="write the address here once connections are accepted")
    flags.add_argument("--quiet", action="store_true", help="do not print the address")
    flags.add_argument("--stop-with-parent", action="store_true", help="end when stdin closes")
    given = flags.parse_args()
    if given.stop_with_parent:
        stop_when_stdin_closes()
    run(given.host, given.port, given.store, quiet=given.quiet, ready_file=given.ready_file)


if __name__ == "__main__":
    main()
