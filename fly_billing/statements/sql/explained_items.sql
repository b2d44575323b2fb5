-- One row per item of the invoice, in the invoice's order, as `invoicing.rules.items.InvoiceItem` has it.
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
order by t.position
