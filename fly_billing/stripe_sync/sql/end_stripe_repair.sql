-- No rows.
update stripe_repairs set
    answered_at = :now, outcome = :outcome, http_status = :http_status, stripe_request_id = :stripe_request_id,
    error_code = :error_code, error_message = :error_message
where id = :id
