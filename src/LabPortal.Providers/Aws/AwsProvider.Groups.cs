using System.Collections.Concurrent;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Providers.Aws;

/// <summary>The security group of a lab: made with its first machine, gone with its last.</summary>
internal sealed partial class AwsProvider
{
    private const int MostRemembered = 1000;

    /// <summary>Labs whose group this process has seen to be gone: one look is enough then. Another node may have made it anew since.</summary>
    private readonly ConcurrentDictionary<LabId, bool> _withoutGroup = new();

    private async Task<string?> EnsureGroupAsync(Owner machine, CancellationToken cancellation)
    {
        if (!settings.LabGroups) return null;
        _withoutGroup.TryRemove(machine.Lab, out _);
        if (await FindGroupAsync(machine, cancellation) is not { } group)
        {
            await _client.EnsureGroupAsync(AwsMapping.GroupName(machine), AwsMapping.Tags(AwsMapping.GroupOf(machine), AwsMapping.GroupSuffix), cancellation);
            group = (await UntilAsync(() => FindGroupAsync(machine, cancellation), seen => seen is not null, cancellation))!;
        }

        if (!group.HasRules) await _client.AuthorizeAsync(group.Id, cancellation);
        return group.Id;
    }

    /// <summary>Once the lab has no other machine. Waits until its last one is gone: a group that is in use cannot be removed.</summary>
    private async Task RemoveGroupAsync(Owner owner, CancellationToken cancellation)
    {
        if (!settings.LabGroups) return;
        var lab = owner.Lab.ToString();
        var name = owner.Machine is null ? "" : owner.ResourceName;
        if (_justMade.Any(made => made.Key != name && made.Value.Made.Tags.GetValueOrDefault(AwsMapping.LabTag) == lab && Remembered(made.Key) is not null)) return;
        if ((await OfLabAsync()).Any(IsAnother)) return;
        var group = await FindGroupAsync(owner, cancellation);
        if (group is null && !_withoutGroup.ContainsKey(owner.Lab))
        {
            // Absent is what two reads do not show.
            await Task.Delay(times.Settling, pool.Time, cancellation);
            group = await FindGroupAsync(owner, cancellation);
        }

        Instant? since = null;
        while (group is not null)
        {
            var machines = await OfLabAsync();
            if (machines.Any(IsAnother)) return;
            // One that did not show yet when it was to be terminated.
            if (machines.Where(machine => !machine.IsLeaving).Select(machine => machine.Id).ToList() is { Count: > 0 } late) await TerminateAsync(name, late, cancellation);
            if (machines.All(machine => machine.IsGone))
            {
                // One that does not show yet uses it, too; what uses it for longer is none of ours.
                if (await _client.DeleteGroupAsync(group.Id, cancellation)) break;
                since ??= Now;
                if (Now - since > SettlingTime * 2)
                    throw new ProviderFault(FaultKind.Transient, $"Security group {group.Id} of the lab cannot be removed as long as something else is in it: take that out, or remove it.");
            }

            await Task.Delay(times.Look, pool.Time, cancellation);
        }

        if (_withoutGroup.Count >= MostRemembered) _withoutGroup.Clear();
        _withoutGroup[owner.Lab] = true;

        bool IsAnother(InstanceView machine) => !machine.IsLeaving && machine.Tags.GetValueOrDefault(AwsMapping.NameTag) != name;

        async Task<IReadOnlyList<InstanceView>> OfLabAsync() => [.. (await _client.InstancesAsync(AwsMapping.LabTag, [lab], cancellation)).Where(IsOurs)];
    }

    private async Task<GroupView?> FindGroupAsync(Owner owner, CancellationToken cancellation)
        => (await _client.GroupsAsync(AwsMapping.NameTag, AwsMapping.GroupName(owner), cancellation)).FirstOrDefault(group => group.Tags.GetValueOrDefault(AwsMapping.InstallationTag) == pool.Installation.ToString());
}
