-- No rows. Where COPY puts what was just rolled up, until it is compared with what is there.
create temp table rolled_up_snapshots (id uuid, organization_id text, fingerprint text, events bigint) on commit drop;
create temp table rolled_up_rollups (
    id uuid, snapshot_id uuid, meter text, dimensions jsonb, segment_start timestamptz, segment_end timestamptz,
    quantity numeric, events bigint, daily numeric[]
) on commit drop
