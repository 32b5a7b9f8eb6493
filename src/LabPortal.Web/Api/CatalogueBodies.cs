using System.Text.Json;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Images;
using LabPortal.Domain.Networks;
using LabPortal.Domain.People;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.People;
using LabPortal.Web.Hosting;
using LabPortal.Web.Texts;
using NodaTime;

namespace LabPortal.Web.Api;

internal sealed record BlueprintBody
{
    public required string Name { get; init; }
    public required int Version { get; init; }
    public required string Title { get; init; }
    public required string Description { get; init; }

    /// <summary>The teams that may request it; empty for all.</summary>
    public required IReadOnlyList<string> Teams { get; init; }
    public required IReadOnlyList<ParameterBody> Parameters { get; init; }
    public required IReadOnlyList<BlueprintMachineBody> Machines { get; init; }

    /// <summary>The networks that each of its labs has for itself.</summary>
    public required IReadOnlyList<Network> Networks { get; init; }

    /// <summary>Who may begin to talk to whom; null: everybody.</summary>
    public required IReadOnlyList<FirewallRuleBody>? Firewall { get; init; }
    public required IReadOnlyList<string> Require { get; init; }
    public required IReadOnlyList<string> Prefer { get; init; }
    public required LeaseRulesBody Lease { get; init; }
    public required int Cpu { get; init; }
    public required int MemoryMiB { get; init; }
    public required int DiskGiB { get; init; }

    /// <summary>A lab of it is ready only with a snapshot to which it can be reset.</summary>
    public required bool SnapshotAtReady { get; init; }

    /// <summary>It makes no new labs.</summary>
    public required bool Retired { get; init; }
    public required bool Declared { get; init; }

    /// <summary>Everything that the blueprint's YAML knows, under its keys; what <c>PUT /blueprints/{name}</c> takes.</summary>
    public required JsonElement Definition { get; init; }

    public static BlueprintBody Of(BlueprintView view) => new()
    {
        Name = view.Blueprint.Name,
        Version = view.Blueprint.Version,
        Title = view.Blueprint.Title,
        Description = view.Blueprint.Description,
        Teams = view.Blueprint.Teams,
        Parameters = [.. view.Blueprint.Parameters.Select(ParameterBody.Of)],
        Machines = [.. view.Machines.Select(machine => new BlueprintMachineBody(machine.Name, machine.Image, machine.Cpu, machine.MemoryMiB, machine.DiskGiB, machine.Cards))],
        Networks = view.Blueprint.Networks,
        Firewall = FirewallRuleBody.Of(view.Blueprint.Firewall),
        Require = view.Blueprint.Placement.Require,
        Prefer = view.Blueprint.Placement.Prefer,
        Lease = new LeaseRulesBody(Hours(view.Blueprint.Lease.Default), Hours(view.Blueprint.Lease.Max), Hours(view.Blueprint.Lease.Grace)),
        Cpu = view.Cpu,
        MemoryMiB = view.MemoryMiB,
        DiskGiB = view.DiskGiB,
        SnapshotAtReady = view.Blueprint.SnapshotAtReady,
        Retired = view.Blueprint.Retired,
        Declared = view.Blueprint.Declared,
        Definition = view.Document.ToJson(),
    };

    private static decimal Hours(Duration duration) => (decimal)duration.TotalHours;
}

internal sealed record ParameterBody
{
    public required string Name { get; init; }
    public required ParameterType Type { get; init; }
    public required string Title { get; init; }
    public required string Help { get; init; }

    /// <summary>Empty: it has to be given.</summary>
    public required string? Default { get; init; }
    public required int? MinLength { get; init; }
    public required int? MaxLength { get; init; }
    public required long? Min { get; init; }
    public required long? Max { get; init; }
    public required string? Pattern { get; init; }
    public required IReadOnlyList<string> Choices { get; init; }

    public static ParameterBody Of(Parameter parameter) => new()
    {
        Name = parameter.Name,
        Type = parameter.Type,
        Title = parameter.Title,
        Help = parameter.Help,
        Default = parameter.Default,
        MinLength = parameter.MinLength,
        MaxLength = parameter.MaxLength,
        Min = parameter.Min,
        Max = parameter.Max,
        Pattern = parameter.Pattern,
        Choices = parameter.Choices,
    };
}

/// <summary>A card on <c>shared</c>, the pool's own network, gets its address there.</summary>
internal sealed record BlueprintMachineBody(string Name, string Image, int Cpu, int MemoryMiB, int DiskGiB, IReadOnlyList<Card> Cards);

/// <summary>Decimal hours. The ceiling counts the whole life, extensions included.</summary>
internal sealed record LeaseRulesBody(decimal DefaultHours, decimal MaxHours, decimal GraceHours);

internal sealed record ImageBody(string Name, string Version, string Os, string User, IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>> Bindings, bool Declared)
{
    public static ImageBody Of(Image image) => new(image.Name, image.Version, image.Os, image.User, image.Bindings, image.Declared);
}

internal sealed record ImageVersionBody(string Version, Instant At, bool Current, string Os, string User, IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>> Bindings)
{
    public static ImageVersionBody Of(ImageVersionView view) => new(view.Image.Version, view.At, view.Current, view.Image.Os, view.Image.User, view.Image.Bindings);
}

/// <summary>What <c>PUT /images/{name}</c> takes; the bindings by kind of provider.</summary>
internal sealed record ImageRequestBody(string? Version, string? Os, string? User, IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>> Bindings);

/// <summary>What <c>PUT /sizes/{name}</c> takes.</summary>
internal sealed record SizeRequestBody(int Cpu, int MemoryMiB, int DiskGiB);

/// <summary>One version of a blueprint; the definition as <c>PUT /blueprints/{name}</c> takes it.</summary>
internal sealed record BlueprintDefinitionBody(string Name, int Version, JsonElement Definition, string Yaml);

/// <summary>The lines of two versions' YAML, in order.</summary>
internal sealed record DifferenceBody(int From, int To, IReadOnlyList<DocumentLine> Lines);

internal sealed record SizeBody(string Name, int Cpu, int MemoryMiB, int DiskGiB, bool Declared)
{
    public static SizeBody Of(Size size) => new(size.Name, size.Cpu, size.MemoryMiB, size.DiskGiB, size.Declared);
}

internal sealed record AppliedBody(IReadOnlyList<string> Created, IReadOnlyList<string> Changed, IReadOnlyList<string> Unchanged, IReadOnlyList<string> Pruned);

internal sealed record TeamBody(TeamId Id, string Name, string Zone, bool Declared, IReadOnlyList<MemberBody> Members)
{
    public static TeamBody Of(TeamView team)
        => new(team.Id, team.Name, team.Zone, team.Declared, [.. team.Members.Select(member => new MemberBody(member.Person, member.Name, member.Email, member.Role))]);
}

internal sealed record MemberBody(PersonId Person, string Name, string Email, TeamRole Role);

internal sealed record WebhookBody(Guid Id, string Address, Instant CreatedAt, DeliveryBody? LastDelivery)
{
    public static WebhookBody Of(WebhookView webhook) => new(
        webhook.Id, webhook.Address, webhook.CreatedAt,
        webhook.LastDelivery is { } last ? new DeliveryBody(last.State, last.At, last.Attempts, last.Problem is { } problem ? Sentences.Of(problem) : null) : null);
}

/// <summary>State: <c>waiting</c> (to be sent at that time), <c>failing</c> (to be tried again then), <c>delivered</c> or <c>given-up</c> (since then).</summary>
internal sealed record DeliveryBody(string State, Instant At, int Attempts, string? Problem);

/// <summary>A webhook that was just made: its secret is shown this once.</summary>
internal sealed record NewWebhookBody(Guid Id, string Address, Instant CreatedAt, string Secret);

/// <summary>What <c>POST /teams/{team}/webhooks</c> takes.</summary>
internal sealed record WebhookRequestBody(string Address);

internal sealed record PersonBody(PersonId Id, string Name, string Email, bool Admin, bool Auditor, bool Disabled, IReadOnlyList<MembershipBody> Teams)
{
    public static PersonBody Of(PersonView person) => new(
        person.Id, person.Name, person.Email, person.IsAdmin, person.IsAuditor, person.Disabled, [.. person.Teams.Select(member => new MembershipBody(member.Team, member.Role))]);
}

internal sealed record MembershipBody(string Team, TeamRole Role);

internal sealed record TokenBody(Guid Id, string Name, Instant CreatedAt, Instant ExpiresAt, Instant? LastUsedAt)
{
    public static TokenBody Of(ApiToken token) => new(token.Id, token.Name, token.CreatedAt, token.ExpiresAt, token.LastUsedAt);
}

/// <summary>A token that was just made: its text is shown this once.</summary>
internal sealed record NewTokenBody(Guid Id, string Name, Instant CreatedAt, Instant ExpiresAt, string Token);

/// <summary>What <c>POST /me/tokens</c> takes; 90 days where none are named.</summary>
internal sealed record TokenRequestBody(string Name, int? Days);

internal sealed record KeyBody(Guid Id, string Name, string PublicKey, string Fingerprint, Instant CreatedAt)
{
    public static KeyBody Of(SshKey key) => new(key.Id, key.Name, key.PublicKey, key.Fingerprint, key.CreatedAt);
}

/// <summary>What <c>POST /me/keys</c> takes: a public key in OpenSSH's one-line form.</summary>
internal sealed record KeyRequestBody(string PublicKey, string? Name);

/// <summary>What <c>POST /teams</c> takes; the zone by its IANA name.</summary>
internal sealed record TeamRequestBody(string Name, string Zone);

internal sealed record MemberRequestBody(TeamRole Role);

/// <summary>What <c>POST /invitations</c> takes: a team goes with a role.</summary>
internal sealed record InvitationBody(string Email, string? Name, string? Team, TeamRole? Role, bool? Admin, bool? Auditor);

/// <summary>The two roles that hold everywhere.</summary>
internal sealed record RolesBody(bool Admin, bool Auditor);

/// <summary>A link to hand over, shown this once; it works once.</summary>
internal sealed record NewLinkBody(string Address, Instant ExpiresAt)
{
    public static NewLinkBody Of(HttpContext context, PortalSettings settings, string page, OneTimeLink link)
        => new($"{settings.PublicAddress ?? $"{context.Request.Scheme}://{context.Request.Host}{context.Request.PathBase}"}/{page}/{link.Token}", link.ExpiresAt);
}

/// <summary>What somebody should know: a code for programs, and its sentence.</summary>
internal sealed record NoticeBody(Guid Id, Instant At, string Code, string Say, LabId? Lab, bool Read)
{
    public static NoticeBody Of(NoticeView notice) => new(notice.Id, notice.At, notice.Code, Sentences.OfStored(notice.Code, notice.Arguments), notice.Lab, notice.Read);
}
