-- Invoices whose items do not add up to their amount, or whose total is not that amount rounded.
select i.id
from sql_month.invoices as i
left join sql_month.invoice_items as t on t.invoice_id = i.id
where i.month = :month
group by i.id
having coalesce(sum(t.amount), 0) <> i.amount or round(i.amount * 100) <> i.total_cents
