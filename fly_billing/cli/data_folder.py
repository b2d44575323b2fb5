"""The folder of local data: usage, invoices' database, the sandbox. Nobody but its owner may look into it."""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE = 0o700
# Root's folder, where the server's account has its data in it: that account may pass, and see nothing.
PASSABLE = 0o710
OTHERS = 0o077


def make_private(folder: Path) -> None:
    """Make the folder if it is missing, and close it to others; also one that is there, if it is ours.

    A shared folder such as /tmp stays open: people put the landing folder of several users elsewhere
    (FLY_BILLING_LANDING_DIR).
    """
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    found = folder.stat()
    is_shared = found.st_mode & 0o1000
    if found.st_uid != os.geteuid() or is_shared or not found.st_mode & OTHERS:
        return
    server = folder / "postgres" / "data"
    if server.is_dir() and server.stat().st_uid != found.st_uid:
        os.chown(folder, -1, server.stat().st_gid)
        folder.chmod(PASSABLE)
    else:
        folder.chmod(PRIVATE)
