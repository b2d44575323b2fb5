-- No rows. Makes room for the next block of freshly computed invoices.
truncate computed_invoices
