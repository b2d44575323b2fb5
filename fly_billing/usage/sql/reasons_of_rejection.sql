-- One row per reason: how many rows of these landing days were rejected for it, and the first of them.
select reason, count(*) as rows, min(message) as for_example, min(path || ':' || line) as first_place
from rejected_usage
where landing_day = any (:days)
group by reason
order by count(*) desc, reason
