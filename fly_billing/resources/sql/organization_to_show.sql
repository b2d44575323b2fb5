-- One row: the organization whose finalized invoice has the most kinds of items, the smaller total first: a good example.
select i.organization_id
from invoices as i
join invoice_items as t on t.invoice_id = i.id
where i.status <> 'open' and i.origin = 'billed'
group by i.id
order by count(distinct t.product) desc, i.total_cents
limit 1
