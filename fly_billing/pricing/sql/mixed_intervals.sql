-- One row per fee of the book whose versions are not all of one interval: its key, and the intervals.
select key, array_agg(distinct coalesce(settings ->> 'interval', 'month')) as intervals
from prices
where book = :book and meter is null
group by key
having count(distinct coalesce(settings ->> 'interval', 'month')) > 1
order by key
limit 1
