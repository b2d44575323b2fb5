-- When the next requests to Stripe are due: one row for the account and one per endpoint, made when first asked for.
-- Times are the server's. Unlogged: no commit waits for the disk, and after a crash of the server all start anew.

create unlogged table stripe_pace (
    bucket text primary key,
    next_at timestamptz not null default '-infinity',
    taken timestamptz[] not null default '{}',
    slowed_to double precision check (slowed_to > 0),
    slowed_at timestamptz,
    check ((slowed_to is null) = (slowed_at is null))
) with (fillfactor = 50);
comment on column stripe_pace.bucket is '''account'', or an endpoint';
comment on column stripe_pace.next_at is 'of an endpoint: no request before then';
comment on column stripe_pace.taken is
    'of the account: when requests are due that wait, in order; one that a killed process left passes like any other';
comment on column stripe_pace.slowed_to is 'requests per second right after the last 429; grows with time since slowed_at';

-- Requests per second at a moment: what is allowed, or what is left of it after a 429, growing back in a straight line.
create function stripe_pace_at(moment timestamptz, bucket stripe_pace, allowed float8, recovery_seconds float8)
returns float8 language sql as $$
    select least(
        allowed,
        bucket.slowed_to + allowed * extract(epoch from moment - bucket.slowed_at)::float8 / recovery_seconds
    )
$$;

create function lock_stripe_pace(wanted text) returns stripe_pace language plpgsql as $$
declare
    bucket stripe_pace;
begin
    loop
        select p.* into bucket from stripe_pace p where p.bucket = wanted for update;
        if found then
            return bucket;
        end if;
        insert into stripe_pace (bucket) values (wanted) on conflict do nothing;
    end loop;
end $$;

-- Books the first moment that both the endpoint and the account have free; returns the seconds until then.
-- The account's moments lie on a grid, so that an endpoint whose queue reaches far ahead leaves no gaps too small to use.
create function take_stripe_slot(
    endpoint text, endpoint_allowed float8, account_allowed float8, recovery_seconds float8
) returns float8 language plpgsql as $$
declare
    account stripe_pace := lock_stripe_pace('account'); -- always before the endpoint: two callers can't deadlock
    own stripe_pace := lock_stripe_pace(endpoint);
    moment constant timestamptz := clock_timestamp();
    own_gap constant interval := make_interval(
        secs => 1 / stripe_pace_at(moment, own, endpoint_allowed, recovery_seconds)
    );
    per_second constant float8 := stripe_pace_at(moment, account, account_allowed, recovery_seconds);
    gap constant interval := make_interval(secs => 1 / per_second);
    too_close constant interval := gap * 0.99; -- the grid is true to the microsecond only
    slot timestamptz := to_timestamp(
        ceil(extract(epoch from greatest(moment, own.next_at))::float8 * per_second - 0.01) / per_second
    );
    other timestamptz;
begin
    foreach other in array account.taken loop
        while other - slot < too_close and slot - other < too_close loop
            slot := slot + gap;
        end loop;
    end loop;
    update stripe_pace
    set taken = array(select t from unnest(account.taken || slot) as t where t > moment - gap order by t)
    where bucket = 'account';
    -- What the grid made the request late is given back to the next one.
    update stripe_pace
    set next_at = greatest(own.next_at, slot - least(gap, own_gap)) + own_gap
    where bucket = endpoint;
    return greatest(0, extract(epoch from slot - moment));
end $$;

-- Slows a bucket after a 429; returns the requests per second from now on. Refusals within `hold_seconds` of the last
-- slowing were sent before it could show: they change nothing.
create function slow_stripe_pace(
    wanted text, allowed float8, factor float8, least_allowed float8, recovery_seconds float8, hold_seconds float8
) returns float8 language plpgsql as $$
declare
    slowed stripe_pace := lock_stripe_pace(wanted);
    moment constant timestamptz := clock_timestamp();
    per_second float8 := stripe_pace_at(moment, slowed, allowed, recovery_seconds);
begin
    if slowed.slowed_at is null or slowed.slowed_at < moment - make_interval(secs => hold_seconds) then
        per_second := least(allowed, greatest(least_allowed, per_second * factor));
        update stripe_pace set slowed_to = per_second, slowed_at = moment where bucket = wanted;
    end if;
    return per_second;
end $$;
