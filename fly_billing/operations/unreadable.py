"""The errors of a platform that can't be read, and their reasons. Not here: the reading (`operations.signs_reader`)."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from fly_billing.errors import ActionableError
from fly_billing.postgres.connections import describe

# The errors that a reading raises if a database or the landing folder can't be read. Anything else is a bug, and a 500.
UNREADABLE = (ActionableError, SQLAlchemyError)


def reason_of(problem: Exception) -> str:
    """Return the reason without secrets: of errors whose messages are known to contain none, else only the kind."""
    return str(problem) if isinstance(problem, ActionableError) else describe(problem) or type(problem).__name__
