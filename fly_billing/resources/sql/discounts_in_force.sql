-- One row per discount that holds for these payers in this month, in the order in which they are taken off.
select
    d.organization_id, d.id, c.code, c.description, c.percent, c.amount, c.scope, c.rank as "order"
from discounts as d
join coupons as c on c.code = d.coupon_code
where d.organization_id = any (:organizations) and daterange(d.first_month, d.last_month, '[]') @> cast(:month as date)
order by d.organization_id, c.rank, d.redeemed_at, d.id
