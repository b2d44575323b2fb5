-- One row per organization of these billing groups that existed before the month's end.
select id, name, currency, price_book
from organizations
where billing_group = any (:groups) and created_at < :month_end
order by id
