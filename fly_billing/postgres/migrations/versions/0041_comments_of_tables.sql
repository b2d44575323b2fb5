-- Describes every table, view, column and function in plain English. Comments only: no data or rule changes.

-- Organizations
comment on table organizations is 'One row per organization (customer).';
comment on column organizations.id is 'Not tail-NN: shared billing groups have such names.';
comment on column organizations.billing_group is 'The key of the org partition; never changes by itself.';
comment on table organization_history is
    'Earlier versions of an organization, valid in the months before before_month. A trigger writes a row when the '
    'organization changes. An organization without rows has never changed.';
comment on table organization_links is
    'In these months (last_month included; null: no end), the payer''s invoice includes the organization, which has no '
    'invoice of its own.';

-- Usage
comment on table meters is
    'One row per meter: the usage events that it reads and how it aggregates them to a quantity.';
comment on column meters.dimensions is
    'Every usage event of this meter must have these properties; each combination of values has its own rollup.';
comment on column meters.unique_of is 'The event property whose distinct values the aggregation unique counts.';
comment on column meters.series is
    'The event property that names the thing whose level is measured: a Machine, a volume.';
comment on column meters.time_unit is
    'The seconds in which a level of 1 adds up to a quantity of 1: 3600 for GB-hours.';
comment on column meters.event_step is
    'Each event''s quantity is rounded to a multiple of this before events are aggregated.';
comment on column meters.event_round is 'The direction of event_step''s rounding: up or down.';
comment on column meters.event_type is 'The type of the events that the meter reads; null: the meter''s key.';
comment on column meters.quantity_of is 'The event property that has the quantity; null: quantity.';
comment on table landing_days is
    'One row per landed day, with or without files. A month closes only after all its days were landed after their '
    'end.';
comment on column landing_days.lake_version is
    'The version of the usage table that first had this landing. Rollups of an earlier version do not include it.';
comment on table landed_months is
    'One row per landing day and usage month: the accepted usage that the day brought for the month, to detect late '
    'usage. 0 means that the day no longer has usage of the month.';
comment on column landed_months.rows is
    'Rows of the usage table, duplicates included; null: landed before this was recorded.';
comment on column landed_months.files is
    'MD5 of the names and sizes of the data files with these rows; null: landed before this was recorded.';
comment on table usage_files is 'One row per landed file. Every row of the file is accepted, a duplicate or rejected.';
comment on table rejected_usage is 'One row per rejected row of a usage file, with the reason and the raw text.';
comment on column rejected_usage.line is 'The line (JSONL, CSV) or row (Parquet), counted from 1; 0: the file itself.';
comment on column rejected_usage.meter is
    'As written in the row, even if no such meter exists; likewise organization_id.';
comment on column rejected_usage.is_free is
    'True if the accepted event that this row conflicted with is gone, so landing its day again can accept the row.';
comment on table usage_tables is
    'The current Delta table of usage events and its predecessors. The greatest generation is in use.';
comment on column usage_tables.table_id is 'The id in the Delta table''s metadata; a new table has a new id.';
comment on column usage_tables.shift is
    'lake_version = version in the Delta log + shift, so that versions always increase, even with a new table.';
comment on column usage_tables.acknowledged is
    'The last lake_version that a landing committed; later commits in the Delta log do not count.';
comment on column usage_tables.lost_after is
    'A repair found that versions after this one are gone from this generation.';
comment on table usage_snapshots is
    'An organization''s usage of a month in one version of the usage table. An invoice names the snapshot that it '
    'billed.';
comment on table usage_rollups is
    'The quantity of one meter in a snapshot, per combination of dimensions and per period with one price.';
comment on column usage_rollups.events is 'The number of events; 0: no event in the month, but a level continued.';
comment on column usage_rollups.daily is
    'The share of each UTC day of the month in the quantity, from the 1st on; null: rolled up before this was '
    'recorded.';
comment on table carried_months is
    'Months whose opening levels are calculated, and the version of the usage table that they come from. They can be '
    'calculated again.';
comment on table carried_levels is
    'The opening levels of a month: the last level of each series before the month. A series without a row is at 0.';
comment on column carried_levels.dimensions is 'Byte for byte as in the usage table, because both are compared.';
comment on table rollup_failures is
    'Organizations whose rollups of a month failed or differ from their usage; they are not billed until a rollup '
    'succeeds.';

-- Prices and taxes
comment on table prices is 'One row per version of a list price: a charge for a meter''s usage or a recurring fee.';
comment on column prices.meter is 'Null: a recurring fee.';
comment on column prices.settings is
    'Fields without a column: round, percent, flat_amount, minimum, maximum, at_zero. A default is left out.';
comment on table negotiated_prices is
    'Replaces the list price of this book and key for an organization or a group (price_group_members) in '
    '[effective_from, effective_until). A row that a final invoice used is ended and followed by a new one, never '
    'edited.';
comment on column negotiated_prices.match is
    'Applies to usage with these dimensions only; empty: to all usage of the list price.';
comment on column negotiated_prices.charges is
    '{"percent_off": "10"}: a discount on the list price in force; otherwise the price fields that define the charge.';
comment on table price_group_members is
    'The organizations that get the negotiated prices of a group, in [effective_from, effective_until).';
comment on table tax_rates is
    'One row per tax rate of an organization or of a price book, with its months and its conditions.';
comment on column tax_rates.tax is
    'The tax that this is a rate of: if several rates of a tax apply to an item, the most specific is used. Null: a '
    'tax of its own.';
comment on column tax_rates.scope is
    'The items that it applies to: kinds, products, price_keys, meter, match. Empty: all.';
comment on column tax_rates.locations is
    'The customers'' locations that it applies to, ISO 3166: DE, CA-QC. Empty: all.';
comment on column tax_rates.customers is
    'The kinds of customers that it applies to, as in tax_customers: business. Empty: all.';
comment on table tax_customers is
    'An organization''s location and tax status, from this month until its next row. A final invoice keeps the rates '
    'that resulted, so a late row changes no closed month.';

-- Terms
comment on table subscriptions is 'One row per recurring fee of an organization.';
comment on column subscriptions.quantity is 'The number of units of the price: seats, addresses.';
comment on column subscriptions.anchor is
    'calendar: a quarter begins in January, April, July or October; start: intervals are counted from the start, or '
    'from the end of the trial.';
comment on column subscriptions.trial_ends_at is 'The fee is free until then.';
comment on column subscriptions.anchored_at is
    'With anchor start: intervals are counted from this time; null: from the start, or from the end of the trial.';
comment on table one_off_items is
    'One row per single charge or credit, billed on the invoice of the month that it occurred in.';
comment on column one_off_items.amount is 'Negative: a credit; with a unit_amount, it is quantity x unit_amount.';
comment on column one_off_items.imported_as is
    'The charge of a FOCUS file that it was imported from; an even number of items of one charge: it was reversed.';
comment on column one_off_items.quantity is 'The number of units at unit_amount each; negative: a return.';
comment on column one_off_items.unit is 'The unit of the quantity, in the singular: seat, hour.';
comment on column one_off_items.unit_amount is
    'The price of one unit, in the currency''s major unit; null: the amount is a total.';
comment on column one_off_items.product is 'The product on the invoice, which the scope of a tax or a term can name.';
comment on table coupons is 'One row per coupon: the discount that it gives when an organization redeems it.';
comment on column coupons.scope is 'The items that it applies to (invoicing.rules.items.Scope); {}: all charges.';
comment on column coupons.rank is 'Lower ranks are deducted first.';
comment on column coupons.months is 'The number of months that it applies for after it is redeemed; null: no end.';
comment on table discounts is
    'Coupons that an organization redeemed, with the months that they apply to (last_month included).';
comment on table commitments is
    'The least (minimum) or most (maximum) that an organization pays in a month or a period of months.';
comment on column commitments.months is
    'The amount is for this many months together, counted from first_month; the shortfall is charged in the last one.';
comment on column commitments.runs_from is
    'Its start, if that is inside its first period, whose amount is then prorated. Null: the start of first_month.';
comment on column commitments.runs_until is
    'Its end, if that is inside its last period, whose amount is then prorated. Null: the end of the last month.';
comment on table credit_grants is 'One row per credit granted to an organization.';
comment on column credit_grants.priority is
    'Lower priorities are used first; then the credit that expires sooner, then the older one.';
comment on column credit_grants.pays is
    'net: it is applied before tax and lowers the tax (a promotion); gross: it is applied after tax and also pays '
    'taxes '
    '(a prepayment, a deposit).';
comment on table credit_entries is
    'Every movement of a credit; the sum is the balance. A credit is drawn when an invoice is finalized, given back '
    'when '
    'a fee or month that it paid turns out lower, and both are returned when the invoice becomes void.';
comment on table term_changes is
    'Changes of terms and prices that affect months with final invoices. Triggers write them; a person decides if the '
    'month is corrected.';
comment on column term_changes.organization_id is
    'The organization of the term; null: a price, which applies to a whole book.';
comment on table term_decisions is
    'Final invoices that a person decided not to correct, although terms of their month changed up to this '
    'term_changes.id.';

-- Invoices
comment on table invoices is
    'One row per invoice of a payer and month, open ones included. A revision replaces a void invoice.';
comment on column invoices.origin is 'imported: issued and settled before fly_billing; never synced to Stripe.';
comment on column invoices.amount is 'The exact sum of the items; total_cents is this amount, rounded half-up once.';
comment on column invoices.number is
    'Consecutive per organization, assigned when it is finalized; void invoices keep theirs.';
comment on table invoice_items is
    'One row per line of an invoice. The shares amount_cents add up to the invoice''s total_cents.';
comment on column invoice_items.price_id is 'The version of the list price, also if a negotiated price replaced it.';
comment on column invoice_items.organization_id is
    'The organization that is charged; a payer''s invoice may cover several.';
comment on column invoice_items.is_void is 'True if the invoice is void, so that the same charge may be billed again.';
comment on column invoice_items.interval_start is
    'Of a fee: the start of the whole interval that contains the period; the month in which the interval ends '
    'settles it.';
comment on table invoice_item_rollups is
    'Links an item to the usage that it billed. The key allows each usage once per invoice.';
comment on table invoice_snapshots is
    'All usage snapshots of an invoice: the payer''s and those of the organizations that it pays for.';
comment on table invoice_taxes is 'One row per tax rate of an invoice: the taxable amount and the tax.';
comment on column invoice_taxes.taxable_cents is 'The amount that the tax was calculated on, without the tax.';
comment on table invoice_tax_rates is
    'The tax rates in force for an invoice, even if they charged nothing. A correction of the invoice is taxed with '
    'them.';
comment on table invoice_commitments is
    'The amount of an invoice and its adjustments that counts towards a commitment of several months.';
comment on table invoice_changes is
    'Every change of an invoice''s status: who, when and why, from the settings fly_billing.who and fly_billing.why of '
    'the transaction.';
comment on table billing_failures is
    'Organizations whose invoice of a month can''t be calculated. A row is deleted when it can be.';
comment on view invoice_life is
    'The state of each invoice: open, held up, finalized, synced, paid, void, uncollectible.';

-- Corrections
comment on table adjustments is
    'Differences found in a month whose invoice is final. Each is billed once, on the next open invoice. Rows never '
    'change.';
comment on column adjustments.item_key is
    'The item of the invoice that it corrects. All adjustments of a key add up to the difference.';
comment on column adjustments.credit_note_id is
    'The credit note that returns it; null: it is on the next open invoice.';
comment on column adjustments.credit_grant_id is
    'The credit that gets this amount back because it paid it; negative: the credit pays this item instead of another.';
comment on column adjustments.payer_id is
    'The payer of the corrected invoice and of the next one; organization_id is the organization that used it.';
comment on table credit_notes is 'Returns an amount of a final invoice as a credit, which the next invoices use.';
comment on table corrected_snapshots is
    'The usage that a final invoice bills together with its adjustments, if it is no longer the invoice''s own '
    'snapshot.';
comment on table correction_decisions is
    'Every decision on a correction that needs approval: held (again, if it changed), released (nothing left to '
    'correct, '
    'or below the limit) or booked. The newest row of an invoice applies. Rows never change.';
comment on column correction_decisions.gives_back is
    'The amount that the correction returns, in the currency''s major unit.';
comment on column correction_decisions.charges is 'The amount that the same correction charges.';
comment on table correction_approvals is
    'Approvals of held corrections by a person. An approval covers the corrections held at that time, and no larger '
    'ones.';
comment on column correction_approvals.organization_id is
    'Only this payer''s correction; null: all corrections of the month and currency.';
comment on column correction_approvals.total is 'The total that they return, in the currency''s major unit.';
comment on column correction_approvals.up_to_decision is
    'The newest correction_decisions.id at that time; corrections held, changed or booked later are not approved.';
comment on view held_corrections is 'The corrections that wait for a person''s approval, one row per invoice.';

-- Stripe
comment on table stripe_invoices is
    'The sync state of each final invoice: the step it reached in Stripe, or the failure.';
comment on column stripe_invoices.alerted_code is
    'The failure that an alert reported; null again after its recovery was reported.';
comment on table stripe_attempts is
    'Every request to Stripe, written before it is sent. outcome null: in flight, or the process died, so it is '
    'unknown.';
comment on table stripe_events is
    'Events of Stripe, received by webhook or by polling. Bodies are not stored, because they contain personal data.';
comment on column stripe_events.outcome is
    'waiting: for our own sync, which has not finished the invoice yet; with a code: for a row that must be corrected.';
comment on column stripe_events.code is 'The problem to report; alerted_at is when the alert was queued.';
comment on column stripe_events.error_code is
    'Of a failed payment or finalization: Stripe''s decline code, or else its error code.';
comment on table stripe_events_polled is 'A single row: all of Stripe''s events created before this time were read.';
comment on view payment_failures is
    'Invoices whose last payment (or finalization in Stripe) failed, with the reason and the text for the customer.';
comment on table stripe_pace is
    'The state of the rate limiter, shared by all processes: the account and each endpoint.';
comment on column stripe_pace.bucket is '''account'', or an endpoint.';
comment on column stripe_pace.next_at is 'Of an endpoint: the earliest time of its next request.';
comment on column stripe_pace.taken is
    'Of the account: the times reserved for waiting requests, in order. A reservation of a killed process expires too.';
comment on column stripe_pace.slowed_to is
    'The requests per second right after the last 429; the rate grows with the time since slowed_at.';
comment on table stripe_reconciliations is
    'One row per reconciliation of a month. totals: currency -> cents, without void invoices.';
comment on table stripe_repairs is
    'Changes in Stripe to objects that carry our metadata but match no invoice here, written before they are sent (see '
    'stripe_attempts).';
comment on table sync_approvals is
    'Approvals of a month''s total that the spending guard would block. The newest one applies.';

-- Alerts
comment on table alerts is
    'The outbox: one row per message and channel. taken_at null: not delivered yet; it is retried until it is.';
comment on column alerts.key is 'The subject of the message, so that it is queued only once.';
comment on table billing_recoveries is
    'Billing failures that were reported and are over, until the recovery is reported too.';
comment on table spend_thresholds is
    'The spend of a month, including open invoices, at which an alert is sent, in cents of its currency.';
comment on table spend_alerts is
    'Thresholds that a month crossed and an alert reported, each once. Rows remain when a threshold is removed.';

-- Migrations
comment on table alembic_version is 'A single row: the newest migration that was applied.';

-- Functions and indexes
comment on function final_invoices_that_used(text, jsonb) is
    'Returns the final invoices, void ones included, whose amounts a row of one of the tables of terms affected.';
comment on function is_amount(numeric) is
    'True for a finite number of at least 0 with at most 12 decimals, as in pricing.rules.fields.check_amount.';
comment on function is_scope(jsonb, jsonb) is
    'True if invoicing.rules.items.Scope can read it and its kinds are among those that a term can apply to.';
comment on function last_final_month(text) is
    'Returns the last month in which the organization, or its payer then, has a final invoice; void ones included.';
comment on function months_beyond(text, boolean) is
    'Returns the number of months that an interval of this fee can extend past its month: more if it does not follow '
    'the '
    'calendar (is_from_start; null: if one of its subscriptions does not).';
comment on index one_invoice_per_organization_and_month is
    'Billed or imported, whatever its revision: another invoice is possible only after this one is void.';
