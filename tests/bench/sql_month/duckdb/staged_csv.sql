-- The rows of CSV files, each column as text, so that no digit is lost. A table, because parsing is most of the work.
create or replace table staged as
select
    filename as landing_file, id, source, type, subject, try_cast(time as timestamptz) as time, quantity, data
from read_csv(
    $files,
    filename = true, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
    columns = {
        id: 'VARCHAR', source: 'VARCHAR', type: 'VARCHAR', subject: 'VARCHAR', time: 'VARCHAR', quantity: 'VARCHAR',
        data: 'VARCHAR'
    }
)
