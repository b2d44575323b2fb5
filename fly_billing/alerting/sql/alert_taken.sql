-- alert_taken
-- No rows. The channel took the message.
update alerts set taken_at = now() where id = :id
