-- No rows. The step failed. `alerted_code` stays: a human who was told of this very failure is not told again.
update stripe_invoices set
    state = :state, step = :step, failure_code = :code, failure_customer_text = :customer_text,
    failure_operator_text = :operator_text, retryable = :retryable, run_id = :run_id, updated_at = :now
where invoice_id = :invoice_id
