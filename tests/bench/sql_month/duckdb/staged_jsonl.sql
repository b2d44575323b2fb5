-- The rows of JSONL files. The quantity is in `data`; the other properties of `data` that a price needs are read with it,
-- in one go. A line that is no JSON becomes a row of nulls, which is refused. A table, because
-- parsing is most of the work.
create or replace table staged as
with lines as (
    select
        filename as landing_file, id, source, type, subject, try_cast(time as timestamptz) as time,
        json_extract_string(data, ['$.quantity', '$.app', '$.region', '$.preset', '$.memory']) as found
    from read_json(
        $files,
        format = 'newline_delimited', filename = true, ignore_errors = true,
        columns = {
            id: 'VARCHAR', source: 'VARCHAR', type: 'VARCHAR', subject: 'VARCHAR', time: 'VARCHAR', data: 'JSON'
        }
    )
)

select
    landing_file, id, source, type, subject, time, found[1] as quantity,
    to_json({app: found[2], region: found[3], preset: found[4], memory: found[5]})::varchar as data
from lines
