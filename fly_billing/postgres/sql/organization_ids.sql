-- One row per organization, with the start of the month in which it was created: the first month that can be billed. If
-- created_at can't be read, all usage is accepted, so that none is lost; billing then refuses the organization.
select
    id,
    case
        when created_at >= '1970-01-01Z' and created_at < '2200-01-01Z' then date_trunc('month', created_at, 'UTC')
        else '1970-01-01Z'
    end as existed_from
from organizations
order by id
