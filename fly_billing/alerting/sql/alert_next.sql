-- alert_next
-- The oldest message that is due on one of these channels, locked until the transaction ends; none if nothing is due or
-- others are posting it.
select id, channel, code, subject, body
from alerts
where taken_at is null and channel = any (:channels) and next_try_at <= now()
order by id
limit 1
for update skip locked
