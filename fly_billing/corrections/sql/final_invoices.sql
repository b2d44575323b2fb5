-- name: billed_items
-- One row per item of the final invoices of these payers in the month; one row without item for an invoice without items.
-- Not here: void invoices, and imported ones, which another system made.
select
    i.organization_id as payer_id, i.id as invoice_id, t.id, t.kind, t.organization_id, t.product, t.description,
    t.quantity, t.unit, t.amount, t.amount_cents, t.price_id, t.negotiated_price_id, t.price_key,
    t.meter, t.subscription_id, t.period_start, t.period_end, t.interval_start, t.interval_end, t.discount_id,
    t.commitment_id, t.detail
from invoices as i
left join invoice_items as t on t.invoice_id = i.id
where i.organization_id = any (:organizations) and i.month = :month and i.status not in ('open', 'void')
    and i.origin = 'billed'
order by i.organization_id, t.position;

-- name: booked_adjustments
-- One row per invoice and adjusted charge: the sum of its adjustments, with the texts of the last one. Old adjustments
-- stored no texts; then their key and description are used. Not here: returned credits (`credit_paid_elsewhere`).
select distinct on (invoice_id, item_key)
    invoice_id, item_key as key, organization_id, product,
    sum(amount) over (partition by invoice_id, item_key) as amount,
    coalesce(detail ->> 'kind', split_part(item_key, '|', 2)) as kind,
    coalesce(detail ->> 'description', description) as description,
    cast(coalesce(detail ->> 'quantity', '0') as numeric) as quantity,
    detail ? 'quantity' as has_quantity,
    coalesce(detail ->> 'unit', 'unit') as unit,
    detail ->> 'meter' as meter
from adjustments
where invoice_id = any (:invoices) and credit_grant_id is null
order by invoice_id, item_key, made_at desc, id;
