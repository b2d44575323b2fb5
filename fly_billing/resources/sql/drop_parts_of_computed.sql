-- No rows. What freshly computed invoices had before: items (the links to rollups go with them), snapshots, taxes and what
-- counted towards commitments.
delete from invoice_items using computed_invoices as c where invoice_items.invoice_id = c.id;
delete from invoice_snapshots using computed_invoices as c where invoice_snapshots.invoice_id = c.id;
delete from invoice_taxes using computed_invoices as c where invoice_taxes.invoice_id = c.id;
delete from invoice_commitments using computed_invoices as c where invoice_commitments.invoice_id = c.id
