-- No rows. The items that freshly computed invoices had before; the links to rollups go with them.
delete from invoice_items using computed_invoices where invoice_items.invoice_id = computed_invoices.id
