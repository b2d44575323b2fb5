"""Errors of the embedded server, worded for the person who ran `make demo`."""


class EmbeddedPostgresError(RuntimeError):
    """The embedded server can't be used. The message gives the reason and an alternative."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}\nOr set DATABASE_URL to your own PostgreSQL server, so that no embedded one is needed."
        )


class ServerInUseError(RuntimeError):
    """The data can't be removed, because the server is still in use."""
