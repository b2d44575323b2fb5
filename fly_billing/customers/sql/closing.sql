-- name: paid_for_after
-- One row per organization that :payer_id pays for in a month after :month.
select organization_id
from organization_links
where payer_id = :payer_id and (last_month is null or last_month > :month)
order by organization_id;
