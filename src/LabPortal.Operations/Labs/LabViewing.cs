using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Consoles;
using LabPortal.Data.Costs;
using LabPortal.Data.Images;
using LabPortal.Data.Labs;
using LabPortal.Data.People;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Workflows;
using NodaTime;

namespace LabPortal.Operations.Labs;

/// <summary>Labs as a caller sees them, read in one session; a fixed number of statements for each list, whatever its length.</summary>
internal static class LabViewing
{
    public static async Task<IReadOnlyList<LabView>> OfAsync(Session session, RunViews runViews, Actor actor, IReadOnlyList<Lab> labs, Instant now)
    {
        if (labs.Count == 0) return [];
        var ids = labs.Select(lab => lab.Id).ToList();
        var teams = await LabReadStore.TeamsOfAsync(session, ids);
        var owners = await LabReadStore.OwnersOfAsync(session, ids);
        var pools = (await PoolStore.ListAsync(session)).ToDictionary(pool => pool.Id);
        var prices = pools.Values.Where(pool => pool.Prices is not null).ToDictionary(pool => pool.Id, pool => pool.Prices!);
        var runs = await LabReadStore.RunsOfAsync(session, ids);
        var passwords = await ProtectedTextStore.ExistingAsync(session, ids.Select(GuestSeeds.PasswordName));
        var hostKeys = await HostKeyStore.GivenAsync(session, ids);
        var clean = await SnapshotStore.HavingAsync(session, ids, Snapshot.Clean);
        var meter = await MeterStore.OfLabsAsync(session, ids);
        var blueprints = new Dictionary<(string, int), Blueprint?>();
        foreach (var key in labs.Select(lab => (lab.Blueprint, lab.BlueprintVersion)).Distinct())
            blueprints[key] = await BlueprintStore.FindAsync(session, key.Blueprint, key.BlueprintVersion);
        var images = new Dictionary<(string, string), Image?>();
        foreach (var key in labs.SelectMany(lab => lab.Machines).Select(machine => (machine.Image, machine.ImageVersion)).Distinct())
            images[key] = await ImageStore.FindAsync(session, key.Image, key.ImageVersion);
        var runView = new Dictionary<LabId, RunView>();
        foreach (var lab in labs.Where(lab => runs.ContainsKey(lab.Id)))
        {
            // Steps are for the page of one lab; in a list they would be a statement for each.
            runView[lab.Id] = labs.Count == 1
                ? await runViews.WithStepsAsync(session, runs[lab.Id], lab, teams.GetValueOrDefault(lab.Team, ""))
                : runViews.View(runs[lab.Id], lab.Name, teams.GetValueOrDefault(lab.Team, ""));
        }

        var whyHere = labs.Count == 1 ? await LabReadStore.WhyHereAsync(session, ids[0]) : new Dictionary<(MachineId, int), string>();

        return [.. labs.Select(lab =>
        {
            var run = runs.GetValueOrDefault(lab.Id);
            var team = teams.GetValueOrDefault(lab.Team, "");
            var blueprint = blueprints[(lab.Blueprint, lab.BlueprintVersion)];
            return new LabView
            {
                Id = lab.Id,
                Name = lab.Name,
                Blueprint = lab.Blueprint,
                BlueprintTitle = blueprint?.Title ?? lab.Blueprint,
                BlueprintVersion = lab.BlueprintVersion,
                TeamId = lab.Team,
                Team = team,
                OwnerId = lab.Owner,
                Owner = owners.GetValueOrDefault(lab.Owner, ""),
                Labels = lab.Labels,
                Parameters = lab.Parameters,
                State = lab.State,
                Health = lab.Health,
                Reason = lab.Reason,
                Version = lab.Version,
                Lease = lab.Lease,
                RequestedAt = lab.RequestedAt,
                ReadyAt = lab.ReadyAt,
                EndedAt = lab.EndedAt,
                Machines = [.. lab.Machines.Select(machine => OfMachine(machine, pools, images[(machine.Image, machine.ImageVersion)], whyHere, hostKeys))],
                Networks = blueprint?.Networks ?? [],
                Firewall = blueprint?.Firewall,
                Run = runView.GetValueOrDefault(lab.Id),
                Verbs = VerbsOf(actor, lab, run),
                HasClean = clean.Contains(lab.Id),
                HasPassword = passwords.Contains(GuestSeeds.PasswordName(lab.Id)) && May.Do(actor, Verb.RevealPassword, lab.Owner, lab.Team),
                Usage = OfUsage(Usage.Of(meter[lab.Id], prices, now)),
            };
        })];
    }

    /// <summary>What this caller may ask for now: state and rights together.</summary>
    public static IReadOnlyList<LabVerb> VerbsOf(Actor actor, Lab lab, Run? run)
    {
        var live = run is { } found && found.State.IsLive() ? found : null;
        return [.. LabLife.VerbsOf(lab.State, Health.Of(lab.State, lab.Machines.Select(machine => machine.State)), live?.State, live?.Workflow)
            .Where(verb => May.Do(actor, May.ToDo(verb), lab.Owner, lab.Team) && (!lab.Frozen || verb is LabVerb.End or LabVerb.Retry or LabVerb.Abandon))];
    }

    private static MachineView OfMachine(Machine machine, Dictionary<PoolId, Pool> pools, Image? image, IReadOnlyDictionary<(MachineId, int), string> whyHere, IReadOnlyDictionary<(MachineId, int), string> hostKeys) => new()
    {
        Id = machine.Id,
        Name = machine.Name,
        State = machine.State,
        Generation = machine.Generation,
        Image = machine.Image,
        Pool = machine.Pool is { } pool ? pools.GetValueOrDefault(pool)?.Name : null,
        Host = machine.Host,
        ExternalId = machine.ExternalId,
        Addresses = machine.Addresses,
        Cards = [.. machine.Cards.Where(card => !card.IsShared)],
        ConsoleOnly = !machine.IsReachable,
        Cpu = machine.Cpu,
        MemoryMiB = machine.MemoryMiB,
        DiskGiB = machine.DiskGiB,
        Access = machine.State == MachineState.Running && image is { Os: not "windows" } ? [.. machine.Addresses.Select(address => new AccessView("ssh", "direct", address, 22, image.User, hostKeys.GetValueOrDefault((machine.Id, machine.Generation))))] : [],
        Start = machine.Start,
        WhyHere = whyHere.GetValueOrDefault((machine.Id, machine.Generation)),
    };

    // Pools of several currencies: no sum would be true, so none is shown.
    private static UsageView OfUsage(Usage usage) => new(Math.Round((decimal)usage.MachineTime.TotalHours, 4), usage.Costs.Count == 1 ? usage.Costs[0] : null);
}
