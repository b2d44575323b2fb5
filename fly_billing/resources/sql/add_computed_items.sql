-- No rows. The items of freshly computed invoices.
insert into invoice_items select * from computed_items
