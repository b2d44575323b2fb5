-- No rows. Of freshly computed invoices: their taxes.
insert into invoice_taxes select * from computed_taxes
