-- One row per invoice of the month whose items do not add up to its total, exactly and in cents.
select
    invoices.organization_id, invoices.amount, invoices.total_cents,
    coalesce(sum(invoice_items.amount), 0) as items_amount,
    coalesce(sum(invoice_items.amount_cents), 0) as items_cents
from invoices
join organizations on organizations.id = invoices.organization_id
left join invoice_items on invoice_items.invoice_id = invoices.id
where invoices.month = :month and organizations.billing_group = any (:groups)
group by invoices.id
having coalesce(sum(invoice_items.amount), 0) <> invoices.amount
    or coalesce(sum(invoice_items.amount_cents), 0) <> invoices.total_cents
order by invoices.organization_id
