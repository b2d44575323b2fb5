-- Describes the columns of the tables that Dagster's catalog shows: docs/tables.md and the catalog read these comments.
-- Comments only: no data or rule changes.

comment on column organizations.id is
    'The id of the organization in usage and in every other table. Not tail-NN: shared billing groups have such names.';
comment on column organizations.name is 'The name on invoices.';
comment on column organizations.currency is 'The currency of its invoices, ISO 4217.';
comment on column organizations.price_book is 'The book of its list prices.';
comment on column organizations.stripe_customer_id is 'Its customer in Stripe; null until its first invoice is synced.';
comment on column organizations.created_at is 'When it became a customer. It is billed from that month on.';

comment on table prices is
    'One row per version of a list price. Negotiated prices of an organization replace them.';
comment on column prices.id is 'Identifies this version; invoice items refer to it.';
comment on column prices.book is 'The price book.';
comment on column prices.key is 'The name of the price in its book; its versions have the same one.';
comment on column prices.meter is 'The meter whose usage it prices; null: a recurring fee.';
comment on column prices.product is 'The product on the invoice.';
comment on column prices.description is 'The text of the item on the invoice.';
comment on column prices.unit is 'The unit of the quantity, such as second or GB.';
comment on column prices.currency is 'The currency of the price, ISO 4217.';
comment on column prices.model is 'How the amount follows from the quantity, such as per_unit, graduated or volume.';
comment on column prices.unit_amount is 'The amount per `per` units, exact, in the currency''s major unit.';
comment on column prices.per is 'The number of units that unit_amount buys; null: 1.';
comment on column prices.tiers is 'The tiers of a tiered price, the smallest first.';
comment on column prices.free_allowance is 'The quantity per month that is free.';
comment on column prices.match is 'The dimensions that usage must have for this price.';
comment on column prices.effective_from is 'The start of its validity, included.';
comment on column prices.effective_until is 'The end of its validity, excluded; null: no end.';

comment on column usage_snapshots.id is 'Identifies the snapshot; equal usage has an equal id.';
comment on column usage_snapshots.organization_id is 'The organization that used it.';
comment on column usage_snapshots.month is 'The first day of the month of the usage.';
comment on column usage_snapshots.lake_version is 'The last version of the usage table that has this usage.';
comment on column usage_snapshots.fingerprint is 'A hash of the rollups.';
comment on column usage_snapshots.events is 'The number of accepted events.';
comment on column usage_snapshots.rolled_up_at is 'When the usage was rolled up last.';
comment on column usage_snapshots.is_current is 'True for the latest usage; an earlier snapshot is kept if it was billed.';

comment on column usage_rollups.id is 'Identifies the rollup; equal content has an equal id.';
comment on column usage_rollups.snapshot_id is 'The organization''s snapshot of the month.';
comment on column usage_rollups.meter is 'The meter that counted the usage.';
comment on column usage_rollups.dimensions is 'The dimensions of the usage, such as region, as an object of texts.';
comment on column usage_rollups.segment_start is 'The start of the period, in which no price changes; included.';
comment on column usage_rollups.segment_end is 'The end of the period; excluded.';
comment on column usage_rollups.quantity is 'The exact quantity, in the meter''s unit.';

comment on column invoices.id is 'Identifies the invoice; a recalculated open invoice keeps it.';
comment on column invoices.organization_id is 'The payer.';
comment on column invoices.month is 'The first day of the billed month.';
comment on column invoices.revision is '0 for the first invoice of the month; each reissue after a void one is 1 higher.';
comment on column invoices.status is
    'open: recalculated in every run; finalized, paid, void and uncollectible: final, it never changes again.';
comment on column invoices.currency is 'The currency of all amounts, ISO 4217.';
comment on column invoices.total_cents is 'The total in the currency''s minor unit.';
comment on column invoices.usage_snapshot_id is 'The payer''s usage that it bills; null without usage.';
comment on column invoices.computed_at is 'When it was calculated last.';
comment on column invoices.finalized_at is 'When it became final; null while it is open.';
comment on column invoices.due_on is 'The due date; null while it is open.';
comment on column invoices.paid_at is 'When Stripe received the payment; null unless it is paid.';

comment on column stripe_invoices.invoice_id is 'Our invoice.';
comment on column stripe_invoices.state is 'The state of the sync; finalized is the last one of an invoice in Stripe.';
comment on column stripe_invoices.step is 'The step of the sync that was started last.';
comment on column stripe_invoices.generation is
    'The number of times that the invoice was created anew in Stripe; part of every idempotency key.';
comment on column stripe_invoices.stripe_invoice_id is 'The invoice in Stripe; null before it is created.';
comment on column stripe_invoices.stripe_total_cents is 'The total in Stripe, in the currency''s minor unit.';
comment on column stripe_invoices.hosted_invoice_url is 'The page on which the customer pays.';
comment on column stripe_invoices.failure_code is 'Why the last attempt failed; null if it did not.';
comment on column stripe_invoices.failure_customer_text is 'The failure in words for the customer.';
comment on column stripe_invoices.failure_operator_text is 'The failure in words for the operator, with the fix.';
comment on column stripe_invoices.retryable is 'True if the next run tries it again by itself.';
comment on column stripe_invoices.run_id is 'The Dagster run of the last attempt.';
comment on column stripe_invoices.updated_at is 'When this row changed last.';
comment on column stripe_invoices.finalized_at is 'When it was finalized in Stripe.';

comment on column stripe_reconciliations.id is 'A number that grows with time.';
comment on column stripe_reconciliations.month is 'The first day of the month that was compared.';
comment on column stripe_reconciliations.swept_at is 'When it was compared.';
comment on column stripe_reconciliations.run_id is 'The Dagster run that compared it.';
comment on column stripe_reconciliations.invoices_here is 'The number of our invoices that Stripe should have.';
comment on column stripe_reconciliations.invoices_in_stripe is 'The number of these invoices in Stripe.';
comment on column stripe_reconciliations.totals_here is 'Our totals: currency -> cents.';
comment on column stripe_reconciliations.totals_in_stripe is 'Stripe''s totals: currency -> cents.';
comment on column stripe_reconciliations.discrepancies is
    'The list of differences, each with its kind, organization, invoices and fix.';
