-- One row per item of the final invoices of these payers in the month, void ones left out; one with an empty item where an
-- invoice has none. Imported invoices are left out: another system made them.
select
    i.organization_id as payer_id, i.id as invoice_id, t.id, t.kind, t.organization_id, t.product, t.description,
    t.quantity, t.unit, t.amount, t.amount_cents, t.price_id, t.negotiated_price_id, t.price_key,
    t.meter, t.subscription_id, t.period_start, t.period_end, t.interval_start, t.interval_end, t.discount_id,
    t.commitment_id, t.detail
from invoices as i
left join invoice_items as t on t.invoice_id = i.id
where i.organization_id = any (:organizations) and i.month = :month and i.status not in ('open', 'void')
    and i.origin = 'billed'
order by i.organization_id, t.position
