-- One row per one-off item of these ids that there is.
select id from one_off_items where id = any (:ids)
