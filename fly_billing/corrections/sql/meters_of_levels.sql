-- One row per meter whose events are levels that hold until the next one.
select key
from meters
where aggregation = 'time_weighted'
order by key
