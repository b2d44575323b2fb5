"""Explains errors of the operating system that a user can fix: an unreadable file, a full disk. Not here: bugs."""

from __future__ import annotations

import errno

_REMEDIES = {
    errno.EACCES: "check its owner and rights, or name another one",
    errno.EPERM: "check its owner and rights, or name another one",
    errno.EROFS: "name a place that can be written to, for example with FLY_BILLING_DATA_DIR",
    errno.ENOENT: "check the name",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name a folder",
    errno.ENOSPC: "make room, then run again",
    errno.EDQUOT: "make room, then run again",
    errno.EIO: "check the disk",
    errno.ELOOP: "check the links",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "end other programs, or raise the system's limit of open files",
}


def describe_file_error(problem: BaseException) -> str | None:
    """Return a line with the file, the reason and the next step; None if the error is none of these.

    Looks at the error and at those that caused it, not at errors that were being handled when a bug showed.
    """
    link: BaseException | None = problem
    while link is not None:
        if isinstance(link, OSError) and link.errno in _REMEDIES:
            names = [str(name) for name in (link.filename, link.filename2) if name is not None]
            subject = f"{' to '.join(names)}: " if names else ""
            return f"{subject}{link.strerror}: {_REMEDIES[link.errno]}"
        link = link.__cause__
    return None
