using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>How an image comes to a host, whoever else brings it there, and how anybody knows which it is.</summary>
[Collection(GuestsOnLibvirt.Name)]
public sealed class LibvirtImages(LibvirtPeer peer)
{
    private static int s_importers;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_import_may_take_longer_than_a_call_and_ends_transient_on_a_host_that_takes_no_more()
    {
        // Sparse, and so large that it is still under way when somebody has heard of its beginning.
        const int size = 512 << 20;
        const int rest = 8 << 20;
        var file = Path.GetTempFileName();
        var call = Import("stuck.img", file);
        await using var host = Open(deadline: TimeSpan.FromSeconds(1));
        try
        {
            await using (var content = File.OpenWrite(file)) content.SetLength(size);
            var frozen = false;
            var daemon = await peer.Libvirt.PidAsync(Cancellation);
            var watch = Stopwatch.StartNew();
            long last = 0;
            try
            {
                var fault = await Assert.ThrowsAsync<ProviderFault>(() => host.RunAsync(call, Cancellation, new Heard(bytes =>
                {
                    last = bytes;
                    if (frozen) return;
                    frozen = true;
                    PrivateLibvirt.Freeze(daemon);
                    watch.Restart();
                })));
                Assert.Equal(FaultKind.Transient, fault.Kind);
                Assert.Contains("within 4 s; it was asked to take an image", fault.Message, StringComparison.Ordinal);
            }
            finally
            {
                await peer.Libvirt.ThawAsync(CancellationToken.None);
            }

            Assert.InRange(watch.Elapsed, TimeSpan.FromSeconds(3), TimeSpan.FromMinutes(2));
            Assert.InRange(last, 1, size - 1);

            await using var patient = Open();
            Assert.Null(await patient.RunAsync(new FindImage("stuck.img"), Cancellation));
            await using (var content = File.OpenWrite(file)) content.SetLength(rest);
            await patient.RunAsync(Import("stuck.img", file, ended: call.Importer), Cancellation);
            var there = await patient.RunAsync(new FindImage("stuck.img"), Cancellation);
            await using var bytes = File.OpenRead(file);
            Assert.Equal(new ImageOnHost(rest, $"sha256:{Convert.ToHexStringLower(await SHA256.HashDataAsync(bytes, Cancellation))}"), there);

            // Replaced by somebody: it is there, and nobody knows what it is.
            await File.AppendAllTextAsync(Path.Combine(peer.Libvirt.Volumes, "stuck.img"), "more", Cancellation);
            Assert.Null((await patient.RunAsync(new FindImage("stuck.img"), Cancellation))!.Digest);
        }
        finally
        {
            File.Delete(file);
            Forget("stuck.img");
        }
    }

    [Fact]
    public async Task Importers_that_race_leave_one_whole_image_and_those_of_another_file_are_told_so()
    {
        const int rounds = 10;
        using var folder = new TestFolder();
        var files = await Task.WhenAll(Enumerable.Range(1, 3).Select(number => UniformAsync(folder, number)));
        var hosts = files.Select(_ => Open()).ToList();
        try
        {
            for (var round = 0; round < rounds; round++)
            {
                await Task.WhenAll(hosts.Select(async (host, number) =>
                {
                    // Now side by side, now so that one comes to an import that is nearly over.
                    await Task.Delay(round % 5 * 15 * number, Cancellation);
                    await MeetAsync(host, Import("race.img", files[number]));
                }));
                await RequireOneWholeAsync("race.img", hosts);
                Forget("race.img");
                await peer.Libvirt.VirshAsync(Cancellation, "pool-refresh", "lab");
            }
        }
        finally
        {
            foreach (var host in hosts) await host.DisposeAsync();
            Forget("race.img");
        }
    }

    [Fact]
    public async Task Of_those_that_find_a_dead_import_one_takes_over_and_the_others_wait_for_it()
    {
        using var folder = new TestFolder();
        var files = await Task.WhenAll(Enumerable.Range(1, 3).Select(number => UniformAsync(folder, number)));
        // So large that it is still under way when somebody has heard of its beginning.
        var dead = await UniformAsync(folder, 9, 256 << 20);
        var hosts = files.Select(_ => Open()).ToList();
        try
        {
            for (var round = 0; round < 2; round++)
            {
                using (var halfway = CancellationTokenSource.CreateLinkedTokenSource(Cancellation))
                {
                    await Assert.ThrowsAnyAsync<OperationCanceledException>(
                        () => hosts[0].RunAsync(Import("dead.img", dead), halfway.Token, new Heard(bytes => CancelAfter(halfway, bytes))));
                }

                Assert.True(File.Exists(Volume("dead.img.importing.1")));
                var watch = Stopwatch.StartNew();
                await Task.WhenAll(hosts.Select((host, number) => MeetAsync(host, Import("dead.img", files[number], silence: 10))));
                Assert.True(watch.Elapsed >= TimeSpan.FromSeconds(10), $"taken over after {watch.Elapsed}");
                await RequireOneWholeAsync("dead.img", hosts);
                Forget("dead.img");
                await peer.Libvirt.VirshAsync(Cancellation, "pool-refresh", "lab");
            }
        }
        finally
        {
            foreach (var host in hosts) await host.DisposeAsync();
            Forget("dead.img");
        }
    }

    [Fact]
    public async Task An_import_that_stood_still_until_another_took_over_is_transient_and_spoils_nothing()
    {
        using var folder = new TestFolder();
        var (slow, fast) = (await UniformAsync(folder, 1, 128 << 20), await UniformAsync(folder, 2, 128 << 20));
        await using var first = Open();
        await using var second = Open();
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var child = 0;
        try
        {
            var import = first.RunAsync(Import("twice.img", slow), Cancellation, new Heard(bytes =>
            {
                if (bytes == 0 || begun.Task.IsCompleted) return;
                PrivateLibvirt.Freeze(child = Assert.Single(first.Processes));
                begun.SetResult();
            }));
            await begun.Task.WaitAsync(Cancellation);
            Assert.Null(await second.RunAsync(new FindImage("twice.img"), Cancellation));
            await second.RunAsync(Import("twice.img", fast, silence: 1), Cancellation);
            await RequireOneWholeAsync("twice.img", [second]);

            await Tool.RunAsync(Cancellation, "kill", "-CONT", $"{child}");
            var fault = await Assert.ThrowsAsync<ProviderFault>(() => import);
            Assert.Equal((FaultKind.Transient, "Another import has begun to write \"twice.img\" on host \"here\" anew."), (fault.Kind, fault.Message));
            Assert.Equal(2, await RequireOneWholeAsync("twice.img", [second]));
        }
        finally
        {
            Forget("twice.img");
        }
    }

    [Fact]
    public async Task An_import_that_fails_takes_what_is_half_away_and_the_next_need_not_wait()
    {
        using var folder = new TestFolder();
        // So large that it is still under way when somebody has heard of its beginning.
        var (file, next) = (await UniformAsync(folder, 1, 256 << 20), await UniformAsync(folder, 2));
        await using var host = Open();
        try
        {
            var (cut, last) = (false, 0L);
            var fault = await Assert.ThrowsAsync<ProviderFault>(() => host.RunAsync(Import("failed.img", file), Cancellation, new Heard(bytes =>
            {
                last = bytes;
                if (cut || bytes == 0) return;
                cut = true;
                // As a file that somebody still writes: what libvirt finds at the end is not what was read at the beginning.
                File.AppendAllText(Volume("failed.img"), new string('x', 4 << 20));
            })));
            Assert.Equal(FaultKind.Rejected, fault.Kind);
            Assert.Empty(Directory.EnumerateFiles(peer.Libvirt.Volumes, "failed.img*"));
            var watch = Stopwatch.StartNew();
            await host.RunAsync(Import("failed.img", next), Cancellation);
            Assert.InRange(watch.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(50));
            Assert.True(last > 0);
        }
        finally
        {
            Forget("failed.img");
        }
    }

    [Fact]
    public async Task An_image_that_was_put_there_by_hand_has_a_digest_once_it_was_read_until_it_changes()
    {
        using var folder = new TestFolder();
        var file = await UniformAsync(folder, 7, (3 << 20) + 5);
        var call = new ReadDigest("hand.img", "hand");
        await using var host = Open();
        await using var other = Open();
        try
        {
            Assert.Equal(FaultKind.Rejected, (await Assert.ThrowsAsync<ProviderFault>(() => host.RunAsync(call, Cancellation))).Kind);
            File.Copy(file, Volume("hand.img"));
            Assert.Equal(new ImageOnHost((3 << 20) + 5, null), await host.RunAsync(new FindImage("hand.img"), Cancellation));

            long last = 0;
            await host.RunAsync(call, Cancellation, new Heard(bytes => last = bytes));
            Assert.Equal((3 << 20) + 5, last);
            var digest = $"sha256:{(await Tool.RunAsync(Cancellation, "sha256sum", file)).Split(' ')[0]}";
            Assert.Equal(digest, (await other.RunAsync(new FindImage("hand.img"), Cancellation))!.Digest);

            // Known already: not a byte is read.
            await other.RunAsync(call, Cancellation, new Heard(_ => Assert.Fail("It was read again.")));

            await File.AppendAllTextAsync(Volume("hand.img"), "more", Cancellation);
            Assert.Null((await host.RunAsync(new FindImage("hand.img"), Cancellation))!.Digest);
            // So long (and sparse) that its reader's reports fill their pipe before it comes to the end: whoever hears them is in time.
            await using (var longer = File.OpenWrite(Volume("hand.img"))) longer.SetLength(1 << 30);
            var changed = false;
            var fault = await Assert.ThrowsAsync<ProviderFault>(() => host.RunAsync(call, Cancellation, new Heard(_ =>
            {
                if (!changed) File.AppendAllText(Volume("hand.img"), "and more");
                changed = true;
            })));
            Assert.Equal((FaultKind.Transient, "Image \"hand\" on host \"here\" was changed while it was read."), (fault.Kind, fault.Message));
            Assert.Null((await host.RunAsync(new FindImage("hand.img"), Cancellation))!.Digest);
        }
        finally
        {
            Forget("hand.img");
        }
    }

    /// <summary>One image is there, for everybody; it is all of one importer's; its digest is true; and nothing else is left.</summary>
    private async Task<byte> RequireOneWholeAsync(string volume, IReadOnlyList<LibvirtHost> hosts)
    {
        var content = await File.ReadAllBytesAsync(Volume(volume), Cancellation);
        Assert.Equal(-1, content.AsSpan().IndexOfAnyExcept(content[0]));
        foreach (var host in hosts)
            Assert.Equal(new ImageOnHost(content.Length, $"sha256:{Convert.ToHexStringLower(SHA256.HashData(content))}"), await host.RunAsync(new FindImage(volume), Cancellation));
        Assert.Equal([volume, volume + DigestNote.Suffix], Directory.EnumerateFiles(peer.Libvirt.Volumes, volume + "*").Select(file => Path.GetFileName(file)).Order());
        return content[0];
    }

    private static async Task<string> UniformAsync(TestFolder folder, int number, int size = 6 << 20)
    {
        var file = folder[number.ToString(CultureInfo.InvariantCulture)];
        var content = new byte[size];
        Array.Fill(content, (byte)number);
        await File.WriteAllBytesAsync(file, content, Cancellation);
        return file;
    }

    private static void CancelAfter(CancellationTokenSource source, long bytes)
    {
        if (bytes > 0) source.Cancel();
    }

    /// <summary>Where another was first, its file stays, and whoever brought another one hears of it.</summary>
    private static async Task MeetAsync(LibvirtHost host, ImportImage import)
    {
        try
        {
            await host.RunAsync(import, Cancellation);
        }
        catch (ProviderFault met) when (met.Kind == FaultKind.Rejected)
        {
            Assert.Contains("Another image is there", met.Message, StringComparison.Ordinal);
        }
    }

    private static ImportImage Import(string volume, string file, double silence = 60, string? ended = null) =>
        new(volume, file, "raw", volume, null, $"importer-{Interlocked.Increment(ref s_importers)}", ended is null ? [] : [ended], TimeSpan.FromSeconds(silence));

    private LibvirtHost Open(TimeSpan? deadline = null) =>
        new(new LibvirtHostSettings("here", peer.Libvirt.Uri, "lab", "lab"), deadline ?? TimeSpan.FromSeconds(60), TimeProvider.System);

    private string Volume(string name) => Path.Combine(peer.Libvirt.Volumes, name);

    private void Forget(string volume)
    {
        foreach (var file in Directory.EnumerateFiles(peer.Libvirt.Volumes, volume + "*")) File.Delete(file);
    }

    private sealed class Heard(Action<long> hear) : IProgress<long>
    {
        public void Report(long value) => hear(value);
    }
}
