-- One row if the threshold is new, none if it was there.
insert into spend_thresholds (organization_id, currency, amount_cents)
values (:organization_id, :currency, :amount_cents)
on conflict do nothing
returning amount_cents
