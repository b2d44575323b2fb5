-- Removes the month as if it had never been billed.
delete from sql_month.adjustments;

delete from sql_month.invoice_items as t
using sql_month.invoices as i
where i.id = t.invoice_id and i.month = :month;

delete from sql_month.invoices where month = :month;
delete from sql_month.usage_rollups where month = :month;
delete from sql_month.refused_usage;
