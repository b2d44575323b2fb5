-- No rows. Where COPY puts freshly computed invoices before they take the place of what was there.
create temp table computed_invoices (like invoices) on commit drop;
create temp table computed_items (like invoice_items including defaults) on commit drop;
create temp table computed_item_rollups (like invoice_item_rollups) on commit drop;
create temp table computed_snapshots (like invoice_snapshots) on commit drop;
create temp table computed_taxes (like invoice_taxes) on commit drop;
create temp table computed_commitments (like invoice_commitments) on commit drop
