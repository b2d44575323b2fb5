"""The sandbox's settings: Stripe's limits, rate limits and latency. They can be changed while it runs.

Defaults are Stripe's documented or observed limits, with rate limits and latency off. Not here: their effects
(`limits`, `pipeline`, the endpoints).
"""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

MINIMUM_CHARGES = {
    "usd": 50, "eur": 50, "gbp": 30, "aud": 50, "cad": 50, "chf": 50, "nzd": 50, "sgd": 50, "brl": 50,
    "jpy": 50, "sek": 300, "nok": 300, "dkk": 250, "mxn": 1000, "pln": 200, "hkd": 400, "inr": 50,
}  # fmt: skip


@dataclass(frozen=True)
class SandboxSettings:
    """All settings. Seconds are real seconds, except `key_ttl_seconds`, which counts by the movable clock.

    Attributes:
        new_customers_have_a_card: A new customer pays with `pm_card_visa`, as one that signed up on the platform.
        dispute_fee: Stripe's fee for a dispute, in minor units.
    """

    max_invoice_lines: int = 250
    max_lines_per_call: int = 100
    added_lines_come_first: bool = False
    minimum_charges: dict[str, int] = field(default_factory=lambda: dict(MINIMUM_CHARGES))
    default_minimum_charge: int = 50
    key_ttl_seconds: int = 24 * 3600
    endpoint_per_second: int | None = None
    global_per_second: int | None = None
    rate_window_seconds: float = 1.0
    concurrency: int | None = None
    object_locks: bool = False
    latency_seconds: float = 0.0
    latency_sigma: float = 0.0
    latency_seed: int = 0
    webhook_retry_seconds: float = 0.5
    webhook_timeout_seconds: float = 5.0
    webhook_attempts: int = 16
    new_customers_have_a_card: bool = False
    dispute_fee: int = 1500

    def changed(self, change: dict[str, Any]) -> "SandboxSettings":
        """Return the settings with these changes. Raises ValueError for an unknown setting."""
        unknown = set(change) - {each.name for each in fields(self)}
        if unknown:
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
        return replace(self, **change)

    def as_json(self) -> dict[str, Any]:
        """Return all settings by name."""
        return asdict(self)

    def minimum_charge(self, currency: str) -> int:
        """Return the smallest amount, in minor units, that Stripe charges in a currency."""
        return self.minimum_charges.get(currency, self.default_minimum_charge)
