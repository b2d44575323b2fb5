-- name: finance_month_sums
-- One row per currency of the month's final invoices that are not void: their totals, and what the views add up to.
select
    i.currency, count(*) as invoices, cast(sum(i.total_cents) as bigint) as total_cents,
    coalesce(max(m.revenue_cents), 0) as revenue_cents, coalesce(max(m.tax_cents), 0) as tax_cents,
    coalesce(max(m.prepaid_cents), 0) as prepaid_cents,
    coalesce((
        select cast(sum(r.revenue_cents) as bigint)
        from finance_revenue as r
        where r.month = :month and r.currency = i.currency
    ), 0) as by_product_cents,
    coalesce((
        select cast(sum(x.tax_cents) as bigint)
        from finance_taxes as x
        where x.month = :month and x.currency = i.currency
    ), 0) as by_rate_cents,
    coalesce((
        select cast(sum(d.due_cents) as bigint)
        from finance_receivables as d
        where d.month = :month and d.currency = i.currency
    ), 0) as due_cents
from invoices as i
left join finance_months as m on m.month = :month and m.currency = i.currency
where i.month = :month and i.status not in ('open', 'void')
group by i.currency
order by i.currency;

-- name: finance_currencies
-- One row per currency of any final invoice.
select distinct currency from invoices where status not in ('open', 'void') order by currency;

-- name: finance_credits_used
-- One row per month from :first to :last and currency in which credits were used, in the currency's major unit.
select month, currency, sum(amount) as amount
from finance_credit_movements
where month >= :first and month <= :last and movement = 'used'
group by month, currency
order by month, currency;

-- name: months_to_report
-- One row per month (its start) with a final invoice that is not paid, or whose status changed since :since, or that has a
-- credit note or another object at Stripe which was read since.
select distinct cast(i.month as timestamp) at time zone 'UTC' as month
from invoices as i
where i.status not in ('open', 'void')
    and (
        i.status = 'finalized'
        or exists (select from invoice_changes as c where c.invoice_id = i.id and c.changed_at >= :since)
        or exists (select from stripe_money as m where m.invoice_id = i.id and m.read_at >= :since)
    )
order by month;
