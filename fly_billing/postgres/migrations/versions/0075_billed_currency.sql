-- The current currency of an organization applies from the first month that is not final; its history has earlier ones.
create function billed_currency(of_organization text, in_month date) returns text language sql stable as $$
    select coalesce(
        (
            select h.currency
            from organization_history as h
            where h.organization_id = of_organization and h.before_month > in_month
            order by h.before_month
            limit 1
        ),
        (select o.currency from organizations as o where o.id = of_organization)
    )
$$;
comment on function billed_currency(text, date) is
'The currency of an organization''s invoice for the month that has this day.';
