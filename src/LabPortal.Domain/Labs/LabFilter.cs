namespace LabPortal.Domain.Labs;

/// <summary>What a list of labs is narrowed to; empty means all that the caller may see.</summary>
public sealed record LabFilter
{
    public IReadOnlyList<LabState>? States { get; init; }
    public TeamId? Team { get; init; }
    public PersonId? Owner { get; init; }
    public string? Blueprint { get; init; }

    /// <summary>Part of the lab's name, any case.</summary>
    public string? Text { get; init; }

    /// <summary>The teams whose labs the caller sees; empty for everybody's. The caller's own labs are always in.</summary>
    public IReadOnlyList<TeamId>? SeenTeams { get; init; }
    public PersonId? Caller { get; init; }
}
