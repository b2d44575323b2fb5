-- One row per kind of usage file (numbers in its path are one kind) that came in [:first, :last]: on how many days, and the
-- last of them.
select regexp_replace(path, '[0-9]+', '#', 'g') as name, count(distinct landing_day) as days, max(landing_day) as until
from usage_files
where landing_day between :first and :last
group by name
order by name
