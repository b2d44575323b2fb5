-- One row per discount that holds for these payers in this month, in the order in which they are taken off.
-- One whose times nobody can calculate with is there as well, so that it is refused and not passed over in silence.
select
    d.organization_id, d.id, c.code, c.description, c.percent, c.amount, c.currency, c.scope, c.rank as "order", d.first_month,
    d.last_month, d.redeemed_at
from discounts as d
join coupons as c on c.code = d.coupon_code
where d.organization_id = any (:organizations)
    and (
        daterange(d.first_month, d.last_month, '[]') @> cast(:month as date)
        or not isfinite(d.first_month) or not isfinite(d.last_month)
    )
order by d.organization_id, c.rank, d.redeemed_at, d.id
