-- dbt's `not_null` and `relationships`: items without an amount, an invoice, or the source of their kind.
select t.id
from sql_month.invoice_items as t
left join sql_month.invoices as i on i.id = t.invoice_id
left join prices as p on p.id = t.price_id
where
    i.id is null or t.amount is null or t.quantity is null
    or (i.month = :month and t.kind in ('usage', 'subscription') and p.id is null)
