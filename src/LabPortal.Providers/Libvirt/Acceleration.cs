using System.Diagnostics;
using System.Xml.Linq;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>Whether guests of this host run with KVM: as the settings say, or as a probe shows (<see cref="BootProbe"/>).</summary>
internal sealed class Acceleration(LibvirtHost host, string setting, InstallationId installation) : IDisposable
{
    public const string Auto = "auto";
    public const string Kvm = "kvm";
    public const string Emulated = "emulated";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Enough = TimeSpan.FromSeconds(1.5);

    private readonly SemaphoreSlim _one = new(1, 1);
    private string? _known = setting == Auto ? null : setting;

    /// <summary>Asked once; what a host can do does not change while the portal runs.</summary>
    public async Task<string> ReadAsync(CancellationToken cancellation)
    {
        if (_known is { } known) return known;
        await _one.WaitAsync(cancellation);
        try
        {
            return _known ??= await IsWorthItAsync(cancellation) ? Kvm : Emulated;
        }
        finally
        {
            _one.Release();
        }
    }

    public void Dispose() => _one.Dispose();

    /// <summary>How long the probe took as a machine of libvirt's type <paramref name="type"/>; null where it did not end within the limit.</summary>
    public Task<TimeSpan?> BootAsync(string type, TimeSpan limit, CancellationToken cancellation) =>
        host.RunAsync(new BootProbe($"{Owner.InstallationPrefix(installation)}probe", type, limit), cancellation);

    private async Task<bool> IsWorthItAsync(CancellationToken cancellation) =>
        await host.RunAsync(new OffersKvm(), cancellation) && await IsWorthItAsync((type, limit) => BootAsync(type, limit, cancellation));

    /// <summary>Whether a guest with KVM ends in time, measured by one without; <paramref name="bootAsync"/> boots one of a type within a limit.</summary>
    internal static async Task<bool> IsWorthItAsync(Func<string, TimeSpan, Task<TimeSpan?>> bootAsync)
    {
        // A busy host is slow both ways: what counts is one beside the other. Below a moment nothing is slow.
        var emulated = await bootAsync("qemu", Patience);
        var limit = emulated is { } took && took * 2 > Enough ? took * 2 : Enough;
        return await bootAsync("kvm", limit) is not null;
    }
}

internal sealed record OffersKvm : LibvirtCall<bool>
{
    public override string Doing => "tell its capabilities";

    protected override bool Do(LibvirtWire wire) => wire.OffersKvm();
}

/// <summary>
/// Does a guest really run faster under KVM on this host? That the device opens and libvirt offers it says little: a host that is
/// itself a guest may have it, and run guests with it at a crawl or not at all. So a guest is booted, emulated and then with KVM. It is
/// one sector long: the BIOS loads it, it goes through protected mode into long mode as a kernel does, and switches itself off by
/// ACPI. Only a machine that has run its code ends as <i>shut down</i>; one that crashed, paused or loops does not.
/// <para>The answer is how long that took; null where it did not end within the limit. One call, because the guest dies with the
/// connection that started it: whatever ends the call ends the guest.</para>
/// </summary>
internal sealed record BootProbe(string Name, string Type, TimeSpan Limit) : LibvirtCall<TimeSpan?>
{
    /// <summary>Probe.S, assembled.</summary>
    private const string Probe =
        "fa31c08ed88ed08ec0bc007cbf0010b90018fcf3abc70600100320c70600200330c706003083000f0116b87c0f20c00c010f22c066ea3c7c0000080066b81000" +
        "8ed88ed00f20e083c8200f22e0b8001000000f22d8b9800000c00f320d000100000f300f20c00d000000800f22c0ea757c0000180048b8f0debc9a7856341248" +
        "0fc831c00fa266ba040666b8002066eff4ebfd0f1f4400000000000000000000ffff0000009acf00ffff00000092cf00ffff0000009aaf001f00987c00000000" +
        "0000";

    private const int ReasonShutdown = 1;
    private const int ReasonDestroyed = 2;
    private const int DiskBytes = 1 << 20; // A BIOS takes a disk of one sector for none.
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(50);

    public override string Doing => "probe its acceleration";

    public override TimeSpan Patience(TimeSpan deadline) => Limit + deadline;

    protected override TimeSpan? Do(LibvirtWire wire)
    {
        // What a failure here left, the next probe removes: its names are always the same.
        End(wire);
        try
        {
            if (!Begin(wire)) return null;
            for (var watch = Stopwatch.StartNew(); watch.Elapsed < Limit;)
            {
                LibvirtWire.Pause(Between);
                var state = Look(wire);
                if (state is { State: LifeState.ShutOff, Reason: ReasonShutdown }) return watch.Elapsed is var took && took <= Limit ? took : null;
                if (state is not { State: LifeState.Running or LifeState.None or LifeState.ShuttingDown }) return null;
            }

            return null;
        }
        finally
        {
            End(wire);
        }
    }

    private bool Begin(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        using (var volume = wire.CreateVolume(pool, LibvirtMapping.Raw(Name, DiskBytes).ToString()) ?? wire.FindVolume(pool, Name))
        {
            if (volume is null) return false;
            wire.Upload(volume, new MemoryStream(BootSector()));
        }

        using var domain = wire.Define(new XElement("domain", new XAttribute("type", Type),
            new XElement("name", Name),
            new XElement("memory", new XAttribute("unit", "MiB"), 64),
            new XElement("os", new XElement("type", new XAttribute("arch", "x86_64"), new XAttribute("machine", "pc"), "hvm")),
            new XElement("features", new XElement("acpi")),
            new XElement("on_poweroff", "destroy"),
            new XElement("devices",
                new XElement("disk", new XAttribute("type", "volume"), new XAttribute("device", "disk"),
                    new XElement("driver", new XAttribute("name", "qemu"), new XAttribute("type", "raw")),
                    new XElement("source", new XAttribute("pool", wire.Host.StoragePool), new XAttribute("volume", Name)),
                    new XElement("target", new XAttribute("dev", "vda"), new XAttribute("bus", "virtio"))),
                new XElement("controller", new XAttribute("type", "usb"), new XAttribute("model", "none")),
                new XElement("memballoon", new XAttribute("model", "none")))).ToString());
        try
        {
            return wire.Start(domain, dieWithConnection: true);
        }
        catch (ProviderFault fault) when (fault.Kind is not (FaultKind.Unauthorized or FaultKind.NoCapacity))
        {
            // A machine that cannot even be started so says no; a host that is away says nothing, and throws here.
            wire.FindDomain(Name)?.Dispose();
            return false;
        }
    }

    private (LifeState State, int Reason)? Look(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Name);
        return domain is null ? (LifeState.ShutOff, ReasonDestroyed) : wire.ReadState(domain);
    }

    private void End(LibvirtWire wire)
    {
        using (var domain = wire.FindDomain(Name))
        {
            if (domain is not null)
            {
                wire.TakePowerAway(domain);
                wire.Undefine(domain);
            }
        }

        using var pool = wire.Pool();
        using var volume = wire.FindVolume(pool, Name);
        if (volume is not null) wire.Delete(volume);
    }

    private static byte[] BootSector()
    {
        var disk = new byte[DiskBytes];
        Convert.FromHexString(Probe).CopyTo(disk, 0);
        disk[510] = 0x55;
        disk[511] = 0xaa;
        return disk;
    }
}
