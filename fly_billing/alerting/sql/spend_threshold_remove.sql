-- One row if the threshold was there, none if not.
delete from spend_thresholds
where organization_id = :organization_id and currency = :currency and amount_cents = :amount_cents
returning amount_cents
