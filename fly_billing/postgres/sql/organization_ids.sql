-- One row per organization, with the start of the month in which it was created: the first that can be billed. Of one whose
-- beginning nobody can read all usage is taken: none of it is lost, and it is billing that refuses the organization.
select
    id,
    case
        when created_at >= '1970-01-01Z' and created_at < '2200-01-01Z' then date_trunc('month', created_at, 'UTC')
        else '1970-01-01Z'
    end as existed_from
from organizations
order by id
