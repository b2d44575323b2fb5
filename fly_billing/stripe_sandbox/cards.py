"""Cards: Stripe's test payment methods, the card of a customer, and what a charge of it does.

`pm_card_visa` and the others are Stripe's own test tokens; attaching one gives the customer a card like it. Not here:
the endpoints (`payment_methods`), and charging (`payments`).
"""

from dataclasses import dataclass

from fly_billing.stripe_sandbox.errors import StripeError, no_such
from fly_billing.stripe_sandbox.store import Json, Store, new_id

KIND = "payment_method"
DECLINED = "Your card was declined."


@dataclass(frozen=True)
class TestCard:
    """A test token of Stripe.

    Attributes:
        refuses: The decline code with which it refuses: when it is attached, or later when it is charged.
    """

    __test__ = False  # no class of tests for pytest
    brand: str
    last4: str
    refuses: str | None = None
    when: str = "charged"


CARDS = {
    "pm_card_visa": TestCard("visa", "4242"),
    "pm_card_mastercard": TestCard("mastercard", "4444"),
    "pm_card_amex": TestCard("amex", "0005"),
    "pm_card_chargeCustomerFail": TestCard("visa", "0341", "generic_decline"),
    "pm_card_chargeDeclined": TestCard("visa", "0002", "generic_decline", "attached"),
    "pm_card_chargeDeclinedInsufficientFunds": TestCard("visa", "9995", "insufficient_funds", "attached"),
}
BY_DIGITS = {card.last4: card for card in CARDS.values()}


class CardError(StripeError):
    """A card that was declined."""

    def __init__(self, error: Json) -> None:
        extra = {name: error[name] for name in ("charge", "decline_code") if error.get(name)}
        super().__init__(error["message"], status=402, type="card_error", code=error["code"], extra=extra)


class DeclinedChargeError(CardError):
    """A charge that was declined. Unlike other refusals it is recorded: a failed charge, an attempt of the invoice."""


def attach(store: Store, token: str, customer: str) -> Json:
    """Give a customer a card: a new one from a test token, or one that was detached. Raises StripeError."""
    body = store.find(KIND, token)
    if body is None and token not in CARDS:
        raise no_such("PaymentMethod", token, param="payment_method")
    if body is None:
        card = CARDS[token]
        if card.refuses and card.when == "attached":
            raise CardError(declined_with(card.refuses))
        body = _new(store, card)
        store.insert(body)
    if body["customer"] not in (None, customer):
        raise StripeError("The payment method you provided has already been attached to a customer.")
    body["customer"] = customer
    store.save(body)
    return body


def _new(store: Store, card: TestCard) -> Json:
    details = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    return {
        "id": new_id("pm"),
        "object": KIND,
        "allow_redisplay": "unspecified",
        "billing_details": details,
        "card": {
            "brand": card.brand,
            "country": "US",
            "exp_month": 12,
            "exp_year": 2099,
            "funding": "credit",
            "last4": card.last4,
        },
        "created": store.now(),
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def of_customer(store: Store, id: str, customer: str, *, param: str) -> Json:
    """Return a card that is attached to the customer. Raises StripeError for any other."""
    body = store.find(KIND, id)
    if body is None or body["customer"] != customer:
        raise StripeError(
            f"The customer does not have a payment method with the ID {id}. The payment method must be attached to the "
            "customer.",
            code="resource_missing",
            param=param,
        )
    return body


def refusal(card: Json) -> Json | None:
    """Return the error with which a card declines every charge, or None."""
    known = BY_DIGITS.get(card["card"]["last4"])
    return declined_with(known.refuses) if known and known.refuses else None


def declined_with(decline_code: str) -> Json:
    """Return the error of a declined card."""
    message = "Your card has insufficient funds." if decline_code == "insufficient_funds" else DECLINED
    return {"type": "card_error", "code": "card_declined", "decline_code": decline_code, "message": message}
