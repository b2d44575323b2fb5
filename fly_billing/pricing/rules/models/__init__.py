"""Price models, which turn a quantity into an amount: one per module. `model.PriceModel` is their interface."""

from fly_billing.pricing.rules.models.flat import Flat
from fly_billing.pricing.rules.models.graduated import Graduated
from fly_billing.pricing.rules.models.graduated_percentage import GraduatedPercentage, PercentTier
from fly_billing.pricing.rules.models.model import PriceModel
from fly_billing.pricing.rules.models.package import Package
from fly_billing.pricing.rules.models.per_unit import PerUnit
from fly_billing.pricing.rules.models.percentage import Percentage
from fly_billing.pricing.rules.models.step import PriceStep
from fly_billing.pricing.rules.models.tiers import Tier
from fly_billing.pricing.rules.models.volume import Volume

# By the value of a price's field `model`.
MODELS: dict[str, type[PriceModel]] = {
    model.NAME: model for model in (PerUnit, Package, Graduated, Volume, GraduatedPercentage, Percentage, Flat)
}

__all__ = [
    "MODELS",
    "Flat",
    "Graduated",
    "GraduatedPercentage",
    "Package",
    "PerUnit",
    "PercentTier",
    "Percentage",
    "PriceModel",
    "PriceStep",
    "Tier",
    "Volume",
]
