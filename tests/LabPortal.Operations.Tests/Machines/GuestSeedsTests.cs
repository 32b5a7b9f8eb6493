using LabPortal.Data.Consoles;
using LabPortal.Data.Labs;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Machines;
using LabPortal.Operations.People;
using LabPortal.Operations.Tests.Labs;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Machines;

public sealed class GuestSeedsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string> Values() =>
    [
        "plain", "it's \"quoted\"", "$(reboot)", "`reboot`; rm -rf / #", "${count}", "${motd}", "two\nlines\r\nruncmd:\n  - reboot", "runcmd: [reboot]", "- a: &x {b: *x}",
        "#cloud-config", "%TAG ! x", "]]></a>", "null", "true", "007", "{{ jinja }}", "", "\u2028\u202e", "tab\there", "\\n \\u0041",
    ];

    [Theory, MemberData(nameof(Values))]
    public void A_value_goes_in_as_data_and_can_add_neither_key_nor_line_nor_type(string value)
    {
        Parameter[] parameters = [new() { Name = "motd", Type = ParameterType.String }, new() { Name = "count", Type = ParameterType.Integer }, new() { Name = "loud", Type = ParameterType.Boolean }];
        var values = new Dictionary<string, string> { ["motd"] = value, ["count"] = "7", ["loud"] = "true" };
        var template = new Dictionary<string, object>
        {
            ["motd"] = "${motd}",
            ["${motd}"] = "a key stays as it is",
            ["count"] = "${count}",
            ["loud"] = "${loud}",
            ["number"] = 5L,
            ["runcmd"] = new List<object> { new List<object> { "echo", "say ${motd}, ${count} times", "${HOME} $(hostname) $motd" } },
            ["deep"] = new Dictionary<string, object> { ["list"] = new List<object> { "${motd}${motd}" } },
        };

        var filled = GuestSeeds.Fill(template, parameters, values);

        Assert.Equal(template.Keys.Order(), filled.Keys.Order());
        Assert.Equal(value, filled["motd"]);
        Assert.Equal("a key stays as it is", filled["${motd}"]);
        Assert.Equal((7L, true, 5L), ((long)filled["count"], (bool)filled["loud"], (long)filled["number"]));
        // What a value says is not looked at again: "${count}" in it stays text. What is no parameter is the guest's own.
        var command = (IReadOnlyList<object>)Assert.Single((IReadOnlyList<object>)filled["runcmd"]);
        Assert.Equal(["echo", $"say {value}, 7 times", "${HOME} $(hostname) $motd"], command);
        Assert.Equal([value + value], (IReadOnlyList<object>)((IReadOnlyDictionary<string, object>)filled["deep"])["list"]);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_guest_gets_its_owners_keys_and_a_password_only_where_there_were_none(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        await labs.AddBlueprintAsync(new Blueprint
        {
            Name = "seeded",
            Title = "Seeded",
            Parameters = [new Parameter { Name = "motd", Type = ParameterType.String }],
            Machines =
            [
                new MachineTemplate { Name = "one", Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1, UserData = new Dictionary<string, object> { ["runcmd"] = new List<object> { "echo ${motd}" } } },
                new MachineTemplate { Name = "two", Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1 },
            ],
            Lease = new LeaseRules(Duration.FromHours(1), Duration.FromHours(2), Duration.Zero),
        });
        var seeds = new GuestSeeds(labs.Database, labs.Secrets, labs.Time);
        var request = new LabRequest { Blueprint = "seeded", Team = "qa", Parameters = new Dictionary<string, string> { ["motd"] = "'; $(reboot) \"${x}\": - y" } };
        async Task<(Lab Lab, GuestSeed One, GuestSeed Two)> RequestAsync()
        {
            var id = (await labs.Calls.RequestAsync(ada, request, null, Cancellation)).Value.Id;
            var lab = (await labs.Database.ReadAsync(session => LabStore.FindAsync(session, id), Cancellation))!;
            return (lab, await seeds.OfAsync(lab, lab.Machines[0], Cancellation), await seeds.OfAsync(lab, lab.Machines[1], Cancellation));
        }

        var without = await RequestAsync();
        Assert.Equal("root", without.One.UserName);
        // The portal's own, which opens its terminal; the lab's machines have the same.
        var portal = Assert.Single(without.One.AuthorizedKeys);
        Assert.True(SshPublicKey.Read("key", portal).Ok);
        Assert.Equal(without.One.AuthorizedKeys, without.Two.AuthorizedKeys);
        Assert.Equal(20, without.One.Password!.Reveal().Length);
        Assert.Equal(without.One.Password.Reveal(), without.Two.Password!.Reveal());
        Assert.DoesNotContain(without.One.Password.Reveal(), without.One.ToString(), StringComparison.Ordinal);
        Assert.Equal(["echo '; $(reboot) \"${x}\": - y"], (IReadOnlyList<object>)without.One.UserData["runcmd"]);
        Assert.Empty(without.Two.UserData);

        var keys = new[] { "ssh-ed25519 AAAA1 ada@home", "ssh-ed25519 AAAA2 ada@work" };
        foreach (var key in keys)
        {
            labs.Time.Advance(TimeSpan.FromMilliseconds(1));
            await labs.Database.WriteAsync(session => SshKeyStore.AddAsync(session, new SshKey(Ids.New(labs.Time), ada.Person!.Value, "key", key, key, labs.Now)), Cancellation);
        }

        var with = await RequestAsync();
        Assert.Equal(keys, with.One.AuthorizedKeys.SkipLast(1));
        Assert.NotEqual(portal, with.One.AuthorizedKeys[^1]);
        Assert.Null(with.One.Password);
        // What is offered is what the lab has, whatever keys the profile has by now.
        Assert.False((await labs.Calls.FindAsync(ada, with.Lab.Id, Cancellation)).Value.HasPassword);
        Assert.True((await labs.Calls.FindAsync(ada, without.Lab.Id, Cancellation)).Value.HasPassword);
        Assert.Equal(RefusalKind.NotFound, (await labs.Calls.RevealPasswordAsync(ada, with.Lab.Id, Cancellation)).Refusal!.Kind);
        // The first lab's owner has keys now: they count, and its password stays what it was.
        var later = await seeds.OfAsync(without.Lab, without.Lab.Machines[0], Cancellation);
        Assert.Equal((3, without.One.Password.Reveal()), (later.AuthorizedKeys.Count, later.Password!.Reveal()));
        Assert.Equal(0, await labs.CountAsync("SELECT count(*) FROM labs WHERE parameters LIKE '%password%'"));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Each_machine_has_a_host_key_of_its_own_in_each_generation_that_ssh_keygen_reads_and_that_is_deleted_with_the_lab(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        using var folder = new TestFolder();
        var ada = await labs.TeamAsync("qa");
        var theirs = new Dictionary<string, object> { ["ssh_keys"] = new Dictionary<string, object> { ["rsa_private"] = "theirs" } };
        await labs.AddBlueprintAsync(new Blueprint
        {
            Name = "known",
            Title = "Known before the first boot",
            Machines =
            [
                new MachineTemplate { Name = "one", Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1 },
                new MachineTemplate { Name = "two", Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1 },
                new MachineTemplate { Name = "own", Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1, UserData = theirs },
            ],
            Lease = new LeaseRules(Duration.FromHours(1), Duration.FromHours(2), Duration.Zero),
        });
        var seeds = new GuestSeeds(labs.Database, labs.Secrets, labs.Time);
        var id = (await labs.Calls.RequestAsync(ada, new LabRequest { Blueprint = "known", Team = "qa" }, null, Cancellation)).Value.Id;
        var lab = (await labs.Database.ReadAsync(session => LabStore.FindAsync(session, id), Cancellation))!;
        var machine = lab.Machines[0];

        // Two nodes at once, and once more: one key.
        var made = await Task.WhenAll(seeds.OfAsync(lab, machine, Cancellation), seeds.OfAsync(lab, machine, Cancellation));
        var again = (await seeds.OfAsync(lab, machine, Cancellation)).HostKey!;
        Assert.All(made, seed => Assert.Equal((again.Public, again.Private.Reveal()), (seed.HostKey!.Public, seed.HostKey.Private.Reveal())));
        var other = (await seeds.OfAsync(lab, lab.Machines[1], Cancellation)).HostKey!;
        var rebuilt = (await seeds.OfAsync(lab, machine with { Generation = machine.Generation + 1 }, Cancellation)).HostKey!;
        Assert.Equal(3, new[] { again.Public, other.Public, rebuilt.Public }.Distinct().Count());
        Assert.Null((await seeds.OfAsync(lab, lab.Machines[2], Cancellation)).HostKey);

        // OpenSSH reads the private half, and finds the same public one and fingerprint.
        await File.WriteAllTextAsync(folder["host"], again.Private.Reveal(), Cancellation);
        await Tool.RunAsync(Cancellation, "chmod", "600", folder["host"]);
        Assert.Equal(again.Public, (await Tool.RunAsync(Cancellation, "ssh-keygen", "-y", "-f", folder["host"])).Trim());
        var known = await labs.Database.ReadAsync(session => HostKeyStore.FindAsync(session, machine.Id, machine.Generation), Cancellation);
        Assert.Contains($" SHA256:{known!.Fingerprint} ", await Tool.RunAsync(Cancellation, "ssh-keygen", "-l", "-f", folder["host"]), StringComparison.Ordinal);

        const string Kept = "SELECT count(*) FROM secrets WHERE name LIKE '%host-key%'";
        Assert.Equal(3, await labs.CountAsync(Kept));
        Assert.Equal(0, await labs.CountAsync("SELECT count(*) FROM secrets WHERE protected LIKE '%PRIVATE KEY%'"));
        await labs.Database.WriteAsync(session => Runs.SetOverAsync(session, id, LabState.Ended, null, labs.Now), Cancellation);
        Assert.Equal(0, await labs.CountAsync(Kept));

        // A worker that comes late makes none that nobody would delete, neither again nor anew.
        foreach (var late in new[] { machine, machine with { Generation = machine.Generation + 2 } }) Assert.Null((await seeds.OfAsync(lab, late, Cancellation)).HostKey);
        Assert.Equal(0, await labs.CountAsync(Kept));
    }
}
