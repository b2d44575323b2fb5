"""How a quantity becomes money: one price model per module, each a frozen value with `steps(quantity)`."""

from fly_billing.domain.price_models.graduated import Graduated, Tier
from fly_billing.domain.price_models.per_unit import PerUnit
from fly_billing.domain.price_models.step import PriceStep

PriceModel = PerUnit | Graduated

__all__ = ["Graduated", "PerUnit", "PriceModel", "PriceStep", "Tier"]
