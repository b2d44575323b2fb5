-- One row per reason: the number of these landing days' rows that were rejected for it, with an example.
select reason, count(*) as rows, min(message) as for_example, min(path || ':' || line) as first_place
from rejected_usage
where landing_day = any (:days)
group by reason
order by count(*) desc, reason
