using System.Runtime.InteropServices;
using System.Xml.Linq;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// The calls that we make of libvirt, typed, over one connection: blocking, in a process of its own (<see cref="LibvirtChild"/>).
/// What is not there is null or false; everything else that fails is a fault.
/// </summary>
internal sealed unsafe partial class LibvirtWire(ConnectHandle connection, LibvirtHostSettings host, Action<long> report)
{
    private static readonly ManualResetEventSlim Never = new();

    public static ProviderFault LastFault(string doing, string host, bool alive)
    {
        var code = (LibvirtError)Native.virGetLastErrorCode();
        return LibvirtFaults.From(code, Native.Text(Native.virGetLastErrorMessage()), doing, host, alive);
    }

    public LibvirtHostSettings Host => host;

    /// <summary>How far a transfer is, in bytes: whoever waits for it knows then that it is alive.</summary>
    public void Report(long bytes) => report(bytes);

    /// <summary>Waits, on the one thread that there is.</summary>
    public static void Pause(TimeSpan moment) => Never.WaitHandle.WaitOne(moment);

    public (int Cpus, long MemoryMiB) ReadNode()
    {
        Must(Native.virNodeGetInfo(connection, out var info), "tell its size");
        return ((int)info.Cpus, (long)(info.MemoryKiB / 1024));
    }

    public bool OffersKvm()
    {
        var text = Native.virConnectGetCapabilities(connection);
        if (text == 0) throw Fault("tell its capabilities");
        return XDocument.Parse(Native.TakeText(text)).Descendants("domain").Any(domain => domain.Attribute("type")?.Value == "kvm");
    }

    private bool Alive => Native.virConnectIsAlive(connection) == 1;

    private int Must(int result, string doing) => result < 0 ? throw Fault(doing) : result;

    /// <summary>False where it failed only because the world is already as wanted.</summary>
    private bool Did(int result, string doing, params ReadOnlySpan<LibvirtError> harmless)
    {
        if (result >= 0) return true;
        return harmless.Contains((LibvirtError)Native.virGetLastErrorCode()) ? false : throw Fault(doing);
    }

    private T? Found<T>(T handle, LibvirtError absent, string doing)
        where T : SafeHandle
    {
        if (!handle.IsInvalid) return handle;
        handle.Dispose();
        return (LibvirtError)Native.virGetLastErrorCode() == absent ? null : throw Fault(doing);
    }

    /// <summary>What the last call of the library ended with.</summary>
    public ProviderFault Fault(string doing)
    {
        // Asking whether the connection lives would wipe the error out.
        var code = (LibvirtError)Native.virGetLastErrorCode();
        var message = Native.Text(Native.virGetLastErrorMessage());
        return LibvirtFaults.From(code, message, doing, host.Name, Alive);
    }
}
