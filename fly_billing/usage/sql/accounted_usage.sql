-- One row per landing day with files: the counts recorded when they landed, and the rejected rows that exist now.
select
    f.landing_day,
    count(*) as files, sum(f.landed)::bigint as landed, sum(f.accepted)::bigint as accepted,
    sum(f.duplicate)::bigint as duplicate, sum(f.rejected)::bigint as rejected,
    (select count(*) from rejected_usage as r where r.landing_day = f.landing_day) as rejected_rows
from usage_files as f
where f.landing_day = any (:days)
group by f.landing_day
order by f.landing_day
