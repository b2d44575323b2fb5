"""Opens connections to the billing Postgres, limits them in time, and explains their errors in one line.

It owns the database's address, the limits of a session, the watch over silent connections, the refusal of poolers that
swap connections, and the wording of driver errors. It does not own statements. Engines of SQLAlchemy (`engines`,
`pools`) are imported by the modules that need them: commands that only read do without.
"""

from fly_billing.postgres.connections.addresses import read_address
from fly_billing.postgres.connections.connection_budget import NEEDED, PoolPolicy, needed
from fly_billing.postgres.connections.opening import tcp_limits
from fly_billing.postgres.connections.problems import DatabaseAddress, DatabaseProblem, describe

__all__ = [
    "NEEDED", "DatabaseAddress", "DatabaseProblem", "PoolPolicy", "describe", "needed", "read_address", "tcp_limits",
]  # fmt: skip
