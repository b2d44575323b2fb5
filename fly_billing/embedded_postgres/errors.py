"""What can go wrong with the embedded server, in words for the person who typed `make demo`."""


class EmbeddedPostgresError(RuntimeError):
    """The project's own server cannot be used; says why, and what to do instead."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}\nOr set DATABASE_URL to a PostgreSQL server of your own: then none is started here."
        )


class ServerInUseError(RuntimeError):
    """Somebody still uses the server whose data was to be removed."""
