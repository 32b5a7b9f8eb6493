using LabPortal.Domain;
using LabPortal.Domain.Leases;
using NodaTime;

namespace LabPortal.Data.Leases;

/// <summary>What the clock keeps with a lab.</summary>
public sealed record LeaseNotes(DailyHours? Daily, Instant? WarnedAt, LeaseMoment? Next);

/// <summary>When time next does something to a lab, found by one indexed look.</summary>
public static class LeaseStore
{
    public static Task SetDailyAsync(Session session, LabId lab, DailyHours daily)
        => session.ExecuteAsync("UPDATE labs SET daily = @Daily WHERE id = @lab", new { lab, Daily = StoredJson.Write(daily) });

    /// <summary>The lab was warned now, or its lease changed now: warnings before this moment are not given any more.</summary>
    public static Task SetWarnedAsync(Session session, LabId lab, Instant at) => session.ExecuteAsync("UPDATE labs SET warned_at = @at WHERE id = @lab", new { lab, at });

    public static Task SetHeartbeatAsync(Session session, LabId lab, Heartbeat? heartbeat) => session.ExecuteAsync(
        "UPDATE labs SET heartbeat_term = @Term, beat_at = @BeatAt WHERE id = @lab", new { lab, heartbeat?.Term, heartbeat?.BeatAt });

    /// <summary>Beats that could not be heard count as heard now: the labs whose clocks have to be set anew. The clock plans something for each of them.</summary>
    public static Task<IReadOnlyList<LabId>> HearAllAsync(Session session, Instant now)
        => session.QueryAsync<LabId>("UPDATE labs SET beat_at = @now WHERE next_at IS NOT NULL AND heartbeat_term IS NOT NULL AND beat_at < @now RETURNING id", new { now });

    public static async Task<LeaseNotes?> FindAsync(Session session, LabId lab)
        => (await session.FindAsync<Row>("SELECT daily, warned_at, deed_at, next_deed FROM labs WHERE id = @lab", new { lab })) is { } row
            ? new LeaseNotes(
                StoredJson.ReadOrDefault<DailyHours>(row.Daily),
                row.WarnedAt,
                row.NextDeed is null ? null : new LeaseMoment(row.DeedAt!.Value, Words.Read<LeaseDeed>(row.NextDeed)))
            : null;

    /// <summary><paramref name="lookAt"/>: when to look, where that is later than the moment itself (something was in the way).</summary>
    public static Task SetNextAsync(Session session, LabId lab, LeaseMoment? next, Instant? lookAt = null) => session.ExecuteAsync(
        "UPDATE labs SET next_at = @LookAt, next_deed = @Deed, deed_at = @At WHERE id = @lab",
        new { lab, LookAt = lookAt ?? next?.At, Deed = next?.Deed.Word(), next?.At });

    /// <summary>Labs whose moment has come, the longest due first; passes over those that another node holds.</summary>
    public static Task<IReadOnlyList<LabId>> ClaimDueAsync(Session session, Instant now, int limit)
        => session.QueryAsync<LabId>(Due(session.Dialect), new { now, limit });

    /// <summary>The look that every pass makes: it reads the index up to now, and no lab whose moment is still to come.</summary>
    public static string Due(SqlDialect dialect) => $"SELECT id FROM labs WHERE next_at <= @now ORDER BY next_at LIMIT @limit {dialect.ForUpdateSkipLocked}";

    /// <summary>When the next moment of any lab comes.</summary>
    public static Task<Instant?> NextAsync(Session session) => session.FindAsync<Instant?>("SELECT min(next_at) FROM labs WHERE next_at IS NOT NULL");

    /// <summary>The team moved to another zone: its labs that still live, whose clocks have to be set anew.</summary>
    public static Task<IReadOnlyList<LabId>> RezoneAsync(Session session, TeamId team, string zone) => session.QueryAsync<LabId>(
        "UPDATE labs SET zone = @zone WHERE team_id = @team AND zone <> @zone AND state NOT IN ('ended', 'failed') RETURNING id", new { team, zone });

    private sealed class Row
    {
        public string? Daily { get; init; }
        public Instant? WarnedAt { get; init; }
        public Instant? DeedAt { get; init; }
        public string? NextDeed { get; init; }
    }
}
