-- No rows. The organization's invoice of the month can't be computed. `alerted_code` stays: a human who was told of this
-- very failure is not told again, also where it was over in between and nobody was told of that yet.
with untold as (
    delete from billing_recoveries where organization_id = :organization_id and month = :month returning alerted_code
)
insert into billing_failures (
    organization_id, month, code, customer_text, operator_text, retryable, run_id, failed_at, alerted_code
)
values (
    :organization_id, :month, :code, :customer_text, :operator_text, :retryable, :run_id, :now,
    (select alerted_code from untold)
)
on conflict (organization_id, month) do update set
    code = excluded.code, customer_text = excluded.customer_text, operator_text = excluded.operator_text,
    retryable = excluded.retryable, run_id = excluded.run_id, failed_at = excluded.failed_at
