-- No rows. People know that these recovered; a new failure is told again.
update stripe_invoices set alerted_code = null where invoice_id = any (:ids)
