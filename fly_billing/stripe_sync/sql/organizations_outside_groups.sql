-- One row per organization that is in none of these billing groups.
select id from organizations where not billing_group = any (:groups)
