-- name: open_revision
-- No rows. Adds an empty open invoice as the next revision of a void one; billing the month fills it.
insert into invoices (id, organization_id, month, revision, status, currency, amount, total_cents, computed_at)
select :id, organization_id, month, :revision, 'open', currency, 0, 0, :now
from invoices where id = :void_id;

-- name: void_invoice
-- No rows. Voids the invoice if it is not void yet. The database marks its items as void and returns the credit that it
-- drew.
update invoices set status = 'void' where id = :invoice_id and status <> 'void';
