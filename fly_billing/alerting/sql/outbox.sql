-- name: alert_add
-- alert_add
-- One row per channel that the message now waits for; none for a channel whose row of that :key is there.
insert into alerts (key, channel, code, subject, body)
select :key, wanted.channel, :code, :subject, :body
from unnest(cast(:channels as text[])) as wanted (channel)
on conflict (key, channel) do nothing
returning id;

-- name: alert_next
-- alert_next
-- The oldest message that is due on one of these channels, locked until the transaction ends; none if nothing is due or
-- others are posting it.
select id, channel, code, subject, body
from alerts
where taken_at is null and channel = any (:channels) and next_try_at <= now()
order by id
limit 1
for update skip locked;

-- name: alert_refused
-- alert_refused
-- No rows. The channel did not take the message: it is due again after half a minute, twice as long each time up to ten
-- minutes, or when the channel said it may be.
update alerts set
    refusals = refusals + 1, last_refusal = :reason,
    next_try_at = now() + make_interval(secs => greatest(cast(:retry_after as float8), least(600, 30 * 2 ^ least(refusals, 5))))
where id = :id;

-- name: alert_taken
-- alert_taken
-- No rows. The channel took the message.
update alerts set taken_at = now() where id = :id;
