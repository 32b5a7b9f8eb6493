using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Data.People;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Quotas;
using LabPortal.Operations.Leases;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Operations.Labs;

/// <summary>A request that was checked: what the lab would be.</summary>
internal sealed record LabPlan(Blueprint Blueprint, Team Team, PersonId Owner, Lab Lab, Instant Now)
{
    public IReadOnlyDictionary<Dimension, long> Amounts { get; } = Dimensions.Of(
        [.. Lab.Machines.Select(machine => (machine.Cpu, machine.MemoryMiB, machine.DiskGiB))], Blueprint.SnapshotAtReady ? 1 : 0);

    public IReadOnlyList<MachineNeed> Needs { get; } =
    [
        .. Lab.Machines.Select(machine => new MachineNeed(machine.Image, machine.ImageVersion, machine.Cpu, machine.MemoryMiB, machine.DiskGiB)
        {
            SnapshotGiB = Blueprint.SnapshotAtReady ? Snapshot.RoomOf(machine.DiskGiB, machine.MemoryMiB, runs: true) : 0,
        }),
    ];

    /// <summary>What the holds cover: from the start on, through grace.</summary>
    public Instant From => Lab.Lease.Start;

    public Instant To => Lab.Lease.HoldUntil(Now);

    /// <summary>Checks everything at once. Nothing is written.</summary>
    public static async Task<Outcome<LabPlan>> MakeAsync(Session session, Actor actor, LabRequest request, Instant now, TimeProvider time)
    {
        var errors = new List<FieldError>();
        if (actor.Person is not { } owner) return Refusal.Forbidden(Verb.RequestLab.Word());

        var team = await TeamStore.FindAsync(session, request.Team);
        if (team is null || !May.Do(actor, Verb.SeeTeam, team: team.Id)) errors.Add(new("team", "team.unknown", [("team", request.Team)]));
        else if (!May.Do(actor, Verb.RequestLab, team: team.Id)) return Refusal.Forbidden(Verb.RequestLab.Word());

        var id = new LabId(Ids.New(time));
        var blueprint = await BlueprintStore.FindCurrentAsync(session, request.Blueprint);
        if (blueprint is null || blueprint.Retired) errors.Add(new("blueprint", "blueprint.unknown", [("blueprint", request.Blueprint)]));
        else if (team is not null && blueprint.Teams.Count > 0 && !blueprint.Teams.Contains(team.Name)) errors.Add(new("blueprint", "blueprint.not-for-team", [("blueprint", blueprint.Name), ("team", team.Name)]));

        var name = string.IsNullOrWhiteSpace(request.Name) ? $"{request.Blueprint}-{id.ToString()[^4..]}" : request.Name.Trim();
        if (!string.IsNullOrWhiteSpace(request.Name) && PersonRules.CheckName("name", request.Name) is { } badName) errors.Add(badName);
        if (request.Pool is { } pool && await PoolStore.FindAsync(session, pool) is null) errors.Add(new("pool", "pool.unknown", [("pool", pool)]));
        errors.AddRange(CheckLabels(request.Labels));

        IReadOnlyDictionary<string, string> parameters = new Dictionary<string, string>();
        Lease? lease = null;
        IReadOnlyList<Machine> machines = [];
        var zone = team?.Zone ?? "Etc/UTC";
        if (blueprint is not null)
        {
            parameters = FillParameters(blueprint, request.Parameters, errors);
            lease = LeaseTerms.OfRequest(blueprint.Lease, request.Lease, request.Start, zone, now, errors);
            machines = MachinesOf(id, blueprint, await ImageStore.ListAsync(session), await ImageStore.ListSizesAsync(session), errors);
        }
        else
        {
            // Without a blueprint only what is wrong in any case can be said.
            LeaseTerms.OfRequest(new LeaseRules(Duration.FromHours(1), Duration.MaxValue, Duration.Zero), request.Lease, request.Start, zone, now, errors);
        }

        if (errors.Count > 0) return Refusal.Invalid(errors);
        return new LabPlan(
            blueprint!, team!, owner,
            new Lab
            {
                Id = id,
                Name = name,
                Blueprint = blueprint!.Name,
                BlueprintVersion = blueprint.Version,
                Team = team!.Id,
                Owner = owner,
                State = lease!.Start > now ? LabState.Scheduled : LabState.Requested,
                Version = 0,
                Lease = lease,
                AskedPool = request.Pool,
                Labels = request.Labels,
                Parameters = parameters,
                RequestedAt = now,
                Machines = machines,
            },
            now);
    }

    private static Dictionary<string, string> FillParameters(Blueprint blueprint, IReadOnlyDictionary<string, string> given, List<FieldError> errors)
    {
        errors.AddRange(given.Keys.Where(key => blueprint.Parameters.All(parameter => parameter.Name != key)).Select(key => new FieldError($"parameters.{key}", "parameter.unknown", [("name", key)])));
        var filled = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var parameter in blueprint.Parameters)
        {
            var value = given.GetValueOrDefault(parameter.Name) ?? parameter.Default;
            if (value is null) errors.Add(new($"parameters.{parameter.Name}", "parameter.required", [("name", parameter.Name)]));
            else if (parameter.Check(value) is { } wrong) errors.Add(wrong);
            else filled[parameter.Name] = value;
        }

        return filled;
    }

    private static IEnumerable<FieldError> CheckLabels(IReadOnlyDictionary<string, string> labels)
    {
        if (labels.Count > 20) yield return new("labels", "labels.too-many", [("max", 20)]);
        foreach (var (key, value) in labels)
        {
            if (key.Length is 0 or > 63 || key.Any(char.IsControl)) yield return new($"labels.{key}", "label.key", [("max", 63)]);
            if (value is null || value.Length > 200 || value.Any(char.IsControl)) yield return new($"labels.{key}", "label.value", [("max", 200)]);
        }
    }

    private static List<Machine> MachinesOf(LabId lab, Blueprint blueprint, IReadOnlyList<Image> images, IReadOnlyList<Size> sizes, List<FieldError> errors)
    {
        var machines = new List<Machine>();
        foreach (var template in blueprint.Machines)
        {
            var image = images.FirstOrDefault(image => image.Name == template.Image);
            var size = template.Size is null ? null : sizes.FirstOrDefault(size => size.Name == template.Size);
            if (image is null) errors.Add(new("blueprint", "blueprint.image-missing", [("machine", template.Name), ("image", template.Image)]));
            if (template.Size is { } named && size is null) errors.Add(new("blueprint", "blueprint.size-missing", [("machine", template.Name), ("size", named)]));
            machines.Add(new Machine
            {
                // Follows from lab and name: the same plan has the same machines.
                Id = new MachineId(new Owner(new InstallationId(lab.Value), lab, null, 0).DerivedUuid(template.Name)),
                Lab = lab,
                Name = template.Name,
                State = MachineState.Pending,
                Generation = 0,
                Image = template.Image,
                ImageVersion = image?.Version ?? "",
                Cpu = template.Cpu ?? size?.Cpu ?? 1,
                MemoryMiB = template.MemoryMiB ?? size?.MemoryMiB ?? 1,
                DiskGiB = template.DiskGiB ?? size?.DiskGiB ?? 1,
                Cards = template.Cards,
                WarmStart = template.WarmStart && image is { Warm: true },
            });
        }

        return machines;
    }
}
