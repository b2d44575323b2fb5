-- No rows. What freshly computed invoices had before: items (the links to rollups go with them), snapshots, taxes and what
-- counted towards commitments.
delete from invoice_items where invoice_id = any (array(select id from computed_invoices));
delete from invoice_snapshots where invoice_id = any (array(select id from computed_invoices));
delete from invoice_tax_rates where invoice_id = any (array(select id from computed_invoices));
delete from invoice_taxes where invoice_id = any (array(select id from computed_invoices));
delete from invoice_commitments where invoice_id = any (array(select id from computed_invoices))
