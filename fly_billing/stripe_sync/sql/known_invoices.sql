-- One row per invoice of this list that we have, in any status.
select id from invoices where cast(id as text) = any (:ids)
