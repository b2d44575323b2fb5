-- No rows. Where COPY puts freshly computed invoices before they take the place of what was there.
create temp table computed_invoices (like invoices) on commit drop;
create temp table computed_items (like invoice_items) on commit drop;
create temp table computed_item_rollups (like invoice_item_rollups) on commit drop
