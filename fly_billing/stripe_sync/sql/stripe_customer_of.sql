-- One row: the organization's customer in Stripe, null where there is none yet.
select stripe_customer_id from organizations where id = :organization_id
