-- No rows. A human was told of this failure of these invoices.
update stripe_invoices set alerted_code = :code where invoice_id = any (:ids) and failure_code = :code
