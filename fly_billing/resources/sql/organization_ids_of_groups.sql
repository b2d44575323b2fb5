-- One row per organization of these billing groups.
select id from organizations where billing_group = any (:groups)
