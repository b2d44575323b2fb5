-- alert_add
-- One row per channel that the message now waits for; none for a channel whose row of that :key is there.
insert into alerts (key, channel, code, subject, body)
select :key, wanted.channel, :code, :subject, :body
from unnest(cast(:channels as text[])) as wanted (channel)
on conflict (key, channel) do nothing
returning id
