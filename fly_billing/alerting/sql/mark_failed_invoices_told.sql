-- No rows. A human was told of these failures.
update billing_failures as f set alerted_code = :code
from unnest(cast(:organizations as text[]), cast(:months as text[])) as told (organization_id, month)
where f.organization_id = told.organization_id and f.month = to_date(told.month, 'YYYY-MM') and f.code = :code
