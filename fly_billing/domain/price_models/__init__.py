"""How a quantity becomes money: one price model per module (`model.PriceModel` says what they have in common)."""

from fly_billing.domain.price_models.flat import Flat
from fly_billing.domain.price_models.graduated import Graduated
from fly_billing.domain.price_models.graduated_percentage import GraduatedPercentage, PercentTier
from fly_billing.domain.price_models.model import PriceModel
from fly_billing.domain.price_models.package import Package
from fly_billing.domain.price_models.per_unit import PerUnit
from fly_billing.domain.price_models.percentage import Percentage
from fly_billing.domain.price_models.step import PriceStep
from fly_billing.domain.price_models.tiers import Tier
from fly_billing.domain.price_models.volume import Volume

# By the name that stands in a price's field `model`.
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
