-- The versions of usage prices in force in the month: a row for each combination of dimensions that a price names. An
-- empty text: the price does not name it.
create temp table price_list on commit drop as
with versions as (
    select
        *,
        least(
            effective_until, lead(effective_from) over (partition by book, key order by effective_from)
        ) as ends
    from prices
    where meter is not null
)

select
    p.id as price_id, p.book, p.meter, p.effective_from, coalesce(p.ends, 'infinity') as ends,
    coalesce(region.value, '') as region, coalesce(preset.value, '') as preset, coalesce(memory.value, '') as memory,
    region.value is not null as by_region, preset.value is not null as by_preset, memory.value is not null as by_memory
from versions as p
left join lateral jsonb_array_elements_text(p.match -> 'region') as region (value) on true
left join lateral jsonb_array_elements_text(p.match -> 'preset') as preset (value) on true
left join lateral jsonb_array_elements_text(p.match -> 'memory') as memory (value) on true
where p.effective_from < :month_end and coalesce(p.ends > :month_start, true)
