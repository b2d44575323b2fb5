-- No rows. The usage of these organizations in the month was rolled up, and compared with the usage table.
delete from rollup_failures where month = :month and organization_id = any (:organizations)
