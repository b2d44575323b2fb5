-- One row per threshold, of one organization or (null) of all, with the last month in which people were told of it.
select
    s.organization_id, s.currency, s.amount_cents,
    (
        select to_char(max(told.month), 'YYYY-MM') from spend_alerts as told
        where told.organization_id = s.organization_id and told.currency = s.currency
            and told.amount_cents = s.amount_cents
    ) as last_told
from spend_thresholds as s
where s.organization_id = coalesce(:organization_id, s.organization_id)
order by s.organization_id, s.currency, s.amount_cents
