-- One row per one-off item of these that is there.
select id, amount from one_off_items where id = any (:ids)
