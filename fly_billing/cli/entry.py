"""The start of `fly-billing`: ends quietly on Ctrl-C, even while Python is still loading the rest.

Keep imports of the package out of this module's top. Not here: the command (`cli.main`).
"""

from __future__ import annotations

import gc
import sys

# The shell's exit code for a command that SIGINT ended.
INTERRUPTED = 130
# New objects between two searches for garbage. Python's 700 is a search for every few modules that a command loads.
OBJECTS = 100_000


def main() -> None:
    """Run the command. Prints one line if it is interrupted."""
    try:
        # Loading makes many objects and no garbage: searching them for it again and again takes 7 % of `--help`.
        gc.disable()
        from fly_billing.cli.main import main as run_command

        gc.freeze()
        gc.set_threshold(OBJECTS)
        gc.enable()
        run_command()
    except KeyboardInterrupt:
        end = INTERRUPTED
    except SystemExit as exit_:
        if exit_.code != INTERRUPTED:
            raise
        end = INTERRUPTED
    else:
        return
    finally:
        # The process ends: a last search for garbage among all modules would take a sixth of the time of `statement`.
        gc.freeze()
    print("fly-billing: interrupted", file=sys.stderr)
    sys.exit(end)
