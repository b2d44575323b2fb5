-- No rows. Of freshly computed invoices: all usage that they bill.
insert into invoice_snapshots select * from computed_snapshots
