-- No rows. The organization's invoice of the month can't be computed. `alerted_code` stays: a human who was told of this
-- very failure is not told again.
insert into billing_failures (
    organization_id, month, code, customer_text, operator_text, retryable, run_id, failed_at
)
values (:organization_id, :month, :code, :customer_text, :operator_text, :retryable, :run_id, :now)
on conflict (organization_id, month) do update set
    code = excluded.code, customer_text = excluded.customer_text, operator_text = excluded.operator_text,
    retryable = excluded.retryable, run_id = excluded.run_id, failed_at = excluded.failed_at
