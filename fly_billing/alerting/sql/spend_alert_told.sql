-- No rows. People were told that the organization's month came to these thresholds.
insert into spend_alerts (organization_id, month, currency, amount_cents, total_cents)
select :organization_id, to_date(:month, 'YYYY-MM'), :currency, unnest(cast(:thresholds_cents as bigint[])), :total_cents
