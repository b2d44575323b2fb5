-- No rows. A human was told of this failure.
update billing_failures set alerted_code = :code
where organization_id = :organization_id and month = :month and code = :code
