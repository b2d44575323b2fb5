-- No rows. These organizations' invoices of the month can be computed (again).
delete from billing_failures where month = :month and organization_id = any (:organizations)
