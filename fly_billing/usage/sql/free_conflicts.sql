-- No rows. The events with which these refused rows collided are gone: their days are worth landing again.
update rejected_usage as r set is_free = true
from unnest(cast(:days as date[]), cast(:sources as text[]), cast(:ids as text[])) as f (landing_day, source, id)
where r.landing_day = f.landing_day and r.source = f.source and r.event_id = f.id and r.reason = 'conflicting_duplicate'
