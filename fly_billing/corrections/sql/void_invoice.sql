-- No rows. Its items are marked void and the credit that it drew is returned by the database itself. One that is void
-- already stays so.
update invoices set status = 'void' where id = :invoice_id and status <> 'void'
