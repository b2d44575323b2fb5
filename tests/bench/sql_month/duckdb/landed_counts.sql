select
    (select count(*) from staged) as staged,
    (select count(*) from accepted) as accepted,
    (select count(*) from read_parquet($judged_files) where reason is not null) as refused,
    (
        select count(*) from read_parquet($judged_files)
        where reason is null and key_hash in (select key_hash from kept_copies)
    ) - (select count(*) from kept_copies) as repeated
