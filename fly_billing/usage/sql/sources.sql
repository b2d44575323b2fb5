-- name: landing_days_of_sources
-- One row per usage source: the landing days with files of it, ascending, in the 200 days up to :last.
select s.source, array_agg(s.landing_day order by s.landing_day) as days
from (
    select distinct regexp_replace(path, '[0-9]+', '#', 'g') as source, landing_day
    from usage_files
    where landing_day > cast(:last as date) - 200 and landing_day <= :last
) as s
group by s.source
order by s.source;

-- name: last_complete_landing_day
-- One row: the last landing day that landed after it ended, or null.
select max(landing_day) as landing_day
from landing_days
where landed_at >= cast(landing_day + 1 as timestamp) at time zone 'UTC';
