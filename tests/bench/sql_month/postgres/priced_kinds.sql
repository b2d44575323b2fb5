-- The price of each kind of usage. There are few kinds, so that all rollups find their price by equality.
create temp table priced_kinds on commit drop as
select k.book, k.meter, k.region, k.preset, k.memory, k.segment_start, p.price_id
from usage_kinds as k
join price_list as p
    on p.book = k.book and p.meter = k.meter
    and p.by_region = k.by_region and p.by_preset = k.by_preset and p.by_memory = k.by_memory
    and p.region = k.named_region and p.preset = k.named_preset and p.memory = k.named_memory
    and p.effective_from <= k.segment_start and p.ends > k.segment_start
