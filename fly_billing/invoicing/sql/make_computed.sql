-- No rows. Where COPY puts freshly computed invoices, a block at a time, before they take the place of what was there.
create temp table computed_invoices (like invoices) on commit drop
