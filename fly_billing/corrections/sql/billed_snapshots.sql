-- One row per usage snapshot that an invoice of this month billed, whatever is current by now; void ones are left out.
select s.snapshot_id
from invoice_snapshots as s
join invoices as i on i.id = s.invoice_id
where i.month = :month and i.status <> 'void'
