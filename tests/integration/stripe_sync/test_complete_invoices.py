"""An invoice at Stripe says what ours says: customer, terms of payment, number, times of its lines, and taxes."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncTools
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, id_of
from tests.support.stripe_builders import (
    API_KEY,
    entry,
    invoice_in_stripe,
    kinds,
    mutations,
    outcome,
    sync,
    sync_tools,
)
from tests.support.unguarded import damage

GERMAN: dict[str, Any] = {
    "legal_name": "Acme GmbH",
    "email": "billing@acme.test",
    "line1": "Ankerweg 1",
    "postal_code": "10115",
    "city": "Berlin",
    "country": "DE",
    "tax_ids": ["eu_vat:DE123456789"],
}
REVERSE = "Steuerschuldnerschaft des Leistungsempfängers (Art. 196 MwStSystRL)"


@pytest.fixture
def tools(platform: Platform, sandbox: SandboxServer) -> SyncTools:
    return sync_tools(platform.database, sandbox.url)


def detail(platform: Platform, organization: str = "acme", **details: Any) -> None:
    platform.insert("billing_details", organization_id=organization, **details)


def charged(platform: Platform, *amounts: str, organization: str = "acme", month: BillingMonth = SEPTEMBER) -> None:
    for number, amount in enumerate(amounts, start=1):
        platform.add_one_off(organization, f"{month} charge {number}", amount, at(f"{month}-10"))


def send(platform: Platform, tools: SyncTools, month: BillingMonth = SEPTEMBER) -> tuple[dict[str, int], list[str]]:
    assert platform.close(month).failures == []
    return outcome(sync(tools, month))


def taxes_of(body: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    return sorted(
        (tax["tax_behavior"], tax["taxability_reason"], tax["taxable_amount"], tax["amount"])
        for tax in body["total_taxes"]
    )


# Customer and terms ---------------------------------------------------------------------------------------------------


def test_stripes_invoice_has_the_customer_the_terms_the_order_number_and_our_number(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    detail(
        platform, **GERMAN, collection="send_invoice", net_days=30, purchase_order="PO-7", memo="Thank you",
        footer="Registered in Berlin",
    )  # fmt: skip
    charged(platform, "100.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert (sent["number"], sent["description"]) == ("ACME-0001", "Acme GmbH: September 2026\nThank you")
    assert (sent["collection_method"], sent["due_date"] - sent["created"]) == ("send_invoice", 30 * 86_400)
    assert sent["custom_fields"] == [{"name": "Purchase order", "value": "PO-7"}]
    assert sent["footer"] == "Registered in Berlin"
    assert (sent["customer_name"], sent["customer_email"]) == ("Acme GmbH", "billing@acme.test")
    assert sent["customer_address"] == {
        "line1": "Ankerweg 1", "line2": None, "postal_code": "10115", "city": "Berlin", "state": None, "country": "DE"
    }  # fmt: skip
    assert sent["customer_tax_ids"] == [{"type": "eu_vat", "value": "DE123456789"}]
    # One request makes the customer, with everything.
    assert mutations(sandbox) == {"invoices.create": 1, "invoices.add_lines": 1, "invoices.finalize": 1}
    (ours,) = platform.query("select due_on, finalized_at from invoices")
    assert ours["due_on"] == date(2026, 11, 3)  # final on 4 October, and 30 days
    kept = entry(platform.database, "acme", SEPTEMBER)
    assert (kept["stripe_number"], kept["invoice_pdf_url"]) == ("ACME-0001", sent["invoice_pdf"])


def test_an_organization_without_details_is_charged_automatically_and_left_alone_at_stripe(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """Someone keeps the customer's address in the dashboard."""
    client = make_stripe_client(API_KEY, sandbox.url).v1.customers
    customer = client.create({"name": "Acme, by hand", "email": "kept@acme.test"}).id
    platform.execute("update organizations set stripe_customer_id = :it", it=customer)
    charged(platform, "100.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert (sent["collection_method"], sent["due_date"], sent["footer"]) == ("charge_automatically", None, None)
    assert (sent["customer_name"], sent["customer_email"]) == ("Acme, by hand", "kept@acme.test")


def test_changed_details_reach_stripe_with_the_next_invoice_and_old_invoices_keep_theirs(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    detail(platform, **GERMAN)
    charged(platform, "100.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    before = invoice_in_stripe(sandbox, "acme")
    platform.execute(
        "update billing_details set email = 'new@acme.test', line1 = null, city = 'Wien', postal_code = '1010',"
        " country = 'AT', tax_ids = '{eu_vat:ATU12345678}'"
    )
    charged(platform, "50.00", month=OCTOBER)
    assert send(platform, tools, OCTOBER) == ({"finalized": 1}, [])
    invoices = {body["number"]: body for body in sandbox.control.objects("invoice")}
    assert invoices["ACME-0001"]["customer_address"] == before["customer_address"]
    later = invoices["ACME-0002"]
    assert (later["customer_email"], later["customer_address"]["country"]) == ("new@acme.test", "AT")
    assert later["customer_address"]["line1"] is None
    assert later["customer_tax_ids"] == [{"type": "eu_vat", "value": "ATU12345678"}]
    kept = platform.query(
        "select d.country, d.tax_ids from invoice_details as d join invoices as i on i.id = d.invoice_id"
        " order by i.number"
    )
    assert [(row["country"], row["tax_ids"]) for row in kept] == [
        ("DE", ["eu_vat:DE123456789"]), ("AT", ["eu_vat:ATU12345678"])
    ]  # fmt: skip
    assert kinds(tools) == []


def test_another_customer_of_an_organization_gets_all_details(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """Its first customer was deleted in the dashboard, and the organization linked to one made by hand."""
    detail(platform, **GERMAN)
    charged(platform, "100.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    customer = make_stripe_client(API_KEY, sandbox.url).v1.customers.create({"name": "By hand"}).id
    platform.execute("update organizations set stripe_customer_id = :it", it=customer)
    charged(platform, "50.00", month=OCTOBER)
    assert send(platform, tools, OCTOBER) == ({"finalized": 1}, [])
    later = next(body for body in sandbox.control.objects("invoice") if body["number"] == "ACME-0002")
    assert (later["customer"], later["customer_name"]) == (customer, "Acme GmbH")
    assert later["customer_tax_ids"] == [{"type": "eu_vat", "value": "DE123456789"}]


def test_a_bad_tax_id_stops_only_its_organization_until_it_is_corrected(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    platform.add_organization("bolt")
    detail(platform, **{**GERMAN, "tax_ids": ["eu_vat:12"]})
    charged(platform, "100.00")
    charged(platform, "70.00", organization="bolt")
    assert send(platform, tools) == ({"finalized": 1}, ["tax_id_invalid"])
    failed = entry(platform.database, "acme", SEPTEMBER)
    assert "billing_details" in failed["failure_operator_text"]
    assert "Invalid value for eu_vat" in failed["failure_operator_text"]
    platform.execute("update billing_details set tax_ids = '{eu_vat:DE123456789}'")
    assert outcome(sync(tools, SEPTEMBER)) == ({"finalized": 1}, [])
    assert invoice_in_stripe(sandbox, "acme")["customer_tax_ids"] == [{"type": "eu_vat", "value": "DE123456789"}]


def test_a_footer_that_is_too_long_with_its_legal_texts_is_not_sent(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """2,500 characters of footer and ten legal texts of 300, with an empty line before each: 5,520."""
    detail(platform, **GERMAN, footer="x" * 2500)
    for number in range(10):
        platform.add_tax(
            "acme", f"Tax {number}", "0", category="exempt", legal_text=f"{number}" * 300, tax=f"tax {number}"
        )  # fmt: skip
    charged(platform, "100.00")
    assert send(platform, tools) == ({}, ["over_stripe_limit"])
    assert "5,520 characters" in entry(platform.database, "acme", SEPTEMBER)["failure_operator_text"]
    assert sandbox.control.objects("invoice") == []


def test_a_number_that_is_too_long_is_stripes_own(platform: Platform, sandbox: SandboxServer, tools: SyncTools) -> None:
    platform.add_organization("a-name-of-twenty-two-ch")
    charged(platform, "100.00", organization="a-name-of-twenty-two-ch")
    assert send(platform, tools) == ({"finalized": 1, "skipped_zero": 1}, [])
    kept = entry(platform.database, "a-name-of-twenty-two-ch", SEPTEMBER)
    assert kept["stripe_number"] == invoice_in_stripe(sandbox, "a-name-of-twenty-two-ch")["number"]
    assert not kept["stripe_number"].startswith("A-NAME")


# Taxes ----------------------------------------------------------------------------------------------------------------


def test_a_tax_on_top_is_a_tax_amount_of_each_line(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """19 % of 10.01 + 20.02 + 0.03 = 30.06 are 5.7114, so 5.71: of it 1.9019, 3.8038 and 0.0057 by line.

    Rounded down: 1.90 + 3.80 + 0.00 = 5.70. The cent goes to the largest rest, the third line's 0.57.
    """
    platform.add_tax("acme", "VAT", "19")
    charged(platform, "10.01", "20.02", "0.03")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert (sent["subtotal"], sent["total"], sent["total_excluding_tax"]) == (3006, 3577, 3006)
    assert taxes_of(sent) == [("exclusive", "standard_rated", 3006, 571)]
    by_line = [
        (line["amount"], line["taxes"][0]["taxable_amount"], line["taxes"][0]["amount"]) for line in sent["lines"]
    ]
    assert by_line == [(1001, 1001, 190), (2002, 2002, 380), (3, 3, 1)]
    assert kinds(tools) == []


def test_a_contained_tax_is_shown_and_adds_nothing(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """20 % contained in 100.00 + 19.99 = 119.99: 119.99 x 20/120 = 19.998, so 20.00, on 99.99."""
    platform.add_tax("acme", "VAT", "20", is_inclusive=True)
    charged(platform, "100.00", "19.99")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert (sent["subtotal"], sent["total"], sent["total_excluding_tax"]) == (11999, 11999, 9999)
    assert taxes_of(sent) == [("inclusive", "standard_rated", 9999, 2000)]
    assert kinds(tools) == []


def test_a_reverse_charge_is_named_by_reason_and_by_law(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    detail(platform, **GERMAN, footer="Registered in Dublin")
    platform.add_tax("acme", "VAT", "0", category="reverse_charge", legal_text=REVERSE, tax="vat")
    charged(platform, "100.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert taxes_of(sent) == [("exclusive", "reverse_charge", 10000, 0)]
    assert sent["footer"] == f"Registered in Dublin\n\n{REVERSE}"
    assert (sent["total"], len(sent["lines"])) == (10000, 1)


def test_two_rates_by_item_keep_their_bases_apart(platform: Platform, sandbox: SandboxServer, tools: SyncTools) -> None:
    """Support 29.00 at 7 %: 2.03. Everything else, 100.00 and 50.00, at 19 %: 28.50."""
    platform.add_subscription("acme", "support", at("2026-01-10"))
    platform.add_tax("acme", "Reduced VAT", "7", category="reduced", tax="vat", scope='{"kinds": ["subscription"]}')
    platform.add_tax("acme", "VAT", "19", tax="vat")
    charged(platform, "100.00", "50.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert taxes_of(sent) == [("exclusive", "reduced_rated", 2900, 203), ("exclusive", "standard_rated", 15000, 2850)]
    assert sent["total"] == 17900 + 203 + 2850
    assert kinds(tools) == []


def test_discounts_lower_the_taxed_amounts_and_a_deposit_pays_after_tax(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """100.00 less 10 % are 90.00; 20 % of it are 18.00. The deposit of 50.00 pays for it: 58.00 are left."""
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    platform.redeem("acme", "ten")
    platform.grant("acme", "deposit", "50", pays="gross")
    platform.add_tax("acme", "VAT", "20")
    charged(platform, "100.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert taxes_of(sent) == [("exclusive", "standard_rated", 9000, 1800)]
    assert [line["amount"] for line in sent["lines"]] == [10000, -1000, -5000]
    assert sent["total"] == 5800
    assert kinds(tools) == []


def test_a_negative_total_gives_its_tax_back(platform: Platform, sandbox: SandboxServer, tools: SyncTools) -> None:
    """10.00 and -40.00: 20 % of -30.00 are -6.00, so the customer is credited 36.00."""
    platform.add_tax("acme", "VAT", "20")
    charged(platform, "10.00", "-40.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert (sent["total"], sent["status"], taxes_of(sent)) == (
        -3600, "paid", [("exclusive", "standard_rated", -3000, -600)]
    )  # fmt: skip
    assert sandbox.control.objects("customer")[0]["balance"] == -3600


def test_shillings_have_tax_amounts_in_stripes_unit(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """1,005 shillings at 18 %: 180.9, so 181. Stripe writes 118600 for 1,186."""
    platform.add_organization("kampala", "UGX")
    platform.add_tax("kampala", "VAT", "18")
    platform.insert(
        "one_off_items", id=id_of("ugx"), organization_id="kampala", description="Setup", amount=Decimal(1005),
        currency="UGX", occurred_at=at("2026-09-10"),
    )  # fmt: skip
    assert send(platform, tools)[0]["finalized"] == 1
    sent = invoice_in_stripe(sandbox, "kampala")
    assert (sent["total"], taxes_of(sent)) == (118_600, [("exclusive", "standard_rated", 100_500, 18_100)])


def test_an_invoice_of_300_lines_keeps_its_tax_when_lines_are_folded(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """300 x 1.00 at 20 %: 60.00."""
    platform.add_tax("acme", "VAT", "20")
    charged(platform, *["1.00"] * 300)
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert (len(sent["lines"]), sent["total"], taxes_of(sent)) == (
        248, 36000, [("exclusive", "standard_rated", 30000, 6000)]
    )  # fmt: skip
    assert sent["lines"][-1]["taxes"][0]["amount"] == 1060  # 53 lines


def test_a_percentage_of_five_decimals_stays_a_plain_line(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """9.97501 % of 100.00 are 9.97501, so 9.98."""
    platform.add_tax("acme", "QST", "9.97501")
    charged(platform, "100.00")
    assert send(platform, tools) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert ([line["amount"] for line in sent["lines"]], sent["total_taxes"]) == ([10000, 998], [])
    assert kinds(tools) == []


def test_a_draft_whose_tax_was_edited_in_the_dashboard_is_made_again(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    platform.add_tax("acme", "VAT", "20")
    charged(platform, "100.00")
    fault = sandbox.control.add_fault(
        "error", "invoices.finalize", nth=1, status=400, type="invalid_request_error", message="No."
    )
    assert send(platform, tools) == ({}, ["invalid_request"])
    sandbox.control.clear_faults(fault["id"])
    draft = invoice_in_stripe(sandbox, "acme")
    lines = make_stripe_client(API_KEY, sandbox.url).v1.invoices.line_items
    # The same total: 110.00 with 10.00 of tax.
    lines.update(
        draft["id"],
        draft["lines"][0]["id"],
        {
            "amount": 11000,
            "tax_amounts": [
                {
                    "amount": 1000,
                    "taxable_amount": 11000,
                    "tax_rate_data": {"display_name": "VAT", "percentage": 9.0, "inclusive": False},
                }
            ],
        },
    )
    assert outcome(sync(tools, SEPTEMBER)) == ({"finalized": 1}, [])
    (sent,) = [body for body in sandbox.control.objects("invoice") if body["status"] != "draft"]
    assert (sent["total"], sent["subtotal"], taxes_of(sent)[0][3]) == (12000, 10000, 2000)


# From before ----------------------------------------------------------------------------------------------------------


def forget_details(platform: Platform) -> None:
    """Make the invoices those of the version before: final without details and shares of taxes."""
    damage(platform.database, "delete from invoice_details", "update invoice_taxes set shares = null")


@pytest.mark.parametrize("step", ["invoices.create", "invoices.add_lines", "invoices.finalize"])
def test_an_invoice_from_before_goes_on_with_the_requests_of_its_time(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools, step: str
) -> None:
    """Stripe applied a request and the answer was lost; then the process was killed and the new version started."""
    platform.add_tax("acme", "VAT", "20")
    charged(platform, "100.00")
    platform.close()
    forget_details(platform)
    fault = sandbox.control.add_fault("apply_then_drop", step)
    assert outcome(sync(tools, SEPTEMBER))[1] == ["no_answer"]
    sandbox.control.clear_faults(fault["id"])
    assert outcome(sync(tools, SEPTEMBER)) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "acme")
    assert [line["amount"] for line in sent["lines"]] == [10000, 2000]
    assert (sent["total"], sent["total_taxes"], sent["description"]) == (12000, [], "Acme: September 2026")
    assert len(sandbox.control.objects("invoice")) == 1
    assert kinds(tools) == []
