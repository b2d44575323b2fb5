-- Copies the month into :months months before it, so that its indexes are as deep as those of an old platform.
insert into sql_month.usage_rollups (
    organization_id, month, meter, app, region, preset, memory, segment_start, quantity, events
)
select
    organization_id, :month::date - make_interval(months => k), meter, app, region, preset, memory,
    segment_start - make_interval(months => k), quantity, events
from sql_month.usage_rollups cross join generate_series(1, :months) as k;

insert into sql_month.invoices (organization_id, month, currency, amount, total_cents)
select organization_id, :month::date - make_interval(months => k), currency, amount, total_cents
from sql_month.invoices cross join generate_series(1, :months) as k;

insert into sql_month.invoice_items (
    invoice_id, kind, product, description, quantity, unit, amount, price_id, price_key, meter, subscription_id,
    one_off_item_id, discount_id, commitment_id
)
select
    earlier.id, t.kind, t.product, t.description, t.quantity, t.unit, t.amount, t.price_id, t.price_key, t.meter,
    t.subscription_id, t.one_off_item_id, t.discount_id, t.commitment_id
from sql_month.invoice_items as t
join sql_month.invoices as i on i.id = t.invoice_id
join sql_month.invoices as earlier on earlier.organization_id = i.organization_id and earlier.month < :month
where i.month = :month;
