-- name: add_alert
-- One row per channel whose outbox has the alert now; none for a channel that already has an alert with that :key.
insert into alerts (key, channel, code, subject, body, organization_id)
select :key, wanted.channel, :code, :subject, :body, :organization_id
from unnest(cast(:channels as text[])) as wanted (channel)
on conflict (key, channel) do nothing
returning id;

-- name: day_of_now
-- One row: the day in UTC of this transaction, such as 2026-09-20.
select to_char(now() at time zone 'UTC', 'YYYY-MM-DD');

-- name: mark_alert_taken
-- No rows. The channel accepted the alert.
update alerts set taken_at = now() where id = :id;

-- name: next_alert
-- One row, or none: the channel's oldest due alert, locked until the transaction ends. Alerts that another process is
-- posting are skipped.
select id, code, subject, body, organization_id
from alerts
where taken_at is null and given_up_at is null and channel = :channel and next_try_at <= now()
order by id
limit 1
for update skip locked;

-- name: record_alert_refusal
-- One row: whether delivery is given up by this refusal. The channel refused the alert. It is due again
-- after 30 seconds, twice as long each time up to :longest_seconds, or later if the channel asked for that. It is given up
-- if it was refused for good, or is older than :most_seconds (null: never). :is_withdrawn: nobody wants it any more.
update alerts set
    refusals = refusals + 1, last_refusal = :reason,
    next_try_at = now() + make_interval(
        secs => greatest(
            cast(:retry_after as float8), least(cast(:longest_seconds as float8), 30 * 2 ^ least(refusals, 12))
        )
    ),
    given_up_at = case
        when cast(:is_permanent as boolean) or made_at < now() - make_interval(secs => cast(:most_seconds as float8))
            then now()
    end,
    is_withdrawn = cast(:is_permanent as boolean) and cast(:is_withdrawn as boolean)
where id = :id
returning given_up_at is not null as is_given_up;
