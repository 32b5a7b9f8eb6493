namespace LabPortal.Domain.Machines;

/// <summary>How a machine that asked for a warm start was started: from a warm state, or cold, and then <paramref name="Why"/> in one sentence.</summary>
public sealed record MachineStart(bool Warm, string? Why)
{
    public string? Why { get; init; } = ForeignText.OrNone(Why);

    public static MachineStart FromState { get; } = new(true, null);

    public static MachineStart Cold(string why) => new(false, why);
}
