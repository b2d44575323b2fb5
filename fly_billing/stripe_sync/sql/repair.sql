-- name: begin_stripe_repair
-- One row: the new repair's id. The request is sent after this is committed.
insert into stripe_repairs (stripe_invoice_id, claimed_invoice_id, step, idempotency_key, request_hash, run_id, sent_at)
values (:stripe_invoice_id, :claimed_invoice_id, :step, :idempotency_key, :request_hash, :run_id, :now)
returning id;

-- name: end_stripe_repair
-- No rows. Records the response to the repair.
update stripe_repairs set
    answered_at = :now, outcome = :outcome, http_status = :http_status, stripe_request_id = :stripe_request_id,
    error_code = :error_code, error_message = :error_message
where id = :id;
