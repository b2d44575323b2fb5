-- One row per request sent under this key, oldest first.
select id, request_hash, sent_at, outcome from stripe_attempts where idempotency_key = :idempotency_key order by id
