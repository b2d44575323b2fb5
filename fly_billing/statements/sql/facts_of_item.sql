-- One row per fact from the record that the item bills, as a name and a text for people.
select f.name, f.text
from invoice_items as t
left join one_off_items as o on o.id = t.one_off_item_id
left join subscriptions as s on s.id = t.subscription_id
left join adjustments as a on a.id = t.adjustment_id
left join invoices as i on i.id = a.invoice_id
left join credit_grants as g on g.id = t.credit_grant_id
cross join lateral (
    values
        (1, 'Occurred at', to_char(o.occurred_at, 'YYYY-MM-DD HH24:MI:SS') || ' UTC'),
        (2, 'Subscription', 'from ' || to_char(s.started_at, 'YYYY-MM-DD HH24:MI:SS')
            || coalesce(to_char(s.ended_at, '" to "YYYY-MM-DD HH24:MI:SS'), '') || ' UTC, billed '
            || replace(s.billed, '_', ' ')
            || case s.proration when 'none' then ', not prorated' else ', prorated by ' || s.proration end
            || coalesce(
                to_char(s.anchored_at, '", intervals counted from "YYYY-MM-DD HH24:MI:SS') || ' UTC',
                case s.anchor when 'start' then ', intervals counted from its start' else '' end
            )
            || coalesce(to_char(s.trial_ends_at, '", free until "YYYY-MM-DD HH24:MI:SS') || ' UTC', '')),
        (3, 'Corrects', a.item_key || ' of ' || to_char(i.month, 'YYYY-MM') || ', invoice number ' || i.number
            || ' of ' || i.organization_id),
        (4, 'Booked by', a.made_by || to_char(a.made_at, '" on "YYYY-MM-DD HH24:MI') || ' UTC'
            || coalesce(': ' || a.why, '')),
        (5, 'Granted at', to_char(g.granted_at, 'YYYY-MM-DD HH24:MI:SS') || ' UTC' || coalesce(
            to_char(g.expires_at, '", expires "YYYY-MM-DD HH24:MI:SS') || ' UTC', ', never expires'
        ))
) as f (rank, name, text)
where t.id = :item_id and f.text is not null
order by f.rank
