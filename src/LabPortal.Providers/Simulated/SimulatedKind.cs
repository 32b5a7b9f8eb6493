using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Simulated;

/// <summary>Machines that exist only in a file: for trying the portal, for its laws, and for crashes on purpose. See <c>README.md</c> beside this file.</summary>
internal sealed class SimulatedKind : IProviderKind
{
    public string Name => "simulated";

    public SettingsSchema Settings { get; } = new(
    [
        new("seed", SettingKind.Integer, "Seed", "The same seed and the same calls give the same failures and addresses.", Default: 1, Min: 0, Max: int.MaxValue),
        new("createSeconds", SettingKind.Number, "Seconds to create", "How long a new machine shows as building.", Default: 0, Min: 0, Max: 86_400, Unit: "s"),
        new("bootSeconds", SettingKind.Number, "Seconds to boot", "How long a guest runs before it has an address.", Default: 0, Min: 0, Max: 86_400, Unit: "s"),
        new("stopSeconds", SettingKind.Number, "Seconds to stop", "How long a guest takes to obey a graceful stop.", Default: 0, Min: 0, Max: 86_400, Unit: "s"),
        new("deleteSeconds", SettingKind.Number, "Seconds to delete", "How long a deleted machine still shows, and takes room.", Default: 0, Min: 0, Max: 86_400, Unit: "s"),
        new("settlingSeconds", SettingKind.Number, "Seconds to settle", "How far reads lag behind the world.", Default: 0, Min: 0, Max: 3_600, Unit: "s"),
        new("callSeconds", SettingKind.Number, "Seconds per call", "How long each call over the wire takes.", Default: 0, Min: 0, Max: 3_600, Unit: "s"),
        new("hosts", SettingKind.Integer, "Hosts", "How many hosts the pool has: h1, h2 and so on.", Default: 4, Min: 1, Max: 1_000),
        new("hostCpu", SettingKind.Integer, "Processors per host", "A host refuses machines beyond this.", Default: 32, Min: 1, Max: 100_000),
        new("hostMemoryMiB", SettingKind.Integer, "Memory per host", "A host refuses machines beyond this.", Default: 131_072, Min: 1, Max: 1_000_000_000, Unit: "MiB"),
        new("hostDiskGiB", SettingKind.Integer, "Disk per host", "A host refuses disks beyond this.", Default: 10_000, Min: 1, Max: 1_000_000_000, Unit: "GiB"),
        new("cpuOvercommit", SettingKind.Number, "Processor over-commit", "How many times over a host gives its processors away.", Default: 1, Min: 1, Max: 100),
        new("failureRate", SettingKind.Number, "Failure rate", "The share of calls that fail and do nothing.", Default: 0, Min: 0, Max: 1),
        new("lostReplyRate", SettingKind.Number, "Lost reply rate", "The share of calls that do their work and then fail.", Default: 0, Min: 0, Max: 1),
        new("throttleRate", SettingKind.Number, "Throttle rate", "The share of calls that are told to come back later.", Default: 0, Min: 0, Max: 1),
        new("throttleSeconds", SettingKind.Number, "Throttle seconds", "How much later a throttled call is told to come back.", Default: 1, Min: 0, Max: 3_600, Unit: "s"),
        new("failedBuildRate", SettingKind.Number, "Failed build rate", "The share of machines that are made and then show as failed.", Default: 0, Min: 0, Max: 1),
        new("warmStates", SettingKind.Integer, "Warm states", "So many saved memories a host keeps, from which machines are started warm where their blueprint says so, in a fifth of the time. 0: every machine boots.",
            Default: 4, Min: 0, Max: 100),
        new("missingImages", SettingKind.List, "Missing images", "Images that are not there until they are imported; every other image is on every host.", Items:
        [
            new("image", SettingKind.Text, "Image", "The image's name in the catalogue.", Required: true),
            new("host", SettingKind.Text, "Host", "The host that lacks it; absent, every host does."),
        ]),
        new("world", SettingKind.Text, "World", "The file that holds the world; pools and portals that name the same file share it. Absent, one of the pool's own in the data folder."),
    ]);

    public IReadOnlyList<string> ImageKeys => [];

    public IReadOnlyList<string> OptionalImageKeys => [ImageBinding.DigestKey];

    public IProvider Open(PoolContext pool)
    {
        var settings = SimulatedSettings.Read(Settings.WithDefaults(pool.Settings));
        return new SimulatedProvider(pool, settings, new SimulatedWorld(SimulatedWorld.FileOf(pool), pool.Time));
    }
}

/// <summary>The settings of one pool, read once. Durations are microseconds, like the world's instants.</summary>
internal sealed record SimulatedSettings(
    long Seed, long Create, long Boot, long Stop, long Delete, long Settling, TimeSpan Call,
    IReadOnlyList<string> Hosts, int HostCpu, long HostMemoryMiB, long HostDiskGiB, double CpuOvercommit,
    WireOdds Odds, double FailedBuildRate, int WarmStates, IReadOnlyList<MissingImage> MissingImages)
{
    public static SimulatedSettings Read(JsonObject settings)
    {
        return new SimulatedSettings(
            (long)Number("seed"), Micro("createSeconds"), Micro("bootSeconds"), Micro("stopSeconds"), Micro("deleteSeconds"), Micro("settlingSeconds"),
            TimeSpan.FromSeconds(Number("callSeconds")),
            [.. Enumerable.Range(1, (int)Number("hosts")).Select(n => $"h{n}")],
            (int)Number("hostCpu"), (long)Number("hostMemoryMiB"), (long)Number("hostDiskGiB"), Number("cpuOvercommit"),
            new WireOdds((long)Number("seed"), Number("failureRate"), Number("lostReplyRate"), Number("throttleRate"), TimeSpan.FromSeconds(Number("throttleSeconds"))),
            Number("failedBuildRate"), (int)Number("warmStates"),
            [.. (settings["missingImages"] as JsonArray ?? []).OfType<JsonObject>().Select(item => new MissingImage(item["image"]!.GetValue<string>(), item["host"]?.GetValue<string>()))]);

        // A value may be an int, a long or a double, by whether it came from JSON, YAML or code.
        double Number(string name) => double.Parse(settings[name]!.ToJsonString(), System.Globalization.CultureInfo.InvariantCulture);
        long Micro(string name) => (long)(Number(name) * 1_000_000);
    }
}

internal sealed record MissingImage(string Image, string? Host);
