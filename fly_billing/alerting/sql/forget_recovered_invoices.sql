-- No rows. People know that these recovered.
delete from billing_recoveries as r
using unnest(cast(:organizations as text[]), cast(:months as text[])) as told (organization_id, month)
where r.organization_id = told.organization_id and r.month = to_date(told.month, 'YYYY-MM')
