-- alert_refused
-- No rows. The channel did not take the message: it is due again after half a minute, twice as long each time up to ten
-- minutes, or when the channel said it may be.
update alerts set
    refusals = refusals + 1, last_refusal = :reason,
    next_try_at = now() + make_interval(secs => greatest(cast(:retry_after as float8), least(600, 30 * 2 ^ least(refusals, 5))))
where id = :id
