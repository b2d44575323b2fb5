-- name: add_spend_threshold
-- One row if the threshold is new, none if it exists already.
insert into spend_thresholds (organization_id, currency, amount_cents)
values (:organization_id, :currency, :amount_cents)
on conflict do nothing
returning amount_cents;

-- name: record_spend_alert
-- No rows. An alert reports that the organization's month reached these thresholds.
insert into spend_alerts (organization_id, month, currency, amount_cents, total_cents)
select :organization_id, to_date(:month, 'YYYY-MM'), :currency, unnest(cast(:thresholds_cents as bigint[])),
    :total_cents;

-- name: remove_spend_threshold
-- One row if the threshold existed, none if not.
delete from spend_thresholds
where organization_id = :organization_id and currency = :currency and amount_cents = :amount_cents
returning amount_cents;

-- name: spend_thresholds
-- One row per threshold of one organization, or of all (null), with the last month in which an alert reported it.
select
    s.organization_id, s.currency, s.amount_cents,
    (
        select to_char(max(alert.month), 'YYYY-MM') from spend_alerts as alert
        where alert.organization_id = s.organization_id and alert.currency = s.currency
            and alert.amount_cents = s.amount_cents
    ) as last_alerted
from spend_thresholds as s
where s.organization_id = coalesce(:organization_id, s.organization_id)
order by s.organization_id, s.currency, s.amount_cents;
