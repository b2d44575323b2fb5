"""Opens connections to the billing Postgres, limits them in time, and explains their errors in one line.

It owns the database's address, the limits of a session, the watch over silent connections, the refusal of poolers that
swap connections, and the wording of driver errors. It does not own statements.
"""

from fly_billing.postgres.connections.addresses import read_address
from fly_billing.postgres.connections.connection_budget import NEEDED, PoolPolicy
from fly_billing.postgres.connections.engines import make_engine, refuse_pooler_of, tcp_limits
from fly_billing.postgres.connections.pools import pooled_engine
from fly_billing.postgres.connections.problems import DatabaseAddress, DatabaseProblem, describe

__all__ = [
    "NEEDED",
    "DatabaseAddress",
    "DatabaseProblem",
    "PoolPolicy",
    "describe",
    "make_engine",
    "pooled_engine",
    "read_address",
    "refuse_pooler_of",
    "tcp_limits",
]
