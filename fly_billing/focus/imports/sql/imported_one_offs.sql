-- One row per one-off item of these organizations that happened in [since, until).
-- `imported_as` is null of items that no import made, or an import of before there was this column.
select id, organization_id, description, amount, currency, occurred_at, imported_as
  from one_off_items
 where organization_id = any (:organizations) and occurred_at >= :since and occurred_at < :until
 order by id
