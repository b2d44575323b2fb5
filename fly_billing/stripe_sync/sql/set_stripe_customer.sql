-- No rows. An organization's customer is made once; a customer that was set meanwhile stays.
update organizations set stripe_customer_id = :customer where id = :organization_id and stripe_customer_id is null
