-- One row per item of a final invoice, where credit paid something of it or was given back on it; else none.
select
    t.id, t.kind, t.organization_id, t.product, t.description, t.quantity, t.unit, t.amount, t.amount_cents, t.price_id,
    t.negotiated_price_id, t.price_key, t.meter, coalesce(p.match, '{}') || coalesce(n.match, '{}') as match,
    t.subscription_id, t.period_start, t.period_end, t.interval_start, t.interval_end, t.one_off_item_id, t.adjustment_id,
    t.discount_id, t.commitment_id, t.credit_grant_id, t.tax_rate_id, t.detail
from invoice_items as t
left join prices as p on p.id = t.price_id
left join negotiated_prices as n on n.id = t.negotiated_price_id
where t.invoice_id = :invoice_id
    and exists (select from invoice_items as c where c.invoice_id = :invoice_id and c.kind = 'credit')
order by t.position
