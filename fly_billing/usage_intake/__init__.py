"""Usage over HTTP: `POST /v1/usage` writes CloudEvents into the landing folder, durably, before it answers.

It needs no database: it accepts usage while Postgres is down. Not here: landing the files it writes (`usage`).
"""

from fly_billing.usage_intake.app import PATH, build_app
from fly_billing.usage_intake.server import serve

__all__ = ["PATH", "build_app", "serve"]
