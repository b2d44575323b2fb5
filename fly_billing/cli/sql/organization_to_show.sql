-- At most one row: the finalized invoice (its organization and month's start) with the most kinds of items, of those the
-- one with the fewest items: a good example.
select i.organization_id, cast(i.month as timestamp) at time zone 'UTC' as month
from invoices as i
join invoice_items as t on t.invoice_id = i.id
where i.status <> 'open' and i.origin = 'billed'
group by i.id
order by count(distinct t.product) desc, count(*), i.id
limit 1
