-- One row per organization or price book of which terms of this month changed after it was final, with the newest change.
select organization_id, book, max(id) as newest
from term_changes
where first_month <= :month and (last_month is null or last_month >= :month)
group by organization_id, book
