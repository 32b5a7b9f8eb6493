using System.Management.Automation.Language;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.PowerShellHost;
using LabPortal.Providers.HyperV;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.HyperV;

/// <summary>What only Hyper-V pools hold; what every provider holds stands in <see cref="HyperVConformance"/>.</summary>
public sealed class HyperVLaws(HyperVPeer peer) : IClassFixture<HyperVPeer>, IDisposable
{
    /// <summary>Commands of Windows PowerShell 5.1 itself that our scripts may use besides.</summary>
    private static readonly string[] s_own = ["ConvertTo-Json", "ConvertFrom-Json", "Where-Object", "ForEach-Object"];

    private const string Head = "#cloud-config\n";

    private readonly HyperVFolder _host = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string> Scripts => [.. HyperVShell.Scripts.Keys];

    public void Dispose() => _host.Dispose();

    [Theory]
    [MemberData(nameof(Scripts))]
    public void A_script_uses_only_what_the_reference_and_Windows_PowerShell_have(string script) => Assert.Empty(Mistakes(HyperVShell.Scripts[script]));

    [Fact]
    public async Task The_script_that_sets_a_host_up_is_read_by_5_1()
        => Assert.DoesNotContain(Mistakes(await File.ReadAllTextAsync(Path.Combine(Repository.Root, "infra", "hyperv", "setup.ps1"), Cancellation)), mistake => !mistake.EndsWith("is no such command", StringComparison.Ordinal));

    [Theory]
    [InlineData("Get-VMs", "no such command")]
    [InlineData("Invoke-Expression $in.name", "no such command")]
    [InlineData("New-VM -Nmae x", "has no -Nmae")]
    [InlineData("Set-VMFirmware -VMName x -SecureBoot On", "has no -SecureBoot")]
    [InlineData("& $in.name", "no name")]
    [InlineData("$x = $in ?? 1", "is of a later PowerShell")]
    [InlineData("$x = $in ? 1 : 2", "is of a later PowerShell")]
    [InlineData("Get-VM && Get-VMHost", "is of a later PowerShell")]
    [InlineData("${in}?.name", "is of a later PowerShell")]
    [InlineData("if (", "Missing")]
    public void A_mistake_in_a_script_is_found(string script, string said) => Assert.Contains(Mistakes(script), mistake => mistake.Contains(said, StringComparison.Ordinal));

    [Fact]
    public void The_command_that_starts_the_loop_is_short_enough_for_a_Windows_shell_and_holds_nothing_of_it()
    {
        Assert.InRange(HyperVShell.Command.Length, 500, HyperVShell.LongestCommand - 1000);
        Assert.Matches("^[A-Za-z0-9+/= .-]+$", HyperVShell.Command);
    }

    [Theory]
    [InlineData("New-VM -Nonsense 1", FaultKind.Rejected)]
    [InlineData("New-VM -Name a -MemoryStartupBytes much", FaultKind.Broken)]
    [InlineData("Set-VMFirmware -VMName a -EnableSecureBoot Maybe", FaultKind.Broken)]
    [InlineData("New-VM -Name a -VHDPath b -NewVHDPath c", FaultKind.Rejected)]
    [InlineData("Get-VM -Name nobody", FaultKind.Rejected)]
    [InlineData("Get-VMss", FaultKind.Rejected)]
    [InlineData("throw 'Something else'", FaultKind.Broken)]
    [InlineData("throw 'X failed to start: no resources (0x800705AA).'", FaultKind.NoCapacity)]
    [InlineData("[IO.File]::ReadAllText('/nowhere/x')", FaultKind.Broken)]
    public async Task The_engine_refuses_what_the_real_module_refuses_and_the_shell_goes_on(string script, FaultKind kind)
    {
        await using var shell = HyperVShell.OpenLocal("here", await peer.ProgramAsync(_host));
        await shell.CallAsync("scripts", new JsonObject { ["bad"] = script, ["well"] = "@{ here = $true }" }, Cancellation);

        var error = await Assert.ThrowsAsync<HyperVShell.ScriptError>(() => shell.CallAsync("bad", [], Cancellation));

        Assert.Equal(kind, error.Fault.Kind);
        Assert.True((await shell.CallAsync("well", [], Cancellation))!["here"]!.GetValue<bool>());
        Assert.Empty(_host.All);
    }

    [Theory]
    [InlineData("OutOfMemory,Microsoft.HyperV.PowerShell.Commands.StartVM", "FromStdErr", -2146233088, FaultKind.NoCapacity)]
    [InlineData("AccessDenied,Microsoft.HyperV.PowerShell.Commands.GetVM", "PermissionDenied", -2146233088, FaultKind.Unauthorized)]
    [InlineData("InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVM", "InvalidArgument", -2146233088, FaultKind.Rejected)]
    [InlineData("InvalidState,Microsoft.HyperV.PowerShell.Commands.SetVM", "InvalidOperation", -2146233088, FaultKind.Transient)]
    [InlineData("IOException", "NotSpecified", -2147024784, FaultKind.NoCapacity)]
    [InlineData("IOException", "NotSpecified", -2147024863, FaultKind.Transient)]
    [InlineData("UnauthorizedAccessException", "NotSpecified", -2147024891, FaultKind.Unauthorized)]
    [InlineData("Unspecified,Microsoft.HyperV.PowerShell.Commands.StartVM", "NotSpecified", -2146233088, FaultKind.Broken)]
    public void An_error_record_is_of_a_kind(string id, string category, int code, FaultKind kind)
        => Assert.Equal(kind, HyperVFaults.Of("hv-1", new JsonObject { ["message"] = "It failed.", ["id"] = id, ["category"] = category, ["hresult"] = code }).Kind);

    [Fact]
    public async Task A_machine_is_made_as_the_pool_says()
    {
        var machine = NewMachine();
        await using var provider = await peer.OpenAsync(_host, machine.Owner.Installation, more: """{"vlan":120,"tpm":true,"nested":true,"dynamicMemory":true,"secureBoot":"MicrosoftWindows"}""");

        await provider.EnsureExistsAsync(machine, Cancellation);

        var made = Assert.Single(_host.All);
        Assert.Equal((machine.Owner.ResourceName, 2, "Running", "LabPortal"), (made.Name, made.Generation, made.State, made.Switch));
        Assert.Equal(("2", "true", "true"), (made.Settings["Set-VMProcessor.Count"], made.Settings["Set-VMProcessor.ExposeVirtualizationExtensions"].ToLowerInvariant(), made.Settings["Set-VM.DynamicMemory"].ToLowerInvariant()));
        Assert.Equal(("false", "Standard"), (made.Settings["Set-VM.AutomaticCheckpointsEnabled"].ToLowerInvariant(), made.Settings["Set-VM.CheckpointType"]));
        Assert.Equal((machine.MemoryMiB * 1048576L, machine.MemoryMiB * 262144L), (long.Parse(made.Settings["New-VM.MemoryStartupBytes"], null), long.Parse(made.Settings["Set-VM.MemoryMinimumBytes"], null)));
        Assert.Equal(("On", "MicrosoftWindows"), (made.Settings["Set-VMFirmware.EnableSecureBoot"], made.Settings["Set-VMFirmware.SecureBootTemplate"]));
        Assert.Contains("Enable-VMTPM.VMName", made.Settings.Keys);
        Assert.Equal(("120", machine.Owner.DerivedMac(0).Replace(":", "", StringComparison.Ordinal)), (made.Settings["Set-VMNetworkAdapterVlan.VlanId"], made.Settings["Set-VMNetworkAdapter.StaticMacAddress"]));
        Assert.Equal(machine.Owner.Machine!.Value.ToString(), (string)JsonNode.Parse(made.Notes)!["machine"]!);
        var seed = await File.ReadAllBytesAsync(Path.Combine(_host.Machines, machine.Owner.ResourceName, "seed.iso"), Cancellation);
        Assert.Equal("CD001", Encoding.ASCII.GetString(seed, 16 * 2048 + 1, 5));
        Assert.Contains("\"name\":\"ada\"", Encoding.UTF8.GetString(seed), StringComparison.Ordinal);
        Assert.Contains($"{3L << 30}", await File.ReadAllTextAsync(made.Disk, Cancellation), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_machine_of_generation_1_has_no_firmware_to_set()
    {
        var machine = NewMachine();
        await using var provider = await peer.OpenAsync(_host, machine.Owner.Installation, more: """{"generation":1,"tpm":true}""");

        await provider.EnsureExistsAsync(machine, Cancellation);

        Assert.DoesNotContain(Assert.Single(_host.All).Settings.Keys, key => key.StartsWith("Set-VMFirmware", StringComparison.Ordinal) || key.StartsWith("Enable-VMTPM", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_generation_whose_name_begins_as_anothers_is_not_taken_for_it()
    {
        var first = NewMachine();
        var tenth = first with { Owner = first.Owner with { Generation = 10 } };
        await using var provider = await peer.OpenAsync(_host, first.Owner.Installation);
        await provider.EnsureExistsAsync(tenth, Cancellation);

        Assert.IsType<Observation.Absent>(Assert.Single(await provider.ObserveAsync([first.Reference], Cancellation)));
        await provider.EnsureExistsAsync(first, Cancellation);
        await provider.EnsureGoneAsync(first.Reference, Cancellation);

        Assert.Equal(tenth.Owner.ResourceName, Assert.Single(_host.All).Name);
        Assert.Equal("Running", _host.All[0].State);
    }

    [Theory]
    [InlineData("../other/secret.vhdx")]
    [InlineData(@"..\other\secret.vhdx")]
    [InlineData("/etc/passwd")]
    [InlineData(@"C:\secret.vhdx")]
    [InlineData("")]
    [InlineData("absent.vhdx")]
    public async Task An_image_that_is_not_in_the_folder_is_rejected_and_leaves_nothing(string file)
    {
        var machine = NewMachine() with { Image = new ImageBinding("tiny", "1", new Dictionary<string, string> { ["vhdx"] = file }) };
        await using var provider = await peer.OpenAsync(_host, machine.Owner.Installation);

        var fault = await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(machine, Cancellation));

        Assert.Equal(FaultKind.Rejected, fault.Kind);
        Assert.Contains("tiny", fault.Message, StringComparison.Ordinal);
        Assert.Empty(_host.Everything());
    }

    [Fact]
    public async Task Another_host_key_is_not_spoken_to()
    {
        var machine = NewMachine();
        await using var provider = await peer.OpenAsync(_host, machine.Owner.Installation, more: """{"host":{"hostKey":"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}""");

        var fault = await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(machine, Cancellation));

        Assert.Equal(FaultKind.Unauthorized, fault.Kind);
        // Whoever looks at the host can compare.
        Assert.Contains(await peer.Sshd.FingerprintAsync(Cancellation), fault.Message, StringComparison.Ordinal);
        var problem = Assert.Single((await provider.CheckAsync(Cancellation)).Problems);
        Assert.Contains("fingerprint", problem.Mend, StringComparison.Ordinal);
        Assert.True(problem.Blocks);
    }

    [Theory]
    [InlineData("\n", "")]
    [InlineData("\n", " ")]
    [InlineData("\n", "\r\n")]
    public async Task A_private_key_may_have_lost_its_lines(string line, string instead)
    {
        var (_, key) = await peer.SettingsAsync(_host);
        await using var provider = await peer.OpenAsync(_host, NewInstallation(), key: key.Replace(line, instead, StringComparison.Ordinal));

        Assert.Empty((await provider.CheckAsync(Cancellation)).Problems);
    }

    [Fact]
    public async Task What_is_no_private_key_is_said_to_be_none_and_not_shown()
    {
        await using var provider = await peer.OpenAsync(_host, NewInstallation(), key: "summer-7d1c");

        var problem = Assert.Single((await provider.CheckAsync(Cancellation)).Problems);

        Assert.Contains("private key cannot be read", problem.What, StringComparison.Ordinal);
        Assert.DoesNotContain("summer", problem.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_check_names_all_that_is_wrong_at_once()
    {
        Directory.Delete(_host.Images, recursive: true);
        await using var provider = await peer.OpenAsync(_host, NewInstallation(), more: """{"switch":"Elsewhere","folder":"/proc/labs"}""", time: new Behind(TimeSpan.FromMinutes(17)));

        var problems = (await provider.CheckAsync(Cancellation)).Problems;

        foreach (var said in new[] { "Elsewhere", _host.Images, "/proc/labs", "17 minutes ahead" }) Assert.Single(problems, problem => problem.What.Contains(said, StringComparison.Ordinal));
        Assert.Equal(4, problems.Count);
        Assert.False(Assert.Single(problems, problem => problem.What.Contains("clock", StringComparison.Ordinal)).Blocks);
    }

    [Fact]
    public async Task Who_may_not_use_Hyper_V_is_unauthorized()
    {
        await using var provider = await peer.OpenAsync(_host, NewInstallation(), "denied");

        Assert.Equal(FaultKind.Unauthorized, (await Assert.ThrowsAsync<ProviderFault>(() => provider.ListOwnedAsync(Cancellation))).Kind);
        Assert.Contains("Hyper-V Administrators", Assert.Single((await provider.CheckAsync(Cancellation)).Problems).Mend, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_PowerShell_that_hangs_is_given_up()
    {
        await using var provider = await peer.OpenAsync(_host, NewInstallation(), "silent", """{"callSeconds":2}""");

        var fault = await Assert.ThrowsAsync<ProviderFault>(() => provider.ListOwnedAsync(Cancellation));

        Assert.Equal(FaultKind.Transient, fault.Kind);
        Assert.Contains("did not answer within 2 s", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_host_that_is_away_is_unknown_and_not_empty()
    {
        var machine = NewMachine();
        await using var provider = await peer.OpenAsync(_host, machine.Owner.Installation, more: """{"hosts":[{"name":"hv-2","address":"127.0.0.1","port":1,"hostKey":"SHA256:x"}]}""");
        await provider.EnsureExistsAsync(machine, Cancellation);

        Assert.Equal(HyperVFolder.Name, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([new ResourceRef(machine.Owner)], Cancellation))).Host);
        var other = NewMachine(machine.Owner.Installation);
        Assert.IsType<Observation.Unknown>(Assert.Single(await provider.ObserveAsync([new ResourceRef(other.Owner)], Cancellation)));
        Assert.IsType<Observation.Absent>(Assert.Single(await provider.ObserveAsync([other.Reference], Cancellation)));
        Assert.Equal(FaultKind.Transient, (await Assert.ThrowsAsync<ProviderFault>(() => provider.ListOwnedAsync(Cancellation))).Kind);
        Assert.Equal(FaultKind.Transient, (await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureGoneAsync(new ResourceRef(other.Owner), Cancellation))).Kind);
        var capacity = await ((ICapacityAbility)provider).ReadCapacityAsync(Cancellation);
        Assert.Equal([HyperVFolder.Name, "hv-2"], capacity.Select(host => host.Host));
        Assert.Equal([false, true], capacity.Select(host => host.Problem is not null));
        Assert.Equal("hv-2", Assert.Single((await provider.CheckAsync(Cancellation)).Problems).Host);
        await provider.EnsureGoneAsync(machine.Reference, Cancellation);
    }

    /// <summary>As a host leaves its machines when it is shut down itself; they cannot be turned off then.</summary>
    [Fact]
    public async Task A_saved_machine_counts_as_stopped_and_is_started_reverted_and_removed()
    {
        var machine = NewMachine();
        var snapshot = new SnapshotId(Ids.New(TimeProvider.System));
        await using var provider = await peer.OpenAsync(_host, machine.Owner.Installation);
        var (power, snapshots) = ((IPowerAbility)provider, (ISnapshotAbility)provider);
        await provider.EnsureExistsAsync(machine, Cancellation);
        await snapshots.TakeSnapshotAsync(machine.Reference, snapshot, Cancellation);
        foreach (var deed in new Func<Task>[] { () => power.StartAsync(machine.Reference, Cancellation), () => snapshots.RevertAsync(machine.Reference, snapshot, Cancellation) })
        {
            await SaveAsync();
            Assert.Equal(PowerState.Stopped, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))).Power);
            foreach (var mode in Enum.GetValues<StopMode>()) await power.StopAsync(machine.Reference, mode, Cancellation);
            await deed();
            Assert.Equal("Running", Assert.Single(_host.All).State);
        }

        await SaveAsync();
        await provider.EnsureGoneAsync(machine.Reference, Cancellation);
        Assert.Empty(_host.Everything());

        async Task SaveAsync()
        {
            await using var shell = HyperVShell.OpenLocal("here", await peer.ProgramAsync(_host));
            await shell.CallAsync("scripts", new JsonObject { ["save"] = "param($in)\nStop-VM -Name $in.name -Save\n@{ }" }, Cancellation);
            await shell.CallAsync("save", new JsonObject { ["name"] = machine.Owner.ResourceName }, Cancellation);
            Assert.Equal("Saved", Assert.Single(_host.All).State);
        }
    }

    [Fact]
    public async Task A_machine_that_is_not_whole_is_shown_as_being_built()
    {
        var machine = NewMachine();
        await using (var cut = await peer.OpenAsync(_host, machine.Owner.Installation, $"cut:5:after:{_host.Host}/count"))
            await Assert.ThrowsAsync<ProviderFault>(() => cut.EnsureExistsAsync(machine, Cancellation));
        await using var provider = await peer.OpenAsync(_host, machine.Owner.Installation);

        Assert.Equal(PowerState.Building, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))).Power);
    }

    [Fact]
    public async Task Ten_thousand_hostile_values_stay_in_their_fields_and_run_nothing()
    {
        var installation = NewInstallation();
        await using var provider = await peer.OpenAsync(_host, installation);
        var count = 0;
        foreach (var (title, values) in HostilePortions.All())
        {
            var machine = NewMachine(installation) with { Title = title };
            machine = machine with { Seed = machine.Seed with { UserData = new Dictionary<string, object> { ["runcmd"] = values } } };

            await provider.EnsureExistsAsync(machine, Cancellation);

            var made = Assert.Single(_host.All);
            Assert.Equal(machine.Owner.ResourceName, made.Name);
            Assert.Equal(ForeignText.Of(title), (string)JsonNode.Parse(made.Notes)!["title"]!);
            var seed = Encoding.UTF8.GetString(await File.ReadAllBytesAsync(Path.Combine(_host.Machines, made.Name, "seed.iso"), Cancellation));
            var data = seed[(seed.IndexOf(Head, StringComparison.Ordinal) + Head.Length)..];
            Assert.Equal(values, JsonNode.Parse(data[..data.IndexOf('\n', StringComparison.Ordinal)])!["runcmd"]!.AsArray().Select(value => value!.GetValue<string>()));
            await provider.EnsureGoneAsync(machine.Reference, Cancellation);
            Assert.Empty(_host.Everything());
            count += values.Count;
        }

        Assert.InRange(count, 10_000, 11_000);
        Assert.False(File.Exists("/tmp/hostile"));
    }

    private static IEnumerable<string> Mistakes(string script)
    {
        var reference = CmdletReference.Read();
        var tree = Parser.ParseInput(script, out var tokens, out var errors);
        foreach (var error in errors) yield return error.Message;
        foreach (var token in tokens.Where(token => token.Kind is TokenKind.QuestionQuestion or TokenKind.QuestionQuestionEquals or TokenKind.QuestionDot or TokenKind.QuestionLBracket or TokenKind.QuestionMark or TokenKind.AndAnd or TokenKind.OrOr or TokenKind.Clean))
            yield return $"\"{token.Text}\" is of a later PowerShell";
        foreach (var command in tree.FindAll(node => node is CommandAst, searchNestedScriptBlocks: true).Cast<CommandAst>())
        {
            if (command.GetCommandName() is not { } name)
            {
                // The loop runs the scripts that it was sent, by their names.
                if (command.ToString() != "& $scripts[$frame.name] $frame.input") yield return $"{command} has no name that can be read";
                continue;
            }

            if (s_own.Contains(name, StringComparer.Ordinal)) continue;
            if (!reference.Cmdlets.TryGetValue(name, out var cmdlet))
            {
                yield return $"{name} is no such command";
                continue;
            }

            var given = command.CommandElements.OfType<CommandParameterAst>().Select(parameter => parameter.ParameterName).ToList();
            foreach (var parameter in given.Where(parameter => !cmdlet.Sets.Any(set => set.Any(each => each.Name == parameter)) && !CmdletReference.Common.Contains(parameter)))
                yield return $"{name} has no -{parameter}";
            if (!cmdlet.Sets.Any(set => given.Except(CmdletReference.Common).All(parameter => set.Any(each => each.Name == parameter)))) yield return $"{name} takes no such parameters together";
        }
    }

    private static InstallationId NewInstallation() => new(Ids.New(TimeProvider.System));

    private static MachineSpec NewMachine(InstallationId? installation = null) => new(
        new Owner(installation ?? NewInstallation(), new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
        HyperVFolder.Name, "web-1", "a lab: web", new ImageBinding("tiny", "1", new Dictionary<string, string> { ["vhdx"] = "tiny.vhdx" }), Cpu: 2, MemoryMiB: 1024, DiskGiB: 3,
        new GuestSeed("ada", ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ada@example.org"], null, new Dictionary<string, object>()));

    /// <summary>A clock that is behind the hosts'.</summary>
    private sealed class Behind(TimeSpan by) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() - by;
    }
}
