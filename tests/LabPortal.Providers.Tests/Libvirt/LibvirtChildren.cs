using System.Diagnostics;
using System.Globalization;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>The processes in which the library runs: what they cost when they end, and when they end.</summary>
[Collection(OnLibvirt.Name)]
public sealed class LibvirtChildren(LibvirtPeer peer)
{
    private static readonly ListNames Call = new("lp-");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_crash_of_the_library_costs_one_call_which_is_transient_and_the_next_works()
    {
        await using var host = Open();
        await host.RunAsync(Call, Cancellation);
        var crashing = Assert.Single(host.Processes);
        await WhileFrozenAsync(async () =>
        {
            var written = Written(crashing);
            var call = Record.ExceptionAsync(() => host.RunAsync(Call, Cancellation));
            await UntilAsync(() => Written(crashing) > written);
            Assert.False(call.IsCompleted);
            // .NET lets a SIGSEGV pass once; where the library makes it, the same instruction makes the next. Here it is sent again.
            for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromSeconds(50) && Lives(crashing); await Task.Delay(300, Cancellation))
                await Tool.RunAsync(Cancellation, "sh", "-c", $"kill -SEGV {crashing} 2>&- || :");
            var fault = Assert.IsType<ProviderFault>(await call);
            Assert.Equal(FaultKind.Transient, fault.Kind);
            Assert.Matches("^The process that talks to host \"here\" ended \\(signal 11\\); it was asked to list what is ours\\.$", fault.Message);
        });

        await host.RunAsync(Call, Cancellation);
        Assert.NotEqual(crashing, Assert.Single(host.Processes));
    }

    [Fact]
    public async Task One_that_died_while_nobody_called_costs_nothing()
    {
        await using var host = Open();
        await host.RunAsync(Call, Cancellation);
        var dead = Assert.Single(host.Processes);
        await Tool.RunAsync(Cancellation, "kill", "-KILL", $"{dead}");
        // Until whoever started it has taken notice.
        await UntilAsync(() => !Directory.Exists($"/proc/{dead}"));
        await host.RunAsync(Call, Cancellation);
        Assert.DoesNotContain(dead, host.Processes);
    }

    [Fact]
    public async Task They_end_when_whoever_started_them_is_killed_even_in_the_middle_of_a_call()
    {
        using var worker = LibvirtWorker.Start(peer.Libvirt.Uri);
        var child = int.Parse((await worker.StandardOutput.ReadLineAsync(Cancellation))!, CultureInfo.InvariantCulture);
        Assert.True(Lives(child));
        await WhileFrozenAsync(async () =>
        {
            var written = Written(child);
            await worker.StandardInput.WriteLineAsync("go on");
            await worker.StandardInput.FlushAsync(Cancellation);
            Assert.Equal("asked", await worker.StandardOutput.ReadLineAsync(Cancellation));
            await UntilAsync(() => Written(child) > written);
            worker.Kill();
            await worker.WaitForExitAsync(Cancellation);
            await GoneAsync([child]);
        });
    }

    [Fact]
    public async Task They_end_when_they_have_rested_and_with_their_host()
    {
        var time = new FakeTimeProvider();
        await using var host = Open(time: time);
        await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => host.RunAsync(Call, Cancellation)));
        var first = host.Processes;
        Assert.InRange(first.Count, 1, LibvirtHost.Children);

        time.Advance(LibvirtHost.Rest / 2);
        await host.RunAsync(Call, Cancellation);
        time.Advance(LibvirtHost.Rest / 2 + TimeSpan.FromSeconds(1));
        var kept = Assert.Single(host.Processes);
        await GoneAsync(first.Except([kept]));
        Assert.True(Lives(kept));

        await host.DisposeAsync();
        await GoneAsync([kept]);
        Assert.Equal(FaultKind.Transient, (await Assert.ThrowsAsync<ProviderFault>(() => host.RunAsync(Call, Cancellation))).Kind);
    }

    [Fact]
    public async Task A_cancelled_call_ends_its_child_and_no_other()
    {
        await using var host = Open();
        await WhileFrozenAsync(async () =>
        {
            using var one = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            using var other = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            var (first, second) = (host.RunAsync(Call, one.Token), host.RunAsync(Call, other.Token));
            await UntilAsync(() => host.Processes.Count == 2);
            var before = host.Processes;
            Assert.Equal(2, before.Count);
            await one.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
            var kept = Assert.Single(host.Processes);
            await GoneAsync(before.Except([kept]));
            Assert.False(second.IsCompleted);
            await other.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        });
    }

    [Fact]
    public async Task A_call_that_waited_for_half_of_its_time_is_transient_and_costs_no_child()
    {
        var time = new FakeTimeProvider();
        await using var host = Open(time: time);
        await WhileFrozenAsync(async () =>
        {
            var calls = Enumerable.Range(0, LibvirtHost.Children).Select(_ => host.RunAsync(Call, Cancellation)).ToList();
            var busy = host.Processes;
            Assert.Equal(LibvirtHost.Children, busy.Count);
            var late = host.RunAsync(Call, Cancellation);
            time.Advance(TimeSpan.FromSeconds(31));
            await peer.Libvirt.ThawAsync(Cancellation);
            await Task.WhenAll(calls);
            var fault = await Assert.ThrowsAsync<ProviderFault>(() => late);
            Assert.Equal((FaultKind.Transient, "Host \"here\" is busy with other calls; it was to be asked to list what is ours."), (fault.Kind, fault.Message));
            Assert.Equal(busy, host.Processes);
        });
    }

    [Fact]
    public async Task What_a_child_started_ends_with_it_even_where_it_crashed()
    {
        using var folder = new TestFolder();
        // In the place of an ssh that hears nothing more: it does not care that its other end is gone.
        await File.WriteAllTextAsync(folder["tunnel"], $"#!/bin/sh\necho $$ >{folder["pid"]}.new\nmv {folder["pid"]}.new {folder["pid"]}\nexec sleep 300\n", Cancellation);
        await Tool.RunAsync(Cancellation, "chmod", "700", folder["tunnel"]);
        await using var host = new LibvirtHost(new LibvirtHostSettings("here", $"qemu+ext:///system?command={folder["tunnel"]}", "lab", "lab"), TimeSpan.FromSeconds(60), TimeProvider.System);
        var call = Record.ExceptionAsync(() => host.RunAsync(Call, Cancellation));
        await UntilAsync(() => File.Exists(folder["pid"]));
        var tunnel = int.Parse(await File.ReadAllTextAsync(folder["pid"], Cancellation), CultureInfo.InvariantCulture);
        Assert.True(Lives(tunnel));
        await Tool.RunAsync(Cancellation, "kill", "-KILL", $"{Assert.Single(host.Processes)}");
        Assert.Equal(FaultKind.Transient, Assert.IsType<ProviderFault>(await call).Kind);
        await GoneAsync([tunnel]);
    }

    [Theory]
    [InlineData(139, false, FaultKind.Transient, "signal 11")]
    [InlineData(137, false, FaultKind.Transient, "signal 9")]
    [InlineData(150, false, FaultKind.Broken, "exit code 150")]
    [InlineData(1, false, FaultKind.Broken, "exit code 1")]
    [InlineData(141, true, FaultKind.Transient, "signal 13")]
    [InlineData(1, true, FaultKind.Transient, "exit code 1")]
    public void One_that_cannot_start_is_broken_and_one_that_has_answered_before_is_transient(int exitCode, bool hasAnswered, FaultKind kind, string how)
        => Assert.Equal((kind, how), LibvirtChild.ReadEnd(exitCode, hasAnswered));

    [Fact]
    public async Task They_are_told_nothing_on_their_command_line_and_nothing_of_the_portals_environment()
    {
        Environment.SetEnvironmentVariable("LabPortal__Bootstrap__AdminToken", "a secret");
        await using var host = Open();
        await host.RunAsync(Call, Cancellation);
        var child = Assert.Single(host.Processes);
        Assert.DoesNotContain("a secret", await File.ReadAllTextAsync($"/proc/{child}/environ", Cancellation), StringComparison.Ordinal);
        Assert.Equal(["dotnet", "LabPortal.Providers.dll"],
            (await File.ReadAllTextAsync($"/proc/{child}/cmdline", Cancellation)).Split('\0', StringSplitOptions.RemoveEmptyEntries).Select(word => Path.GetFileName(word)));
    }

    /// <summary>Waits until none of these processes lives; one that was ended takes a moment.</summary>
    internal static async Task GoneAsync(IEnumerable<int> processes)
    {
        var left = processes.ToList();
        await UntilAsync(() => !left.Any(Lives));
        Assert.DoesNotContain(left, Lives);
    }

    /// <summary>For a while; what must hold is asserted afterwards.</summary>
    private static async Task UntilAsync(Func<bool> holds)
    {
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromMinutes(3) && !holds();) await Task.Delay(50, Cancellation);
    }

    /// <summary>How many bytes a process has written so far: more than before, where it has asked a host that is silent.</summary>
    private static long Written(int process) =>
        long.Parse(File.ReadLines($"/proc/{process}/io").First(line => line.StartsWith("wchar: ", StringComparison.Ordinal))[7..], CultureInfo.InvariantCulture);

    /// <summary>A zombie is dead.</summary>
    private static bool Lives(int process)
    {
        try
        {
            return File.ReadAllText($"/proc/{process}/stat").Split(") ")[1][0] is not ('Z' or 'X');
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private LibvirtHost Open(TimeSpan? deadline = null, TimeProvider? time = null) =>
        new(new LibvirtHostSettings("here", peer.Libvirt.Uri, "lab", "lab"), deadline ?? TimeSpan.FromSeconds(60), time ?? TimeProvider.System);

    private async Task WhileFrozenAsync(Func<Task> actAsync)
    {
        await peer.Libvirt.FreezeAsync(Cancellation);
        try
        {
            await actAsync();
        }
        finally
        {
            await peer.Libvirt.ThawAsync(CancellationToken.None);
        }
    }
}
