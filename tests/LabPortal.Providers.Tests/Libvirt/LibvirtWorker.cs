using System.Diagnostics;
using LabPortal.Providers.Libvirt;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>Another process that has a host open, as a portal has: it prints the id of its child, and calls once more when it is told to.</summary>
internal static class LibvirtWorker
{
    public const string Word = "libvirt-worker";

    public static async Task<int> RunAsync(string uri)
    {
        await using var host = new LibvirtHost(new LibvirtHostSettings("here", uri, "lab", "lab"), TimeSpan.FromMinutes(10), TimeProvider.System);
        await host.RunAsync(new ListNames("lp-"), CancellationToken.None);
        Console.WriteLine(host.Processes.Single());
        await Console.In.ReadLineAsync();
        var call = host.RunAsync(new ListNames("lp-"), CancellationToken.None);
        Console.WriteLine("asked");
        await call;
        return 0;
    }

    public static Process Start(string uri)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, [Word, uri]) { RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false };

        // Under `dotnet test.dll` the process is the dotnet command itself.
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet") start.ArgumentList.Insert(0, typeof(LibvirtWorker).Assembly.Location);
        return Process.Start(start)!;
    }
}
