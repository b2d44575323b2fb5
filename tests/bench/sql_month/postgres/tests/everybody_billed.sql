-- Organizations without an invoice.
select o.id
from organizations as o
left join sql_month.invoices as i on i.organization_id = o.id and i.month = :month
where o.created_at < :month_end and i.id is null
