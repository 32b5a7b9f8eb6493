using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Web.Api;

internal sealed record PoolBody
{
    public required PoolId Id { get; init; }
    public required string Name { get; init; }
    public required string Provider { get; init; }

    /// <summary><c>healthy</c>, <c>sick</c>, <c>maintenance</c> or <c>draining</c>.</summary>
    public required string State { get; init; }
    public required IReadOnlyList<PoolProblemBody> Problems { get; init; }
    public required Instant? CheckedAt { get; init; }
    public required IReadOnlyList<string> Labels { get; init; }
    public required int OperationsAtOnce { get; init; }
    public required int OperationsNow { get; init; }
    public required int BootsAtOnce { get; init; }
    public required int BootsNow { get; init; }
    public required IReadOnlyList<HostView> Hosts { get; init; }
    public required IReadOnlyList<ImagePresenceView> Images { get; init; }
    public required bool Declared { get; init; }

    public static PoolBody Of(PoolView pool) => new()
    {
        Id = pool.Id,
        Name = pool.Name,
        Provider = pool.Provider,
        State = pool.State,
        Problems = [.. pool.Problems.Select(PoolProblemBody.Of)],
        CheckedAt = pool.CheckedAt,
        Labels = pool.Labels,
        OperationsAtOnce = pool.Limits.OperationsAtOnce,
        OperationsNow = pool.OperationsNow,
        BootsAtOnce = pool.Limits.BootsAtOnce,
        BootsNow = pool.BootsNow,
        Hosts = pool.Hosts,
        Images = pool.Images,
        Declared = pool.Declared,
    };
}

/// <summary>The slots that are taken now, and the runs that wait for one.</summary>
internal sealed record PoolNowBody(IReadOnlyList<SlotView> Slots, IReadOnlyList<RunBody> Waiting);

/// <summary>A kind of pool, with what it can be told.</summary>
internal sealed record PoolKindBody(string Name, IReadOnlyList<string> ImageKeys, IReadOnlyList<string> OptionalImageKeys, IReadOnlyList<SettingBody> Settings)
{
    public static PoolKindBody Of(PoolKindView kind) => new(kind.Name, kind.ImageKeys, kind.OptionalImageKeys, [.. kind.Settings.Select(SettingBody.Of)]);
}

/// <summary>One setting; <paramref name="Items"/> are the fields of each entry of a list.</summary>
internal sealed record SettingBody(
    string Name, SettingKind Kind, string Title, string Help, bool Required, JsonNode? Default, double? Min, double? Max, IReadOnlyList<string>? OneOf, string? Unit, IReadOnlyList<SettingBody>? Items)
{
    public static SettingBody Of(Setting setting) => new(
        setting.Name, setting.Kind, setting.Title, setting.Help, setting.Required, setting.Default?.DeepClone(), setting.Min, setting.Max, setting.OneOf, setting.Unit, setting.Items?.Select(Of).ToList());
}

/// <summary>A pool as it was told, in the words of the YAML: what <c>PUT</c> takes. A secret is a text, or where it is; it is never given back.</summary>
internal sealed record PoolSettingsBody(string Provider, IReadOnlyList<string>? Labels, JsonObject? Settings, PoolLimitsBody? Limits, OvercommitBody? Overcommit, PricesBody? Prices)
{
    public static PoolSettingsBody Of(PoolDraft pool) => new(
        pool.Provider, pool.Labels, pool.Settings,
        new PoolLimitsBody(pool.Limits.OperationsAtOnce, pool.Limits.BootsAtOnce, pool.Limits.OrphanDeletionsPerPass, pool.Limits.OperationsPerHost, pool.Limits.OperationsPerMinute),
        new OvercommitBody((decimal)pool.Overcommit.Cpu, (decimal)pool.Overcommit.Memory),
        pool.Prices is { } prices ? new PricesBody(prices.Currency, new RunningPricesBody(prices.CpuHour, prices.MemoryGiBHour), prices.DiskGiBHour, [.. prices.Sizes.Select(SizePriceBody.Of)]) : null);

    public static PoolDraft Read(Body body)
    {
        var (limits, overcommit, prices, normal) = (body.Object("limits"), body.Object("overcommit"), body.Object("prices"), new PoolLimits());
        var running = prices?.Object("running");
        return new PoolDraft(
            body.RequiredText("provider"), body.TextList("labels"), body.Json("settings") ?? [],
            new PoolLimits(limits?.Whole("operationsAtOnce") ?? normal.OperationsAtOnce, limits?.Whole("bootsAtOnce") ?? normal.BootsAtOnce, limits?.Whole("orphanDeletionsPerPass") ?? normal.OrphanDeletionsPerPass,
                limits?.Whole("operationsPerHost") ?? normal.OperationsPerHost, limits?.Whole("operationsPerMinute") ?? normal.OperationsPerMinute),
            new Overcommit((double?)overcommit?.Number("cpu") ?? new Overcommit().Cpu, (double?)overcommit?.Number("memory") ?? new Overcommit().Memory),
            prices is null ? null : new PriceList(prices.RequiredText("currency"), running?.Number("cpuHour") ?? 0, running?.Number("memoryGiBHour") ?? 0, prices.Number("diskGiBHour") ?? 0)
            {
                Sizes = [.. prices.Objects("sizes").Select(SizePriceBody.Read)],
            });
    }
}

/// <summary>
/// How much may be busy at once; <paramref name="OrphanDeletionsPerPass"/>: how many orphans may be deleted without being asked about, 0 for none.
/// <paramref name="OperationsPerHost"/>: of the operations at once, how many on one host; <paramref name="OperationsPerMinute"/>: how many may begin in a
/// minute, in all pools of the account together. 0 for any number.
/// </summary>
internal sealed record PoolLimitsBody(int? OperationsAtOnce, int? BootsAtOnce, int? OrphanDeletionsPerPass, int? OperationsPerHost, int? OperationsPerMinute);

internal sealed record OvercommitBody(decimal? Cpu, decimal? Memory);

/// <summary>Per hour. <paramref name="Sizes"/>: the first that is large enough for a machine counts, in the place of processor and memory.</summary>
internal sealed record PricesBody(string Currency, RunningPricesBody? Running, decimal? DiskGiBHour, IReadOnlyList<SizePriceBody>? Sizes);

/// <summary>What a machine of this size costs for an hour, running and stopped; its disk comes on top of both.</summary>
internal sealed record SizePriceBody(string Size, int Cpu, int MemoryMiB, decimal? RunningHour, decimal? StoppedHour)
{
    public static SizePriceBody Of(SizePrice price) => new(price.Size, price.Cpu, price.MemoryMiB, price.RunningHour, price.StoppedHour);

    public static SizePrice Read(Body body) => new(body.RequiredText("size"), body.Whole("cpu") ?? 0, body.Whole("memoryMiB") ?? 0, body.Number("runningHour") ?? 0, body.Number("stoppedHour") ?? 0);
}

internal sealed record RunningPricesBody(decimal? CpuHour, decimal? MemoryGiBHour);

/// <summary>An image, and a size or amounts (1 vCPU, 512 MiB, 2 GiB where they are not said).</summary>
internal sealed record TrialRequestBody(string Image, string? Size, int? Cpu, int? MemoryMiB, int? DiskGiB);

internal sealed record ImportRequestBody(string File);

/// <summary>What is wrong, on which host (or everywhere), the way to mend it, and whether it keeps new machines away.</summary>
internal sealed record PoolProblemBody(string What, string? Host, string Mend, bool Blocks)
{
    public static PoolProblemBody Of(Domain.Pools.PoolProblem problem) => new(problem.What, problem.Host, problem.Mend, problem.Blocks);
}
