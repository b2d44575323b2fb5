-- name: customer_messages
-- One row per message to customers, or to one, the newest first; at most :most.
select
    a.id, a.channel, a.organization_id, a.subject, a.made_at, a.refusals, a.last_refusal, a.taken_at, a.given_up_at,
    a.is_withdrawn
from alerts as a
where a.channel = any (cast(:channels as text[])) and a.organization_id = coalesce(:organization_id, a.organization_id)
    and (not cast(:only_given_up as boolean) or (a.given_up_at is not null and not a.is_withdrawn))
order by a.id desc
limit :most;

-- name: replay_messages
-- One row per message that waits again, as a new row with the content of the old one. A content that waits already is not
-- added again, and neither is one that was withdrawn; of several rows with one content, the newest counts.
insert into alerts (channel, code, subject, body, organization_id)
select newest.channel, newest.code, newest.subject, newest.body, newest.organization_id
from (
    select distinct on (a.channel, a.organization_id, a.body)
        a.id, a.channel, a.code, a.subject, a.body, a.organization_id, a.made_at, a.taken_at, a.given_up_at,
        a.is_withdrawn
    from alerts as a
    where a.channel = any (cast(:channels as text[]))
        and a.organization_id = coalesce(:organization_id, a.organization_id) and a.made_at >= :since
    order by a.channel, a.organization_id, a.body, a.id desc
) as newest
where (newest.given_up_at is not null and not newest.is_withdrawn)
    or (cast(:also_sent as boolean) and newest.taken_at is not null)
order by newest.id
returning id;
