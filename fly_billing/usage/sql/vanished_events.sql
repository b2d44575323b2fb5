-- DuckDB. One row per event that a landing day had accepted and brings no more, now that it lands again.
create or replace temp table vanished as
select source, id, time
from brought_before
anti join judged on judged.reason is null and judged.source = brought_before.source and judged.id = brought_before.id
where not is_duplicate
