-- name: adjustment_of_item
-- One row if the item bills an adjustment: its causes, and its record of the billed and the owed amount.
select a.causes, a.detail
from invoice_items as t
join adjustments as a on a.id = t.adjustment_id
where t.id = :item_id;

-- name: dimensions_by_price
-- One row per price and set of dimensions that it charged for, on the item's invoice, for the same organization and
-- meter.
select distinct t.price_key, r.dimensions
from invoice_items as own
join invoice_items as t
    on t.invoice_id = own.invoice_id and t.organization_id = own.organization_id and t.meter = own.meter
join invoice_item_rollups as l on l.item_id = t.id
join usage_rollups as r on r.id = l.rollup_id
where own.id = :item_id;

-- name: explained_items
-- One row per item of the invoice, in the invoice's order, with the columns of `invoicing.rules.items.InvoiceItem`.
select
    t.id, t.kind, t.organization_id, t.product, t.description, t.quantity, t.unit, t.amount, t.amount_cents, t.price_id,
    t.negotiated_price_id, t.price_key, t.meter, t.subscription_id, t.period_start, t.period_end, t.interval_start,
    t.interval_end,
    t.one_off_item_id, t.adjustment_id, t.discount_id, t.commitment_id, t.credit_grant_id, t.tax_rate_id, t.detail,
    array(
        select l.rollup_id from invoice_item_rollups as l where l.item_id = t.id order by l.rollup_id
    ) as rollup_ids
from invoice_items as t
where t.invoice_id = :invoice_id
order by t.position;

-- name: invoice_of_item
-- One row: the item's invoice, and the item's position on it.
select i.id, i.organization_id, i.month, i.revision, i.number, i.origin, i.status, i.currency, i.total_cents, t.position
from invoice_items as t
join invoices as i on i.id = t.invoice_id
where t.id = :item_id;

-- name: items_by_id
-- One row per item with an id from :first to :last, at most 20. These are the ids that begin with the same digits.
select
    t.id, t.organization_id, i.organization_id as payer_id, i.month, i.revision, i.status, t.position, t.kind,
    t.product, t.description, t.amount, t.amount_cents, i.currency
from invoice_items as t
join invoices as i on i.id = t.invoice_id
where t.id >= :first and t.id <= :last
order by t.id
limit 20;

-- name: items_of_month
-- One row per item of the organization's month, from the newest revision: the items of its own invoice, or its own
-- items on the payer's invoice.
with newest as (
    select distinct on (i.organization_id) i.*
    from invoices as i
    where i.month = :month
        and (
            i.organization_id = :organization_id
            or exists (
                select from invoice_items as t where t.invoice_id = i.id and t.organization_id = :organization_id
            )
        )
    order by i.organization_id, i.revision desc
)

select
    t.id, t.organization_id, i.organization_id as payer_id, i.month, i.revision, i.status, t.position, t.kind,
    t.product, t.description, t.amount, t.amount_cents, i.currency
from newest as i
join invoice_items as t on t.invoice_id = i.id
where i.organization_id = :organization_id or t.organization_id = :organization_id
order by i.organization_id <> :organization_id, i.organization_id, t.position;

-- name: rollups_of_item
-- One row per usage rollup that the item prices, with its snapshot and its meter.
select
    r.id, r.meter, r.dimensions, r.segment_start, r.segment_end, r.quantity, r.events,
    m.unit, m.aggregation, m.unique_of, m.series, m.time_unit, m.event_step, m.event_round,
    s.snapshot_id, s.organization_id, s.lake_version, s.rolled_up_at
from invoice_item_rollups as l
join usage_rollups as r on r.id = l.rollup_id
join usage_as_of as s on s.snapshot_id = r.snapshot_id
join meters as m on m.key = r.meter
where l.item_id = :item_id
order by r.dimensions::text collate "C", r.segment_start;
