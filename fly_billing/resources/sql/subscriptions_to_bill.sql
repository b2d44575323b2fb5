-- One row per subscription of these organizations that ran at some time in the month.
select organization_id, id, price_key, started_at, ended_at
from subscriptions
where organization_id = any (:organizations)
    and started_at < :month_end and (ended_at is null or ended_at > :month_start)
order by organization_id, started_at, id
