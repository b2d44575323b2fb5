-- No rows. A step forward: whatever had failed has recovered.
update stripe_invoices set
    state = :state, generation = :generation, step = null, stripe_invoice_id = :stripe_invoice_id,
    stripe_total_cents = :stripe_total_cents, hosted_invoice_url = :hosted_invoice_url,
    failure_code = null, failure_customer_text = null, failure_operator_text = null, retryable = null,
    run_id = :run_id, updated_at = :now, finalized_at = case when :state = 'finalized' then cast(:now as timestamptz) end
where invoice_id = :invoice_id
