-- name: billed_totals
-- One row: the number of organizations; and the number, items and total of the finalized invoices of ours in one currency
-- that have something to pay. Cents of different currencies can't be added.
select
    (select count(*) from organizations) as organizations,
    count(*) as invoices,
    coalesce(
        sum((select count(*) from invoice_items where invoice_items.invoice_id = invoices.id)), 0
    )::bigint as items,
    coalesce(sum(total_cents), 0)::bigint as total_cents
from invoices
where status in ('finalized', 'paid', 'uncollectible') and origin = 'billed' and total_cents <> 0
    and currency = :currency;

-- name: organization_summaries
-- One row per organization, biggest first: its finalized invoices of ours with something to pay, their items and total,
-- and the total of its open invoices.
select
    o.id, o.name, o.currency,
    count(i.id) filter (where i.status <> 'open' and i.total_cents <> 0) as invoices,
    coalesce(sum(n.items) filter (where i.status <> 'open' and i.total_cents <> 0), 0)::bigint as items,
    coalesce(sum(i.total_cents) filter (where i.status <> 'open'), 0)::bigint as billed_cents,
    coalesce(sum(i.total_cents) filter (where i.status = 'open'), 0)::bigint as upcoming_cents
from organizations as o
left join invoices as i on i.organization_id = o.id and i.currency = o.currency and i.origin = 'billed'
    and i.status <> 'void'
left join lateral (select count(*) as items from invoice_items where invoice_items.invoice_id = i.id) as n on true
group by o.id
order by billed_cents desc, o.id;

-- name: example_invoice
-- At most one row: the finalized invoice with the most kinds of items, and of those the one with the fewest items. `month`
-- is the start of its month.
select i.organization_id, cast(i.month as timestamp) at time zone 'UTC' as month
from invoices as i
join invoice_items as t on t.invoice_id = i.id
where i.status <> 'open' and i.origin = 'billed'
group by i.id
order by count(distinct t.product) desc, count(*), i.id
limit 1;
