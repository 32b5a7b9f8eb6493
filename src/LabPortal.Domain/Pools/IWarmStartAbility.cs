using LabPortal.Domain.Machines;

namespace LabPortal.Domain.Pools;

/// <summary>
/// Starting machines from a <i>warm state</i>: the memory of a guest that was saved while it waited, before it had looked at anything that is one machine's own.
/// One state serves all machines of its host, image and shape. States belong to the installation (<see cref="ResourceKind.WarmState"/>), are listed with the rest,
/// and come and go by <see cref="KeepWarmStatesAsync"/> alone. A machine that asks for a warm start (<see cref="MachineSpec.WarmStart"/>) and cannot have it is
/// started cold; that is never a fault.
/// </summary>
public interface IWarmStartAbility
{
    /// <summary>So much may the guest of a state have written to its disk before it waits; held on its host beside its memory.</summary>
    const int MostDiskMib = 256;

    /// <summary>So many are kept on each host; none where it is 0.</summary>
    int WarmStatesAHost { get; }

    /// <summary>
    /// Brings the pool's warm states to what these machines need, the most needed first: makes those that are missing, one at a time on each host, as many as the
    /// pool's settings allow, and removes all others of this installation. Lasts as long as their guests boot. Repeated or cut off, it leaves one of each, and
    /// what an earlier call left half is made anew or removed.
    /// </summary>
    /// <returns>Those that are needed and cannot be had, each with a sentence.</returns>
    Task<IReadOnlyList<WarmProblem>> KeepWarmStatesAsync(IReadOnlyList<MachineSpec> wanted, CancellationToken cancellation);

    /// <summary>How the machine was started when it was made; null where it did not ask for a warm start, or is not there.</summary>
    Task<MachineStart?> ReadStartAsync(ResourceRef machine, CancellationToken cancellation);
}

/// <summary>A warm state that this image should have on this host and has not.</summary>
public sealed record WarmProblem(string Host, string Image, string Why);
