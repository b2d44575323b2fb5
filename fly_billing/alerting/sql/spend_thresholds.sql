-- name: record_spend_alert
-- No rows. People were told that the organization's month came to these thresholds.
insert into spend_alerts (organization_id, month, currency, amount_cents, total_cents)
select :organization_id, to_date(:month, 'YYYY-MM'), :currency, unnest(cast(:thresholds_cents as bigint[])), :total_cents;

-- name: spend_threshold_add
-- One row if the threshold is new, none if it was there.
insert into spend_thresholds (organization_id, currency, amount_cents)
values (:organization_id, :currency, :amount_cents)
on conflict do nothing
returning amount_cents;

-- name: spend_threshold_remove
-- One row if the threshold was there, none if not.
delete from spend_thresholds
where organization_id = :organization_id and currency = :currency and amount_cents = :amount_cents
returning amount_cents;

-- name: spend_thresholds
-- One row per threshold, of one organization or (null) of all, with the last month in which people were told of it.
select
    s.organization_id, s.currency, s.amount_cents,
    (
        select to_char(max(told.month), 'YYYY-MM') from spend_alerts as told
        where told.organization_id = s.organization_id and told.currency = s.currency
            and told.amount_cents = s.amount_cents
    ) as last_alerted
from spend_thresholds as s
where s.organization_id = coalesce(:organization_id, s.organization_id)
order by s.organization_id, s.currency, s.amount_cents;
