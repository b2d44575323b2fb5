-- One row per organization and open month that reached thresholds (in its currency) without an alert for that month yet;
-- the thresholds are in ascending order. An organization's spend is its own invoice, or its part of its payer's invoice.
with spend as (
    select i.organization_id, i.month, i.currency, i.total_cents, i.computed_at
    from invoices as i
    where i.status = 'open' and i.organization_id in (select organization_id from spend_thresholds)
    union all
    select l.organization_id, i.month, i.currency, sum(t.amount_cents), i.computed_at
    from organization_links as l
    join invoices as i
        on i.organization_id = l.payer_id and i.status = 'open'
            and daterange(l.first_month, l.last_month, '[]') @> i.month
    join invoice_items as t on t.invoice_id = i.id and t.organization_id = l.organization_id
    where l.organization_id in (select organization_id from spend_thresholds)
    group by l.organization_id, i.id
)

select
    spend.organization_id, o.name as organization_name, to_char(spend.month, 'YYYY-MM') as month, spend.currency,
    array_agg(limits.amount_cents order by limits.amount_cents) as thresholds_cents,
    cast(spend.total_cents as bigint) as total_cents, spend.computed_at as as_of
from spend
join organizations as o on o.id = spend.organization_id
join spend_thresholds as limits
    on limits.organization_id = spend.organization_id and limits.currency = spend.currency
    and limits.amount_cents <= spend.total_cents
where not exists (
    select from spend_alerts as alert
    where alert.organization_id = spend.organization_id and alert.month = spend.month
        and alert.currency = limits.currency and alert.amount_cents = limits.amount_cents
)
group by spend.organization_id, o.name, spend.month, spend.currency, spend.total_cents, spend.computed_at
order by spend.month, spend.organization_id
