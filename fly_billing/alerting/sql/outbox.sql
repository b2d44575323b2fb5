-- name: add_alert
-- One row per channel whose outbox has the alert now; none for a channel that already has an alert with that :key.
insert into alerts (key, channel, code, subject, body)
select :key, wanted.channel, :code, :subject, :body
from unnest(cast(:channels as text[])) as wanted (channel)
on conflict (key, channel) do nothing
returning id;

-- name: mark_alert_taken
-- No rows. The channel accepted the alert.
update alerts set taken_at = now() where id = :id;

-- name: next_alert
-- One row, or none: the channel's oldest due alert, locked until the transaction ends. Alerts that another process is
-- posting are skipped.
select id, code, subject, body
from alerts
where taken_at is null and channel = :channel and next_try_at <= now()
order by id
limit 1
for update skip locked;

-- name: record_alert_refusal
-- No rows. The channel refused the alert. It is due again after 30 seconds, twice as long each time up to ten minutes,
-- or later if the channel asked for that.
update alerts set
    refusals = refusals + 1, last_refusal = :reason,
    next_try_at = now() + make_interval(
        secs => greatest(cast(:retry_after as float8), least(600, 30 * 2 ^ least(refusals, 5)))
    )
where id = :id;
