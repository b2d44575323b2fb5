-- One row per organization, meter, dimensions and segment with events, for non-additive meters
-- (`usage.rules.aggregation_groups`).
select distinct
    accepted_usage.organization_id, accepted_usage.meter, accepted_usage.dimensions, segments.segment_start
from accepted_usage
join segments
    on segments.meter = accepted_usage.meter and segments.segmentation = accepted_usage.segmentation
    and accepted_usage.time >= segments.segment_start and accepted_usage.time < segments.segment_end
where accepted_usage.aggregation in ('max', 'unique', 'latest')
