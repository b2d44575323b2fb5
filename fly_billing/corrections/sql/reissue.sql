-- name: open_revision
-- No rows. An empty open invoice in place of a void one: billing the month fills it.
insert into invoices (id, organization_id, month, revision, status, currency, amount, total_cents, computed_at)
select :id, organization_id, month, :revision, 'open', currency, 0, 0, :now
from invoices where id = :void_id;

-- name: void_invoice
-- No rows. Its items are marked void and the credit that it drew is returned by the database itself. One that is void
-- already stays so.
update invoices set status = 'void' where id = :invoice_id and status <> 'void';
