-- After a 429, the last 4 % of a limit come back over four minutes instead of one second: on a machine that sends some
-- requests late, a second near the limit would soon be refused again.
create or replace function stripe_pace_at(
    moment timestamptz, bucket stripe_pace, allowed float8, recovery_seconds float8
) returns float8 language sql as $$
    select least(
        allowed,
        case
            when paces.recovered < paces.cautious then paces.recovered
            else
                greatest(paces.cautious, bucket.slowed_to)
                + least(paces.recovered - paces.cautious, paces.recovered - bucket.slowed_to) / 200
        end
    )
    from (
        select
            bucket.slowed_to + allowed * extract(epoch from moment - bucket.slowed_at)::float8 / recovery_seconds
                as recovered,
            allowed * 23 / 24 as cautious
    ) as paces
$$;
