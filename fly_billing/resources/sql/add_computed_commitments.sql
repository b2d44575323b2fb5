-- No rows. Of freshly computed invoices: what of them counts towards commitments.
insert into invoice_commitments select * from computed_commitments
