-- No rows. A human was told of this failure.
update stripe_invoices set alerted_code = :code
from invoices
where invoices.id = stripe_invoices.invoice_id
    and invoices.organization_id = :organization_id and invoices.month = :month and stripe_invoices.failure_code = :code
