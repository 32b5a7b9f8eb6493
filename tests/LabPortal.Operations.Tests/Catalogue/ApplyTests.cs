using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.People;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Networks;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Tests.People;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Catalogue;

public sealed class ApplyTests(TestDatabases databases)
{
    /// <summary>The example of the REST contract, word for word.</summary>
    private const string Example = """
        kind: Pool
        name: this-machine
        provider: libvirt
        labels: [linux, fast]
        settings: { hosts: [{ name: here, uri: "qemu:///system" }] }
        limits: { operationsAtOnce: 4 }
        overcommit: { cpu: 4, memory: 1 }
        prices: { currency: EUR, running: { cpuHour: 0.01, memoryGiBHour: 0.004 }, diskGiBHour: 0.0001, sizes: [{ size: small, cpu: 1, memoryMiB: 1024, runningHour: 0.02, stoppedHour: 0.001 }] }
        ---
        kind: Pool
        name: pretend
        provider: simulated
        settings: { seed: 7, createSeconds: 0.2, bootSeconds: 0.5, hosts: 4, hostCpu: 32, hostMemoryMiB: 131072, failureRate: 0, lostReplyRate: 0 }
        ---
        kind: Image
        name: tiny
        os: linux
        bindings: { libvirt: { volume: tiny.qcow2 }, simulated: {} }
        ---
        kind: Blueprint
        name: pair
        title: Two small Linux machines
        teams: [qa]
        parameters: [{ name: motd, type: string, default: hello, maxLength: 80 }]
        machines:
          - { name: web, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }
          - { name: db, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }
        placement: { require: [], prefer: [fast] }
        lease: { default: 4h, max: 72h, grace: 24h }
        ---
        kind: Team
        name: qa
        zone: Europe/Berlin
        members: [{ person: ada@example.org, role: requester }]
        quota: { labs: 10, machines: 20, cpu: 40, memoryMiB: 40960, diskGiB: 200 }
        personQuota: { labs: 3 }
        """;

    private static readonly Actor s_admin = new() { Person = null, Name = "root", Channel = Channel.Session, IsAdmin = true };

    private static readonly IProviderKind[] s_kinds =
    [
        new PretendKind("libvirt", ["volume"],
            new Setting("hosts", SettingKind.List, "Hosts", "", Required: true, Min: 1, Items:
                [new Setting("name", SettingKind.Text, "Name", "", Required: true), new Setting("uri", SettingKind.Text, "URI", "", Required: true)]),
            new Setting("password", SettingKind.Secret, "Password", "")),
        new PretendKind("simulated", [],
            [.. new[] { "seed", "createSeconds", "bootSeconds", "hosts", "hostCpu", "hostMemoryMiB", "failureRate", "lostReplyRate" }
                .Select(name => new Setting(name, SettingKind.Number, name, ""))]),
    ];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Who_holds_a_teams_quota_gets_a_pool_while_an_apply_that_takes_both_away_waits()
    {
        await using var portal = await PortalPeople.CreateAsync(databases, Engine.Postgres);
        var catalogue = new CatalogueCalls(portal.Database, portal.Time, Providers.ProviderKinds.All);
        Assert.True((await catalogue.ApplyAsync(portal.Admin, "kind: Team\nname: qa\nzone: UTC\n---\nkind: Pool\nname: pretend\nprovider: simulated\n", false, false, Cancellation)).Ok);
        Task<Outcome<Applied>>? prune = null;
        await portal.Database.WriteAsync(async session =>
        {
            var team = (await TeamStore.FindAsync(session, "qa"))!.Id;
            await Data.Quotas.QuotaHoldStore.LockAsync(session, team, default);
            prune ??= Task.Run(() => catalogue.ApplyAsync(portal.Admin, "", false, true, Cancellation), Cancellation);
            while (await portal.Database.ReadAsync(other => other.FindAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"), Cancellation) == 0)
                await Task.Delay(20, Cancellation);
            // A pool that the other one had would be a circle.
            Assert.Single(await session.QueryAsync<string>("SELECT id FROM pools FOR UPDATE NOWAIT"));
        }, Cancellation);
        Assert.Equal(["Pool/pretend", "Team/qa"], (await prune!).Value.Pruned.Order());
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_contracts_example_applies_and_applying_it_again_changes_nothing(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = Calls(database);
        var would = (await calls.ApplyAsync(s_admin, Example, dryRun: true, prune: true, Cancellation)).Value;
        Assert.Empty(await calls.ImagesAsync(s_admin, Cancellation));
        var applied = (await calls.ApplyAsync(s_admin, Example, false, true, Cancellation)).Value;
        Assert.Equal(["Image/tiny", "Team/qa", "Pool/this-machine", "Pool/pretend", "Blueprint/pair"], applied.Created);
        Assert.Equal(applied.Created, would.Created);
        var again = (await calls.ApplyAsync(s_admin, Example, false, true, Cancellation)).Value;
        Assert.Equal(applied.Created, again.Unchanged);
        Assert.Empty(again.Created.Concat(again.Changed).Concat(again.Pruned));

        var view = (await calls.BlueprintAsync(s_admin, "pair", Cancellation)).Value;
        Assert.Equal((1, true, 2, 256, 2), (view.Blueprint.Version, view.Blueprint.Declared, view.Cpu, view.MemoryMiB, view.DiskGiB));
        Assert.Equivalent(new LeaseRules(Duration.FromHours(4), Duration.FromHours(72), Duration.FromHours(24)), view.Blueprint.Lease, strict: true);
        var (team, ada, pool) = await database.ReadAsync(async session => (
            await TeamStore.FindAsync(session, "qa"), await PersonStore.FindByEmailAsync(session, "ada@example.org"), await PoolStore.FindAsync(session, "this-machine")), Cancellation);
        Assert.Equal(0.004m, pool!.Prices!.MemoryGiBHour);
        Assert.Equal(3, (await database.ReadAsync(session => TeamStore.LimitsAsync(session, team!.Id, "person"), Cancellation))["labs"]);
        Assert.False(await database.ReadAsync(session => PersonStore.HasSignInAsync(session, ada!.Id), Cancellation));
        var member = new Actor { Person = ada!.Id, Name = "ada", Channel = Channel.Session, Teams = new Dictionary<TeamId, TeamRole> { [team!.Id] = TeamRole.Requester } };
        Assert.Single(await calls.BlueprintsAsync(member, Cancellation));
        Assert.Empty(await calls.BlueprintsAsync(member with { Teams = new Dictionary<TeamId, TeamRole>() }, Cancellation));
        Assert.Equal(RefusalKind.Forbidden, (await calls.ApplyAsync(member, Example, false, false, Cancellation)).Refusal!.Kind);
    }

    [Fact]
    public async Task The_policy_of_a_placement_is_one_of_its_words()
    {
        await using var database = await databases.CreateAsync(Engine.Sqlite);
        var refusal = (await Calls(database).ApplyAsync(s_admin, Example.Replace("prefer: [fast]", "prefer: [fast], policy: quickest", StringComparison.Ordinal), false, false, Cancellation)).Refusal!;
        var error = Assert.Single(refusal.Errors!);
        Assert.Equal("yaml.one-of", error.Code);
        Assert.EndsWith(": placement.policy", error.Field, StringComparison.Ordinal);
        Assert.Contains("own-hardware-first", error.Arguments!.Single(argument => argument.Name == "allowed").Value.ToString(), StringComparison.Ordinal);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task What_is_exported_and_applied_again_changes_nothing_and_makes_the_same_elsewhere_and_no_secret_is_in_it(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = Calls(database);
        var rich = Example.Replace("settings: { hosts: [{ name: here, uri: \"qemu:///system\" }] }", "settings: { hosts: [{ name: here, uri: \"qemu:///system\" }], password: { env: POOL_PASSWORD } }", StringComparison.Ordinal)
            .Replace("limits: { operationsAtOnce: 4 }", "limits: { operationsAtOnce: 4, operationsPerHost: 2, operationsPerMinute: 60 }", StringComparison.Ordinal) + """

            ---
            kind: Size
            name: small
            cpu: 2
            memoryMiB: 512
            diskGiB: 10
            ---
            kind: Blueprint
            name: rich
            title: "no: yes # 'quoted'"
            description: |
              Two lines,
              - the second like a list
            teams: [qa]
            retired: true
            snapshotAtReady: true
            placement: { policy: fastest-to-ready }
            parameters: [{ name: level, type: integer, min: 1, max: 9, default: "3" }, { name: kind, type: choice, choices: ["on", "1e3"], default: "on" }]
            machines: [{ name: web, image: tiny, size: small, userData: { packages: [a, "true"], text: "${level}" } }]
            lease: { default: 90m, max: 3d, grace: 0, daily: { start: "08:30", stop: "18:00", days: [mon, fri] } }
            ---
            kind: Team
            name: empty
            zone: UTC
            """;
        Assert.Equal(8, (await calls.ApplyAsync(s_admin, rich, false, false, Cancellation)).Value.Created.Count);
        var yaml = (await calls.ExportAsync(s_admin, Cancellation)).Value;
        Assert.Contains("POOL_PASSWORD", yaml, StringComparison.Ordinal);
        var again = (await calls.ApplyAsync(s_admin, yaml, false, true, Cancellation)).Value;
        Assert.Equal(8, again.Unchanged.Count);
        Assert.Empty(again.Created.Concat(again.Changed).Concat(again.Pruned));

        await using var other = await databases.CreateAsync(engine);
        Assert.Equal(8, (await Calls(other).ApplyAsync(s_admin, yaml, false, false, Cancellation)).Value.Created.Count);
        Assert.Equal(yaml, (await Calls(other).ExportAsync(s_admin, Cancellation)).Value);

        // However it came there: text in the place of a secret is not given back.
        await database.WriteAsync(session => session.ExecuteAsync("UPDATE pools SET settings = replace(settings, '{\"env\":\"POOL_PASSWORD\"}', '\"swordfish\"')"), Cancellation);
        Assert.Equal(1, await database.ReadAsync(session => session.FindAsync<long>("SELECT count(*) FROM pools WHERE settings LIKE '%swordfish%'"), Cancellation));
        Assert.DoesNotContain("swordfish", (await calls.ExportAsync(s_admin, Cancellation)).Value, StringComparison.Ordinal);
        Assert.Equal(RefusalKind.Forbidden, (await calls.ExportAsync(s_admin with { IsAdmin = false }, Cancellation)).Refusal!.Kind);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Only_what_differs_changes_and_a_detached_object_is_taken_over_again(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = Calls(database);
        await calls.ApplyAsync(s_admin, Example, false, false, Cancellation);
        var edited = Example.Replace("prefer: [fast]", "prefer: []", StringComparison.Ordinal).Replace("personQuota: { labs: 3 }", "personQuota: { labs: 4 }", StringComparison.Ordinal);
        Assert.Equal(["Team/qa", "Blueprint/pair"], (await calls.ApplyAsync(s_admin, edited, false, false, Cancellation)).Value.Changed);
        Assert.True((await calls.DetachAsync(s_admin, "blueprint", "pair", Cancellation)).Ok);
        Assert.Equal(RefusalKind.NotFound, (await calls.DetachAsync(s_admin, "blueprint", "pair", Cancellation)).Refusal!.Kind);
        Assert.Equal(["Blueprint/pair"], (await calls.ApplyAsync(s_admin, edited, false, false, Cancellation)).Value.Changed);
        Assert.Equal((2, true), (await calls.BlueprintAsync(s_admin, "pair", Cancellation)).Value.Blueprint is var now ? (now.Version, now.Declared) : default);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Every_mistake_is_told_at_once_with_its_line_and_nothing_changes(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = Calls(database);
        const string Text = """
            kind: Pool
            name: good
            provider: simulated
            ---
            kind: Pool
            name: bad
            provider: vmware
            colour: red
            ---
            kind: Pool
            name: hosts
            provider: libvirt
            settings:
              password: swordfish
              hosts:
                - { name: a, uri: 7 }
            ---
            kind: Image
            name: tiny
            bindings: { libvirt: { volum: tiny.qcow2 } }
            ---
            kind: Team
            name: qa
            zone: Mars/Olympus
            members:
              - { person: ada at example, role: king }
            ---
            kind: Blueprint
            name: pair
            title: Pair
            teams: [nobody]
            machines:
              - { name: Web_1, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1, warmStart: true }
              - { name: db, image: gone, size: huge, cpu: 2 }
              - { name: db, image: tiny }
            lease: { default: 4 hours, max: 1h }
            ---
            kind: Blueprint
            name: pair
            title: Again
            machines: []
            lease: { default: 4h, max: 1h, max: 2h }
            ---
            kind: Cluster
            name: x
            """;
        var refusal = (await calls.ApplyAsync(s_admin, Text, false, false, Cancellation)).Refusal!;
        var told = refusal.Errors!.Select(error => $"{error.Arguments!.Single(argument => argument.Name == "line").Value} {error.Code}").ToHashSet();
        string[] expected =
        [
            "7 provider.unknown", "8 yaml.unknown-key", "14 secret.as-text", "16 setting.not-text", "20 yaml.required", "20 yaml.unknown-key", "24 zone.unknown", "26 email.form",
            "26 yaml.one-of", "31 reference.unknown", "33 machine.image-not-warm", "33 machine.name-form", "34 reference.unknown", "34 machine.size-and-amounts", "35 machine.twice", "35 machine.size-or-amounts",
            "36 duration.form", "39 yaml.declared-twice", "41 yaml.length", "42 lease.default-over-max", "42 yaml.key-twice", "44 yaml.unknown-kind",
        ];
        Assert.Equal(expected.Order(StringComparer.Ordinal), told.Order(StringComparer.Ordinal));
        Assert.Contains(refusal.Errors!, error => error.Field == "document 3 (Pool hosts), line 16: settings.hosts[0].uri");
        Assert.DoesNotContain(refusal.Errors!, error => error.ToString().Contains("swordfish", StringComparison.Ordinal) || error.Arguments!.Any(argument => argument.Value is "swordfish"));
        Assert.Empty(await database.ReadAsync(PoolStore.ListAsync, Cancellation));
        Assert.Empty(await calls.ImagesAsync(s_admin, Cancellation));
    }

    [Fact]
    public async Task Hostile_text_is_refused_quickly()
    {
        await using var database = await databases.CreateAsync(Engine.Sqlite);
        var calls = Calls(database);
        var laughs = "kind: Size\nname: a\na: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n";
        foreach (var (text, code) in new[]
        {
            (laughs, "yaml.alias"),
            (laughs, "yaml.anchor"),
            ("kind: Size\nname: !!binary aGVsbG8=\n", "yaml.tag"),
            ("a: " + new string('[', 100_000), "yaml.too-deep"),
            (string.Concat(Enumerable.Range(0, 30).Select(i => new string(' ', i) + "a:\n")), "yaml.too-deep"),
            ("name: " + new string('x', 1024 * 1024), "yaml.too-long"),
            ("kind: Size\nname: [\n", "yaml.syntax"),
            ("? [a, b]\n: c\n", "yaml.key-not-text"),
            ("- a\n- b\n", "yaml.not-a-map"),
            ("kind: Size\nname: a\n<<: { cpu: 1 }\n", "yaml.unknown-key"),
            (string.Concat(Enumerable.Repeat("---\na: 1\n", 3000)), "yaml.too-many-documents"),
            ("kind: Size\nname: \"a\\nb\"\ncpu: 1\nmemoryMiB: 1\ndiskGiB: 1\n", "name.form"),
        })
        {
            var refusal = (await calls.ApplyAsync(s_admin, text, false, false, Cancellation).WaitAsync(TimeSpan.FromSeconds(20), Cancellation)).Refusal!;
            Assert.Contains(code, refusal.Errors!.Select(error => error.Code));
            Assert.True(refusal.Errors!.Count <= 200);
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Pruning_is_refused_while_labs_live_there_and_names_them(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = Calls(database);
        await calls.ApplyAsync(s_admin, Example, false, false, Cancellation);
        await database.WriteAsync(async session =>
        {
            var (team, person) = ((await TeamStore.FindAsync(session, "qa"))!.Id, (await PersonStore.FindByEmailAsync(session, "ada@example.org"))!.Id);
            var pool = (await PoolStore.FindAsync(session, "pretend"))!.Id;
            await session.ExecuteAsync("""
                INSERT INTO labs (id, name, blueprint, blueprint_version, team_id, owner_id, state, lease_start, lease_grace, zone, requested_at)
                VALUES ('l', 'my-lab', 'pair', 1, @team, @person, 'ready', 0, 0, 'UTC', 0)
                """.Replace("'l'", "'00000000-0000-7000-8000-000000000001'", StringComparison.Ordinal), new { team, person });
            await session.ExecuteAsync("""
                INSERT INTO machines (id, lab_id, name, state, image, image_version, cpu, memory_mib, disk_gib, pool_id, position)
                VALUES ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001', 'web', 'running', 'tiny', '1', 1, 128, 1, @pool, 0)
                """, new { pool });
        }, Cancellation);

        const string Nothing = "kind: Size\nname: s\ncpu: 1\nmemoryMiB: 1\ndiskGiB: 1\n";
        var refusal = (await calls.ApplyAsync(s_admin, Nothing, false, prune: true, Cancellation)).Refusal!;
        Assert.Equal((RefusalKind.Conflict, "prune.in-use"), (refusal.Kind, refusal.Code));
        Assert.Equal(["Blueprint/pair", "Image/tiny", "Pool/pretend", "Team/qa"], refusal.Errors!.Select(error => error.Field).Order(StringComparer.Ordinal));
        Assert.All(refusal.Errors!, error => Assert.Equal("my-lab", error.Arguments!.Single().Value));
        Assert.Empty(await calls.SizesAsync(s_admin, Cancellation));

        await database.WriteAsync(async session =>
        {
            await session.ExecuteAsync("UPDATE machines SET state = 'gone'");
            await session.ExecuteAsync("UPDATE labs SET state = 'ended'");
        }, Cancellation);
        Assert.Empty((await calls.ApplyAsync(s_admin, Nothing, false, prune: false, Cancellation)).Value.Pruned);

        // Nobody would know of a pool's warm states once it is gone.
        var host = new WarmShape { Host = "h1", Image = "tiny", ImageVersion = "1", Cpu = 1, MemoryMib = 128 };
        var kept = await database.ReadAsync(async session => (await PoolStore.FindAsync(session, "pretend"))!.Id, Cancellation);
        await database.WriteAsync(session => WarmStore.HoldAsync(session, kept, host, 1), Cancellation);
        Assert.Equal(("Pool/pretend", "prune.warm-states"), Assert.Single((await calls.ApplyAsync(s_admin, Nothing, false, prune: true, Cancellation)).Refusal!.Errors!) is var error ? (error.Field, error.Code) : default);
        await database.WriteAsync(session => WarmStore.ReleaseAsync(session, kept, [host]), Cancellation);
        Assert.Equal(
            ["Blueprint/pair", "Image/tiny", "Pool/pretend", "Pool/this-machine", "Team/qa"],
            (await calls.ApplyAsync(s_admin, Nothing, false, prune: true, Cancellation)).Value.Pruned.Order(StringComparer.Ordinal));
        Assert.Empty(await calls.BlueprintsAsync(s_admin, Cancellation));
        Assert.NotNull(await database.ReadAsync(session => BlueprintStore.FindAsync(session, "pair", 1), Cancellation));
        var back = (await calls.ApplyAsync(s_admin, Example, false, prune: true, Cancellation)).Value;
        Assert.Equal(["Size/s"], back.Pruned);
        Assert.Equal(2, (await calls.BlueprintAsync(s_admin, "pair", Cancellation)).Value.Blueprint.Version);
    }

    [Fact]
    public async Task All_mistakes_in_networks_cards_and_rules_are_told_at_once()
    {
        await using var database = await databases.CreateAsync(Engine.Sqlite);
        const string Text = """
            kind: Blueprint
            name: walled
            title: Walled
            networks:
              - { name: shared, subnet: 10.0.0.0/24 }
              - { name: a, subnet: 10.1.0.1/24 }
              - { name: b, subnet: 8.8.8.0/24 }
              - { name: c, subnet: 10.2.0.0/24 }
              - { name: d, subnet: 10.2.0.128/25 }
              - { name: c, subnet: 10.3.0.0/24, gateway: 10.3.0.1 }
            machines:
              - { name: one, image: tiny, size: tiny, cards: [{ network: shared, address: 10.0.0.4 }, { network: shared }, { network: c, address: 10.2.0.4 }] }
              - { name: two, image: tiny, size: tiny, cards: [{ network: c }, { network: nowhere, address: 10.0.0.4 }] }
              - { name: three, image: tiny, size: tiny, cards: [{ network: c, address: 10.2.0.255 }, { network: d, address: 10.2.0.4 }] }
              - { name: four, image: tiny, size: tiny, cards: [{ network: c, address: 10.2.0.4 }] }
              - { name: outside, image: tiny, size: tiny, cards: [] }
            firewall:
              - { from: one, to: five }
              - { from: one, to: outside, ports: [22] }
              - { from: outside, to: four, protocol: tcp, ports: [0, 70000, 9-8, http] }
              - { from: four, to: four, protocol: gre }
              - { from: one, to: outside }
            lease: { default: 1h, max: 3d, grace: 0 }
            """;
        var errors = (await Calls(database).ApplyAsync(s_admin, Text, false, false, Cancellation)).Refusal!.Errors!;
        Assert.Equal(
            [
                "card.address-form machines[2].cards[0].address", "card.address-form machines[2].cards[1].address", "card.address-missing machines[1].cards[0].address",
                "card.address-of-shared machines[0].cards[0].address", "card.address-taken machines[3].cards[0].address", "card.twice machines[0].cards[1].network",
                "card.unknown-network machines[1].cards[1].network", "firewall.no-way-out firewall[2].to", "firewall.outside-name firewall",
                "firewall.port-form firewall[2].ports[0]", "firewall.port-form firewall[2].ports[1]", "firewall.port-form firewall[2].ports[2]", "firewall.port-form firewall[2].ports[3]",
                "firewall.ports-of-what firewall[1].ports", "firewall.same-end firewall[3].to", "firewall.unknown-end firewall[0].to",
                "network.overlap networks[4].subnet", "network.shared networks[0].name", "network.subnet-form networks[1].subnet", "network.subnet-form networks[2].subnet",
                "yaml.length machines[4].cards", "yaml.one-of firewall[3].protocol", "yaml.twice networks[5].name", "yaml.unknown-key networks[5].gateway",
            ],
            errors.Where(error => error.Code != "reference.unknown").Select(error => $"{error.Code} {error.Arguments!.Single(argument => argument.Name == "path").Value}").Order(StringComparer.Ordinal));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_sample_catalogues_apply_and_rich_blueprints_come_back_unchanged(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = Calls(database);
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "LabPortal.sln"))) root = root.Parent!;
        const string Rich = """
            kind: Blueprint
            name: rich
            title: Rich
            machines: [{ name: a, image: tiny, size: tiny, userData: { runcmd: [[echo, "${x}"], 1, 2.5, true], "on": { deep: no } } }]
            parameters:
              - { name: x, type: integer, default: 4, min: 1, max: 9 }
              - { name: y, type: choice, choices: [a, b], default: a }
              - { name: z, type: boolean, default: true }
              - { name: w, type: string, pattern: "[a-z]+" }
            lease: { default: 1.5h, max: 3d, grace: 0, daily: { start: "08:00", stop: "19:00", days: [tue, mon] } }
            """;
        var text = string.Join("\n---\n", [.. new[] { "sample", "pretend" }.Select(name => File.ReadAllText(Path.Combine(root.FullName, "infra", "catalogue", $"{name}.yaml"))), Rich]);
        Assert.Contains("Blueprint/rich", (await calls.ApplyAsync(s_admin, text, false, false, Cancellation)).Value.Created);
        var again = (await calls.ApplyAsync(s_admin, text, false, true, Cancellation)).Value;
        Assert.Empty(again.Changed.Concat(again.Created).Concat(again.Pruned));
        var lease = (await calls.BlueprintAsync(s_admin, "rich", Cancellation)).Value.Blueprint.Lease;
        Assert.Equal((Duration.FromMinutes(90), Duration.Zero, new LocalTime(19, 0)), (lease.Default, lease.Grace, lease.Daily!.Stop));
        Assert.Equal([IsoDayOfWeek.Monday, IsoDayOfWeek.Tuesday], lease.Daily.Days);

        var isolated = (await calls.BlueprintAsync(s_admin, "isolated", Cancellation)).Value.Blueprint;
        Assert.Equal([new Network("inner", "10.0.0.0/24")], isolated.Networks);
        Assert.Equal([[Network.Shared, "inner"], ["inner"]], isolated.Machines.Select(machine => machine.Cards.Select(card => card.Network)));
        Assert.Equal(
            ["In - Tcp 22", "Out - - -", "In - Tcp 80", "In - Tcp 443"],
            Firewall.OpeningsOf(isolated, "web", isolated.Machines[0].Cards[0])!.Select(Say));
        Assert.Equal(["Out 10.0.0.20 Tcp 22", "Out 10.0.0.20 Tcp 5432"], Firewall.OpeningsOf(isolated, "web", isolated.Machines[0].Cards[1])!.Select(Say));
        Assert.Equal(["In 10.0.0.10 Tcp 22", "In 10.0.0.10 Tcp 5432"], Firewall.OpeningsOf(isolated, "db", isolated.Machines[1].Cards[0])!.Select(Say));

        static string Say(Opening opening) => $"{opening.Way} {opening.Peer?.ToString() ?? "-"} {opening.Protocol?.ToString() ?? "-"} {opening.Ports?.ToString() ?? "-"}";
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_secret_is_kept_as_the_place_where_it_is(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = Calls(database);
        const string Text = """
            kind: Pool
            name: p
            provider: libvirt
            settings: { hosts: [{ name: a, uri: "qemu:///system" }], password: { env: POOL_PASSWORD } }
            """;
        Assert.Equal(["Pool/p"], (await calls.ApplyAsync(s_admin, Text, false, false, Cancellation)).Value.Created);
        Assert.Equal(["Pool/p"], (await calls.ApplyAsync(s_admin, Text, false, false, Cancellation)).Value.Unchanged);
        var pool = await database.ReadAsync(session => PoolStore.FindAsync(session, "p"), Cancellation);
        Assert.Equal("""{"env":"POOL_PASSWORD"}""", pool!.Settings["password"]!.ToJsonString());
    }

    private static CatalogueCalls Calls(Database database) => new(database, new SetTime(), s_kinds);

    private sealed class PretendKind(string name, IReadOnlyList<string> imageKeys, params Setting[] settings) : IProviderKind
    {
        public string Name => name;

        public SettingsSchema Settings => new(settings);

        public IReadOnlyList<string> ImageKeys => imageKeys;

        public IProvider Open(PoolContext pool) => throw new InvalidOperationException("Applying a catalogue opens no pool.");
    }
}
